"""An observation as pictures, for papers and slides: PNG by matplotlib."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from speechlstm.evaluation.plots import can_draw, to_png
from speechlstm.study.inspect.gates import Direction
from speechlstm.study.inspect.observe import Observation
from speechlstm.study.inspect.page import DECADES, RANGE, about, limit_of, memory_order, shown_tokens
from speechlstm.types import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK = ["#0072b2", "#d55e00", "#009e73", "#cc79a7"]  # Okabe and Ito's, told apart by the colour-blind
_GATES = {
    "input": "#d55e00",
    "forget": "#0072b2",
    "output": "#009e73",
    "reset": "#d55e00",
    "update": "#0072b2",
}
_MARKERS = {"input": "s", "forget": "o", "output": "^", "reset": "s", "update": "o"}


def check_plots() -> None:
    """Raise a UsageError unless pictures can be drawn."""
    if not can_draw():
        raise UsageError(
            "pictures need matplotlib: pip install 'speechlstm[plots]', or leave them out with png=false"
        )


def draw_signals(seen: Observation, index: int | None) -> bytes:
    """Return a PNG of all that goes with time: sound, output, gates and memory of one direction of one layer.

    Args:
        seen: what was observed.
        index: of the direction in `seen.directions`; None leaves gates out.

    Raises:
        UsageError: matplotlib is not installed.
    """
    check_plots()
    from matplotlib.figure import Figure  # without pyplot: no window system, no global state

    each = None if index is None else seen.directions[index]
    gates = each.openings if each else {}
    names = ["words", "waveform", "spectrogram", "tokens", *gates, *(["memory"] if each else []), "reach"]
    heights = [0.3 if name == "words" else 0.6 if name == "waveform" else 1.0 for name in names]
    figure = Figure(figsize=(10, 1.3 * sum(heights) + 1.2), dpi=150, layout="constrained")
    rows: Any = figure.subplots(len(names), 1, sharex=True, gridspec_kw={"height_ratios": heights})
    axes = dict(zip(names, rows, strict=True))
    _words(axes["words"], seen)
    axes["waveform"].plot(
        np.arange(len(seen.waveform)) / seen.sample_rate, seen.waveform, color="0.2", linewidth=0.4
    )
    axes["waveform"].set_ylabel("amplitude")
    _spectrogram(figure, axes["spectrogram"], seen)
    _tokens(axes["tokens"], seen)
    if each:
        order = memory_order(each)
        for name, values in gates.items():
            _heat(
                figure, axes[name], values.numpy()[:, order], each, f"{name} gate\n(units)", "viridis", 0, 1
            )
        memory = each.memory.numpy()[:, order]
        limit = limit_of(memory)
        _heat(figure, axes["memory"], memory, each, "memory\n(units)", "PuOr_r", -limit, limit)
    if seen.reaches:
        reach = seen.reaches[len(seen.reaches) // 2]
        scaled = reach.gradient / max(reach.gradient.max(), 1e-300)
        axes["reach"].semilogy(np.arange(len(scaled)) * reach.frame_shift, scaled, color=_INK[0], linewidth=1)
        axes["reach"].axvline(reach.seconds, color=_INK[1], linewidth=1)
        axes["reach"].set_ylim(10.0**-DECADES, 1.5)
        axes["reach"].set_ylabel(f"gradient of\n“{seen.tokens[reach.token]}”")
    rows[-1].set_xlabel("time (s)")
    rows[-1].set_xlim(0, seen.seconds)
    figure.align_ylabels()
    where = f"; layer {each.layer} {each.name}" if each else ""
    figure.suptitle(f"{Path(seen.transcript.audio).name}: {about(seen)}{where}", fontsize=8, wrap=True)
    return to_png(figure)


def draw_memory(seen: Observation, index: int | None) -> bytes:
    """Return a PNG of what holds for the whole recording: half-lives, saturation, reach of the gradients.

    Args:
        seen: what was observed.
        index: of the direction in `seen.directions` whose gates are shown; None leaves them out.

    Raises:
        UsageError: matplotlib is not installed.
    """
    check_plots()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 7), dpi=150, layout="constrained")
    grid: Any = figure.subplots(2, 2)
    life, opening, saturation, reach = grid.flat
    for each in seen.directions:
        half = each.half_life()
        if half is not None:
            seconds = np.sort(half.numpy())
            finite = seconds[np.isfinite(seconds)]
            life.step(
                1000 * finite,
                100 * np.arange(1, len(finite) + 1) / len(seconds),
                where="post",
                color=_INK[(each.layer - 1) % 4],
                linestyle="-" if each.name == "forward" else "--",
                label=f"layer {each.layer} {each.name}",
            )
    life.set(xscale="log", ylim=(0, 100), xlabel="half-life (ms)", ylabel="units with at most that (%)")
    life.set_title("How long units remember", fontsize=10)
    if index is not None:
        each = seen.directions[index]
        for name, values in each.openings.items():
            flat = values.numpy().ravel()
            weights = np.full(len(flat), 100 / max(len(flat), 1))
            style = {"histtype": "step", "color": _GATES[name], "label": name}
            opening.hist(flat, 40, range=(0, 1), weights=weights, **style)
        for name, (shut, open_) in each.saturation().items():
            marks = {"s": 9, "alpha": 0.6, "color": _GATES[name], "marker": _MARKERS[name], "label": name}
            saturation.scatter(100 * shut.numpy(), 100 * open_.numpy(), linewidths=0, **marks)
        opening.set_title(f"How far open the gates of layer {each.layer} {each.name} are", fontsize=10)
    opening.set(xlim=(0, 1), xlabel="opening (0 shut, 1 open)", ylabel="values (%)")
    saturation.set(xlim=(0, 100), ylim=(0, 100))
    saturation.set(xlabel="shut, below 0.1 (% of the time)", ylabel="open, above 0.9 (% of the time)")
    saturation.set_title("Which units are saturated", fontsize=10)
    for each_reach in seen.reaches:
        lags = np.arange(len(each_reach.gradient)) * each_reach.frame_shift - each_reach.seconds
        scaled = each_reach.gradient / max(each_reach.gradient.max(), 1e-300)
        reach.semilogy(lags, scaled, color=_INK[0], alpha=0.5, linewidth=0.8)
    reach.set(ylim=(10.0**-DECADES, 1.5), xlabel="seconds from the output", ylabel="gradient, relative")
    reach.set_title("How far back and ahead outputs reach", fontsize=10)
    for axes in grid.flat:
        axes.grid(True, color="0.9", linewidth=0.6)
        if axes.get_legend_handles_labels()[1]:
            axes.legend(fontsize=8)
    figure.suptitle(f"{Path(seen.transcript.audio).name}: {about(seen)}", fontsize=8, wrap=True)
    return to_png(figure)


def _words(axes: Axes, seen: Observation) -> None:
    for word in seen.transcript.words:
        axes.axvspan(word.start, word.end, color=_INK[0], alpha=0.12 + 0.2 * word.confidence, ec="w")
        middle = (word.start + word.end) / 2
        axes.text(middle, 0.5, word.text, ha="center", va="center", fontsize=8, clip_on=True)
    axes.set(ylim=(0, 1), yticks=[], ylabel="words")


def _spectrogram(figure: Figure, axes: Axes, seen: Observation) -> None:
    top = float(seen.spectrogram.max())
    half = seen.spectrogram_shift / 2
    extent = (-half, (len(seen.spectrogram) - 0.5) * seen.spectrogram_shift, 0, seen.sample_rate / 2000)
    image = axes.imshow(
        seen.spectrogram.T - top,
        aspect="auto",
        origin="lower",
        cmap="gray_r",
        vmin=-RANGE,
        vmax=0,
        extent=extent,
    )
    axes.set_ylabel("kHz")
    figure.colorbar(image, ax=axes, pad=0.01, aspect=8).set_label("dB", fontsize=8)


def _tokens(axes: Axes, seen: Observation) -> None:
    times = np.arange(len(seen.log_probs)) * seen.frame_shift
    blank, *others = shown_tokens(seen)
    axes.plot(times, np.exp(seen.log_probs[:, blank]), color="0.5", linestyle=":", linewidth=0.8)
    for number, token in enumerate(others):
        shares = np.exp(seen.log_probs[:, token])
        color = _INK[number % 4]
        axes.plot(times, shares, color=color, linewidth=1)
        best = seen.log_probs.argmax(axis=1) == token
        for start, end in np.flatnonzero(np.diff(best, prepend=False, append=False)).reshape(-1, 2):
            peak = start + int(shares[start:end].argmax())
            axes.text(times[peak], 1.05, seen.tokens[token], color=color, ha="center", fontsize=7)
    axes.set(ylim=(0, 1.25), yticks=[0, 0.5, 1], ylabel="probability")


def _heat(
    figure: Figure,
    axes: Axes,
    values: NDArray[np.float32],
    each: Direction,
    label: str,
    colours: str,
    low: float,
    high: float,
) -> None:
    extent = (-each.frame_shift / 2, (len(values) - 0.5) * each.frame_shift, 0.5, values.shape[1] + 0.5)
    image = axes.imshow(
        values.T,
        aspect="auto",
        origin="lower",
        cmap=colours,
        vmin=low,
        vmax=high,
        extent=extent,
        interpolation="none",
    )
    axes.set_ylabel(label)
    figure.colorbar(image, ax=axes, pad=0.01, aspect=8)
