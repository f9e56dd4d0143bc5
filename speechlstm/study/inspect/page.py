"""One HTML file that shows an observation; arrays stand in it as bytes in base64."""

from __future__ import annotations

import base64
import io
import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from speechlstm.evaluation import pages
from speechlstm.study.inspect.gates import Direction
from speechlstm.study.inspect.notation import notation
from speechlstm.study.inspect.observe import MAX_SECONDS, Observation
from speechlstm.types import UsageError, counted

DECADES = 4  # of the gradient that are shown
TOKENS = 40  # most tokens whose probabilities are shown

_SHOWN = 0.05  # probability from which on a token is shown
_SCRIPTS = ("state.js", "panels.js", "unit.js", "cards.js", "main.js")
_BINS = 40  # of the histograms of gates


def render(
    seen: Observation, layer: int | None = None, direction: str = "forward", settings: Sequence[str] = ()
) -> bytes:
    """Return the page; see `choose` for the layer and direction that are shown first.

    `settings` are arguments of `speechlstm inspect` that a page of another part of the recording needs, too.
    """
    content = {
        "name": Path(seen.transcript.audio).name,
        "about": about(seen),
        "seconds": seen.seconds,
        "sampleRate": seen.sample_rate,
        "frameShift": seen.frame_shift,
        "featureShift": seen.reaches[0].frame_shift if seen.reaches else seen.frame_shift,
        "overview": _overview(seen, settings),
        "words": [
            {"text": w.text, "start": w.start, "end": w.end, "confidence": w.confidence}
            for w in seen.transcript.words
        ],
        "posteriors": _posteriors(seen),
        "notation": asdict(notation(seen.directions[0].gates)) if seen.directions else None,
        "layers": [_layer(each) for each in seen.directions],
        "first": choose(seen, layer, direction) or 0,
        "shares": {str(number): _share(both) for number, both in seen.shares.items()},
        "reaches": _reaches(seen),
        "reachDecades": DECADES,
    }
    folder = Path(__file__).parent / "page"
    return pages.render(folder, _SCRIPTS, f"{content['name']}: {seen.model}", content, {0: _sound(seen)})


def about(seen: Observation) -> str:
    """Return a line on recording and recognizer."""
    parts = [
        f"{seen.seconds:.2f} s",
        f"recognized by {seen.model}" + (", text given" if seen.aligned else ""),
    ]
    if seen.directions:
        layers = counted(max(each.layer for each in seen.directions), "layer")
        both = any(each.name == "backward" for each in seen.directions)
        units = f"{seen.directions[0].memory.shape[1]} {notation(seen.directions[0].gates).name} units"
        parts.append(f"{layers} of {units} in {'two directions' if both else 'one direction'}")
    else:
        parts.append("an encoder without recurrent layers, so there are no gates to see")
    parts.append(f"one frame every {1000 * seen.frame_shift:g} ms")
    return " · ".join(parts)


def choose(seen: Observation, layer: int | None, direction: str) -> int | None:
    """Return the index of a layer and direction in `seen.directions`; None if the encoder has no recurrent layers.

    Layers are counted from 1, None is the last; directions are `"forward"` and `"backward"`.

    Raises:
        UsageError: there is no such layer or direction.
    """
    if not seen.directions:
        return None
    wanted = (seen.directions[-1].layer if layer is None else layer, direction)
    known = [(each.layer, each.name) for each in seen.directions]
    if wanted not in known:
        there = ", ".join(f"{number} {name}" for number, name in known)
        raise UsageError(f"no layer {wanted[0]} {direction}; there are: {there}")
    return known.index(wanted)


def memory_order(each: Direction) -> NDArray[np.int64]:
    """Return the units sorted from fast forgetting to long memory; unsorted in a plain RNN."""
    life = each.half_life()
    return np.arange(each.memory.shape[1]) if life is None else np.argsort(life.numpy(), kind="stable")


def limit_of(memory: NDArray[np.float32]) -> float:
    """Return where the colors of a memory end: 3, beyond which tanh is flat, or less."""
    return min(float(np.quantile(np.abs(memory), 0.98)), 3.0) or 1.0 if memory.size else 1.0


def shown_tokens(seen: Observation) -> list[int]:
    """Return the blank, and the tokens that are likely somewhere, the most likely first."""
    highest = np.exp(seen.log_probs.max(axis=0)) if len(seen.log_probs) else np.zeros(len(seen.tokens))
    highest[0] = 2.0
    order = np.argsort(-highest, kind="stable")
    return [int(token) for token in order[:TOKENS] if highest[token] >= _SHOWN]


def _packed(values: Any, low: float, high: float, kind: str = "<u1") -> str:
    """Return numbers as unsigned integers, `low` becoming 0 and `high` the largest, in base64."""
    most = np.iinfo(kind).max
    scaled = (np.asarray(values, np.float64) - low) / (high - low) * most
    return base64.b64encode(np.clip(np.rint(scaled), 0, most).astype(kind).tobytes()).decode("ascii")


def _sound(seen: Observation) -> bytes:
    content = io.BytesIO()
    soundfile.write(content, np.clip(seen.waveform, -1, 1), seen.sample_rate, format="FLAC", subtype="PCM_16")
    return content.getvalue()


def _overview(seen: Observation, settings: Sequence[str]) -> dict[str, Any] | None:
    if seen.overview is None:
        return None
    peak = float(np.abs(seen.overview).max()) or 1.0
    return {
        "seconds": seen.recording_seconds,
        "offset": seen.offset,
        "most": MAX_SECONDS,
        "envelope": _packed(seen.overview, -peak, peak),
        "command": shlex.join(["speechlstm", "inspect", seen.transcript.audio, *settings]),
    }


def _posteriors(seen: Observation) -> dict[str, Any]:
    tokens = shown_tokens(seen)
    shares = np.exp(seen.log_probs[:, tokens].T.astype(np.float64))
    best = shares.argmax(axis=0)
    peaks = []
    for row in range(1, len(tokens)):  # the peak of each stretch of frames in which a token is the best
        edges = np.flatnonzero(np.diff(best == row, prepend=False, append=False)).reshape(-1, 2)
        peaks += [{"row": row, "frame": int(a + shares[row, a:b].argmax())} for a, b in edges]
    return {
        "names": [seen.tokens[token] for token in tokens],
        "columns": shares.shape[1],
        "peaks": sorted(peaks, key=lambda peak: peak["frame"]),
        "data": _packed(shares, 0.0, 1.0),
    }


def _layer(each: Direction) -> dict[str, Any]:
    order = memory_order(each)
    life = each.half_life()
    openings, parts = each.openings, {}
    for name, tensor in each.gates._asdict().items():
        values = tensor.numpy()[:, order].T
        low, high = (0.0, 1.0) if name in openings else (-1.0, 1.0)
        if name == "cell":
            high = max(float(np.abs(values).max(initial=0.0)), 1.0)
            low = -high
        # 16 bits: with 8, the numbers of a worked step would not add up.
        parts[name] = {"data": _packed(values, low, high, "<u2"), "low": low, "high": high}
        if name not in openings:
            parts[name]["limit"] = limit_of(values) if name == "cell" else 1.0
    gates = {}
    for gate, (shut, open_) in each.saturation().items():
        values = openings[gate].numpy()
        counts, _ = np.histogram(values, _BINS, (0.0, 1.0))
        gates[gate] = {
            "histogram": (counts / max(values.size, 1)).round(5).tolist(),
            "shut": shut.numpy()[order].round(4).tolist(),
            "open": open_.numpy()[order].round(4).tolist(),
        }
    lives = None if life is None else [1000 * value for value in life.numpy()[order].tolist()]
    return {
        "layer": each.layer,
        "direction": each.name,
        "rows": len(order),
        "columns": len(each.memory),
        "shift": each.frame_shift,
        "parts": parts,
        "gates": gates,
        "halfLife": lives and [round(value, 2) if np.isfinite(value) else None for value in lives],
    }


def _share(both: NDArray[np.float64]) -> dict[str, Any]:
    total = both.sum(axis=1)
    forward = np.divide(both[:, 0], total, out=np.full(len(both), 0.5), where=total > 0)
    return {
        "data": _packed(forward, 0.0, 1.0),
        "total": float(both[:, 0].sum() / total.sum()) if total.sum() > 0 else 0.5,
    }


def _reaches(seen: Observation) -> list[dict[str, Any]]:
    found = []
    for each in seen.reaches:
        largest = each.gradient.max()
        if not largest > 0:
            continue
        levels = np.log10(np.maximum(each.gradient / largest, 10.0**-DECADES))
        found.append(
            {
                "token": seen.tokens[each.token],
                "seconds": each.seconds,
                "half": each.within(0.5),
                "most": each.within(0.9),
                "data": _packed(levels, -DECADES, 0.0),
            }
        )
    return found
