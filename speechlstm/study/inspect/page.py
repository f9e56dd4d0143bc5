"""One HTML file that shows an observation: no server, nothing to load, arrays as bytes in base64."""

from __future__ import annotations

import base64
import html
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from speechlstm.study.cells import GRUGates, LSTMGates
from speechlstm.study.inspect.gates import Direction
from speechlstm.study.inspect.observe import Observation
from speechlstm.types import UsageError

RANGE = 80  # decibels of the spectrogram that are shown
DECADES = 4  # of the gradient that are shown
TOKENS = 40  # most tokens whose probabilities are shown

_SHOWN = 0.05  # probability from which on a token is shown
_SCRIPTS = ("charts.js", "page.js", "panels.js", "cards.js")
_ROWS = 128  # of the spectrogram
_STEP = 0.0025  # seconds of a column of the waveform
_BINS = 40  # of the histograms of gates

_EQUATIONS = {
    "LSTM": (
        [
            "fₜ = σ(W_f xₜ + U_f hₜ₋₁ + b_f)      forget gate",
            "iₜ = σ(W_i xₜ + U_i hₜ₋₁ + b_i)      input gate",
            "gₜ = tanh(W_g xₜ + U_g hₜ₋₁ + b_g)   candidate values",
            "cₜ = fₜ · cₜ₋₁ + iₜ · gₜ             cell state, the memory",
            "oₜ = σ(W_o xₜ + U_o hₜ₋₁ + b_o)      output gate",
            "hₜ = oₜ · tanh(cₜ)                   hidden state, what is shown",
        ],
        "Where f is 1 and i is 0 the memory stays as it is, and so does the gradient on its way back (Hochreiter and "
        "Schmidhuber 1997, Gers 2000). The backward direction runs from the end: to it the future is what the past is "
        "to the other.",
    ),
    "GRU": (
        [
            "rₜ = σ(W_r xₜ + U_r hₜ₋₁ + b_r)                 reset gate",
            "zₜ = σ(W_z xₜ + U_z hₜ₋₁ + b_z)                 update gate",
            "nₜ = tanh(W_n xₜ + b_n + rₜ · (U_n hₜ₋₁ + d_n))   candidate values",
            "hₜ = (1 − zₜ) · nₜ + zₜ · hₜ₋₁                  state, which is all shown",
        ],
        "Where z is 1 the state stays as it is (Cho et al. 2014, in the variant of cuDNN and PyTorch).",
    ),
    "plain RNN": (
        ["hₜ = tanh(W xₜ + U hₜ₋₁ + b)"],
        "There are no gates: what is remembered is multiplied by U in each step (Elman 1990).",
    ),
}


def render(seen: Observation, layer: int | None = None, direction: str = "forward") -> str:
    """Return the page as text.

    Args:
        seen: what was observed.
        layer: the one that is shown first, counted from 1; None: the last.
        direction: of it, `"forward"` or `"backward"`.

    Raises:
        UsageError: there is no such layer or direction.
    """
    content = {
        "name": Path(seen.transcript.audio).name,
        "about": about(seen),
        "seconds": seen.seconds,
        "frameShift": seen.frame_shift,
        "featureShift": seen.reaches[0].frame_shift if seen.reaches else seen.frame_shift,
        "audio": _sound(seen),
        "words": [
            {"text": w.text, "start": w.start, "end": w.end, "confidence": w.confidence}
            for w in seen.transcript.words
        ],
        "waveform": _waveform(seen),
        "spectrogram": _spectrogram(seen),
        "posteriors": _posteriors(seen),
        "layers": [_layer(each) for each in seen.directions],
        "first": choose(seen, layer, direction) or 0,
        "shares": {str(number): _share(both) for number, both in seen.shares.items()},
        "reaches": _reaches(seen),
        "reachDecades": DECADES,
        "equations": _equations(seen),
    }
    folder = Path(__file__).parent
    parts = {
        "title": html.escape(f"{content['name']}: {seen.model}"),
        "style": (folder / "page.css").read_text(encoding="utf-8"),
        "data": json.dumps(content, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c"),
        "script": "\n".join((folder / name).read_text(encoding="utf-8") for name in _SCRIPTS),
    }
    page = (folder / "page.html").read_text(encoding="utf-8")
    return re.sub(r"\{(title|style|data|script)\}", lambda match: parts[match[1]], page)


def about(seen: Observation) -> str:
    """Return a line on recording and recogniser."""
    parts = [f"{seen.seconds:.2f} s", f"heard by {seen.model}" + (", text given" if seen.aligned else "")]
    if seen.directions:
        layers = max(each.layer for each in seen.directions)
        ways = (
            "two directions" if any(each.name == "backward" for each in seen.directions) else "one direction"
        )
        units = seen.directions[0].memory.shape[1]
        parts.append(f"{layers} layers of {units} {_kind(seen.directions[0])} units in {ways}")
    else:
        parts.append("an encoder without recurrent layers, so that there are no gates to see")
    parts.append(f"a frame each {1000 * seen.frame_shift:g} ms")
    return " · ".join(parts)


def choose(seen: Observation, layer: int | None, direction: str) -> int | None:
    """Return the index of a layer and direction in `seen.directions`; None if the encoder has no recurrent layers.

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
    """Return the units from those that forget fast to those that remember; as they are in a plain RNN."""
    life = each.half_life()
    return np.arange(each.memory.shape[1]) if life is None else np.argsort(life.numpy(), kind="stable")


def limit_of(memory: NDArray[np.float32]) -> float:
    """Return the size up to which values of a memory are told apart by colour: 3, from where tanh is flat, or less."""
    return min(float(np.quantile(np.abs(memory), 0.98)), 3.0) or 1.0 if memory.size else 1.0


def shown_tokens(seen: Observation) -> list[int]:
    """Return the blank, and the tokens that are likely somewhere, the likeliest first."""
    highest = np.exp(seen.log_probs.max(axis=0)) if len(seen.log_probs) else np.zeros(len(seen.tokens))
    highest[0] = 2.0
    order = np.argsort(-highest, kind="stable")
    return [int(token) for token in order[:TOKENS] if highest[token] >= _SHOWN]


def _kind(each: Direction) -> str:
    gates = each.gates
    return "LSTM" if isinstance(gates, LSTMGates) else "GRU" if isinstance(gates, GRUGates) else "plain RNN"


def _equations(seen: Observation) -> list[dict[str, Any]]:
    if not seen.directions:
        return []
    kind = _kind(seen.directions[0])
    lines, text = _EQUATIONS[kind]
    return [
        {
            "title": f"The {kind} in {len(lines)} lines" if len(lines) > 1 else f"The {kind}",
            "lines": lines,
            "text": text,
        }
    ]


def _bytes(values: Any, low: float = 0.0, high: float = 1.0) -> str:
    """Return numbers as bytes, `low` becoming 0 and `high` 255, in base64."""
    scaled = (np.asarray(values, np.float64) - low) / (high - low) * 255
    return base64.b64encode(np.clip(np.rint(scaled), 0, 255).astype(np.uint8).tobytes()).decode("ascii")


def _sound(seen: Observation) -> str:
    content = io.BytesIO()
    soundfile.write(content, np.clip(seen.waveform, -1, 1), seen.sample_rate, format="FLAC", subtype="PCM_16")
    return base64.b64encode(content.getvalue()).decode("ascii")


def _waveform(seen: Observation) -> dict[str, Any]:
    step = max(round(_STEP * seen.sample_rate), 1)
    padded = np.pad(seen.waveform, (0, -len(seen.waveform) % step), mode="edge").reshape(-1, step)
    peak = float(np.abs(seen.waveform).max()) or 1.0
    envelope = np.stack((padded.min(axis=1), padded.max(axis=1)), axis=1)
    return {"shift": step / seen.sample_rate, "peak": peak, "data": _bytes(envelope, -peak, peak)}


def _spectrogram(seen: Observation) -> dict[str, Any]:
    levels = seen.spectrogram.T  # (bins, frames)
    step = -(-len(levels) // _ROWS)
    edges = np.arange(0, len(levels), step)
    rows = np.maximum.reduceat(levels, edges, axis=0)
    top = float(levels.max())
    return {
        "data": _bytes(rows, top - RANGE, top),
        "rows": len(rows),
        "columns": rows.shape[1],
        "shift": seen.spectrogram_shift,
        "top": seen.sample_rate / 2 * len(rows) * step / len(levels),
        "range": RANGE,
    }


def _posteriors(seen: Observation) -> dict[str, Any]:
    tokens = shown_tokens(seen)
    shares = np.exp(seen.log_probs[:, tokens].T.astype(np.float64))
    best = shares.argmax(axis=0)
    peaks = []
    for row in range(1, len(tokens)):  # the top of each stretch of frames in which a token is the best
        edges = np.flatnonzero(np.diff(best == row, prepend=False, append=False)).reshape(-1, 2)
        peaks += [{"row": row, "frame": int(a + shares[row, a:b].argmax())} for a, b in edges]
    return {
        "names": [seen.tokens[token] for token in tokens],
        "columns": shares.shape[1],
        "peaks": sorted(peaks, key=lambda peak: peak["frame"]),
        "data": _bytes(shares),
    }


def _layer(each: Direction) -> dict[str, Any]:
    order = memory_order(each)
    life = each.half_life()
    memory = each.memory.numpy()
    limit = limit_of(memory)
    name = "cell" if isinstance(each.gates, LSTMGates) else "hidden"
    openings = {gate: values.numpy() for gate, values in each.openings.items()}
    parts: dict[str, Any] = {
        gate: {"data": _bytes(values[:, order].T), "rows": len(order)} for gate, values in openings.items()
    }
    parts[name] = {"data": _bytes(memory[:, order].T, -limit, limit), "rows": len(order), "limit": limit}
    gates = {}
    for gate, (shut, open_) in each.saturation().items():
        counts, _ = np.histogram(openings[gate], _BINS, (0.0, 1.0))
        gates[gate] = {
            "histogram": (counts / max(openings[gate].size, 1)).round(5).tolist(),
            "shut": shut.numpy()[order].round(4).tolist(),
            "open": open_.numpy()[order].round(4).tolist(),
        }
    seconds = None if life is None else life.numpy()[order]
    return {
        "layer": each.layer,
        "direction": each.name,
        "columns": len(memory),
        "shift": each.frame_shift,
        "parts": parts,
        "gates": gates,
        "halfLife": None
        if seconds is None
        else [round(1000 * value, 2) if np.isfinite(value) else None for value in seconds.tolist()],
    }


def _share(both: NDArray[np.float64]) -> dict[str, Any]:
    total = both.sum(axis=1)
    forward = np.divide(both[:, 0], total, out=np.full(len(both), 0.5), where=total > 0)
    return {
        "forward": _bytes(forward),
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
                "levels": _bytes(levels, -DECADES, 0.0),
            }
        )
    return found
