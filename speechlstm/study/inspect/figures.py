"""An observation as PNG pictures for papers and slides, in the colors of the page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from speechlstm.evaluation.pages.palette import SERIES, light
from speechlstm.evaluation.plots import colormap, figure, to_png
from speechlstm.study.inspect.gates import Direction
from speechlstm.study.inspect.influence import Reach
from speechlstm.study.inspect.notation import Part, notation
from speechlstm.study.inspect.observe import Observation
from speechlstm.study.inspect.page import DECADES, about, limit_of, memory_order, shown_tokens

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_RANGE = 80  # decibels of the spectrogram that are shown, as in the page
_WINDOW, _HOP = 0.025, 0.005  # seconds of the spectrogram
_TEXT: dict[str, Any] = {"ha": "center", "fontsize": 8, "parse_math": False}
_MARKERS = {"circle": "o", "square": "s", "triangle": "^"}


def draw_signals(seen: Observation, index: int | None) -> bytes:
    """Return a PNG of signals over time: sound, output, and the gates of `seen.directions[index]`, if there is one."""
    each = None if index is None else seen.directions[index]
    parts = notation(each.gates).parts if each else {}
    heights = [0.3, 0.6, 1.0, 1.0, *[1.0] * len(parts), *([1.0] if seen.reaches else [])]
    with figure(10, 1.45 * sum(heights) + 1.0) as drawn:
        grid = {"height_ratios": heights}
        rows: Any = drawn.subplots(len(heights), 1, sharex=True, gridspec_kw=grid)
        _words(rows[0], seen)
        times = np.arange(len(seen.waveform)) / seen.sample_rate
        rows[1].plot(times, seen.waveform, color=light("ink"), linewidth=0.4)
        _caption(rows[1], "Waveform, 1 is full scale", "amplitude")
        _spectrogram(drawn, rows[2], seen)
        _tokens(rows[3], seen)
        for axes, (name, part) in zip(rows[4:], parts.items(), strict=False):
            assert each is not None
            _heat(drawn, axes, each, name, part)
        if seen.reaches:
            _reach(rows[-1], seen, seen.reaches[len(seen.reaches) // 2])
        rows[-1].set_xlabel("time (s)")
        rows[-1].set_xlim(0, seen.seconds)
        drawn.align_ylabels()
        where = f"; layer {each.layer} {each.name}" if each else ""
        _headline(drawn, seen, where)
        return to_png(drawn)


def draw_memory(seen: Observation, index: int | None) -> bytes:
    """Return a PNG of half-lives, the gates of `seen.directions[index]`, if there is one, and reach of gradients."""
    with figure(10, 7.2) as drawn:
        grid: Any = drawn.subplots(2, 2)
        life, opening, saturation, reach = grid.flat
        _half_lives(life, seen)
        if index is not None:
            _gates(opening, saturation, seen.directions[index])
        opening.set(xlim=(0, 1), xlabel="opening (0 shut, 1 open)", ylabel="values (%)")
        saturation.set(xlim=(0, 100), ylim=(0, 100))
        saturation.set(xlabel="shut, below 0.1 (% of the time)", ylabel="open, above 0.9 (% of the time)")
        saturation.set_title("Which units are saturated: one mark for each")
        for one in seen.reaches:
            lags = np.arange(len(one.gradient)) * one.frame_shift - one.seconds
            reach.semilogy(lags, _relative(one), color=light("blue"), alpha=0.5, linewidth=0.8)
        reach.set(ylim=(10.0**-DECADES, 1.5), xlabel="seconds from the output", ylabel="gradient, relative")
        reach.set_title("How far back and ahead outputs reach: one line for each")
        for axes in grid.flat:
            axes.grid(True, linewidth=0.6)
            if axes.get_legend_handles_labels()[1]:
                axes.legend()
        _headline(drawn, seen, "")
        return to_png(drawn)


def _headline(drawn: Figure, seen: Observation, where: str) -> None:
    name = Path(seen.transcript.audio).name
    drawn.suptitle(f"{name}: {about(seen)}{where}", fontsize=8, wrap=True, parse_math=False)


def _caption(axes: Axes, text: str, label: str) -> None:
    axes.set_title(text, fontsize=8, pad=3, parse_math=False)
    axes.set_ylabel(label, fontsize=8)


def _words(axes: Axes, seen: Observation) -> None:
    for word in seen.transcript.words:
        axes.axvspan(word.start, word.end, color=light("blue"), alpha=0.1 + 0.2 * word.confidence, ec="w")
        middle = (word.start + word.end) / 2
        axes.text(middle, 0.5, word.text, va="center", clip_on=True, **_TEXT)
    axes.set(ylim=(0, 1), yticks=[])
    _caption(axes, "Words; a darker color means higher confidence", "")


def _spectrogram(drawn: Figure, axes: Axes, seen: Observation) -> None:
    import librosa.display  # with numba, which takes half a second

    window = round(_WINDOW * seen.sample_rate)
    hop, size = round(_HOP * seen.sample_rate), 1 << (window - 1).bit_length()
    padded = librosa.util.fix_length(seen.waveform, size=max(len(seen.waveform), size))
    amplitudes = np.abs(librosa.stft(padded, n_fft=size, win_length=window, hop_length=hop))
    levels = librosa.amplitude_to_db(amplitudes, ref=max(float(amplitudes.max()), 1e-2), top_db=None)
    times = librosa.times_like(levels, sr=seen.sample_rate, hop_length=hop)
    bins = librosa.fft_frequencies(sr=seen.sample_rate, n_fft=size) / 1000
    places: dict[str, Any] = {
        "x_coords": times,
        "y_coords": bins,
        "x_axis": "s",
        "y_axis": "linear",
        "ax": axes,
    }
    image = librosa.display.specshow(levels, cmap=colormap("loud"), vmin=-_RANGE, vmax=0, **places)
    axes.set_xlabel("")
    _caption(axes, "Spectrogram, decibels relative to the loudest", "frequency (kHz)")
    drawn.colorbar(image, ax=axes, pad=0.01, aspect=8).set_label("dB", fontsize=8)


def _tokens(axes: Axes, seen: Observation) -> None:
    times = np.arange(len(seen.log_probs)) * seen.frame_shift
    blank, *others = shown_tokens(seen)
    axes.plot(times, np.exp(seen.log_probs[:, blank]), color=light("quiet"), linestyle=":", linewidth=0.8)
    for number, token in enumerate(others, 1):
        shares = np.exp(seen.log_probs[:, token])
        color = light(SERIES[number % len(SERIES)])
        axes.plot(times, shares, color=color, linewidth=1)
        best = seen.log_probs.argmax(axis=1) == token
        for start, end in np.flatnonzero(np.diff(best, prepend=False, append=False)).reshape(-1, 2):
            peak = start + int(shares[start:end].argmax())
            axes.text(times[peak], 1.05, seen.tokens[token], color=color, **_TEXT)
    axes.set(ylim=(0, 1.25), yticks=[0, 0.5, 1])
    _caption(
        axes,
        "CTC output: probability of each token in each frame; the dotted line is the blank",
        "probability",
    )


def _heat(drawn: Figure, axes: Axes, each: Direction, name: str, part: Part) -> None:
    values: NDArray[np.float32] = getattr(each.gates, name).numpy()[:, memory_order(each)]
    high = limit_of(values) if name == "cell" else 1.0
    is_gate = name in each.openings
    image = axes.imshow(
        values.T,
        aspect="auto",
        origin="lower",
        cmap=colormap("share" if is_gate else "signed"),
        vmin=0.0 if is_gate else -high,
        vmax=high,
        extent=(-each.frame_shift / 2, (len(values) - 0.5) * each.frame_shift, 0.5, values.shape[1] + 0.5),
        interpolation="none",
    )
    note = f"; {part.note}" if part.note else ""
    _caption(axes, f"{part.title} {part.symbol}: {part.meaning}{note}", "unit")
    label = f"{part.symbol} (0 shut, 1 open)" if is_gate else part.symbol
    drawn.colorbar(image, ax=axes, pad=0.01, aspect=8).set_label(label, fontsize=7)


def _reach(axes: Axes, seen: Observation, reach: Reach) -> None:
    times = np.arange(len(reach.gradient)) * reach.frame_shift
    axes.semilogy(times, _relative(reach), color=light("blue"), linewidth=1)
    axes.axvline(reach.seconds, color=light("orange"), linewidth=1)
    axes.set_ylim(10.0**-DECADES, 1.5)
    token = seen.tokens[reach.token]
    _caption(axes, f"What “{token}” depends on: its gradient with respect to the input, relative", "gradient")


def _half_lives(axes: Axes, seen: Observation) -> None:
    inks = [*SERIES, "ink", "quiet"]
    for each in seen.directions:
        half = each.half_life()
        if half is not None:
            seconds = np.sort(half.numpy())
            finite = seconds[np.isfinite(seconds)]
            axes.step(
                1000 * finite,
                100 * np.arange(1, len(finite) + 1) / len(seconds),
                where="post",
                color=light(inks[(each.layer - 1) % len(inks)]),
                linestyle="-" if each.name == "forward" else "--",
                label=f"layer {each.layer} {each.name}",
            )
    axes.set(xscale="log", ylim=(0, 100), xlabel="half-life (ms)", ylabel="units with at most that (%)")
    axes.set_title(f"How long units remember; a frame is {1000 * seen.frame_shift:g} ms")


def _gates(opening: Axes, saturation: Axes, each: Direction) -> None:
    parts = notation(each.gates).parts
    for name, values in each.openings.items():
        flat = values.numpy().ravel()
        weights = np.full(len(flat), 100 / max(len(flat), 1))
        style: dict[str, Any] = {"color": light(parts[name].ink), "label": parts[name].title}
        opening.hist(flat, 40, range=(0, 1), weights=weights, histtype="step", **style)
    for name, (shut, open_) in each.saturation().items():
        marks: dict[str, Any] = {"color": light(parts[name].ink), "label": parts[name].title}
        marks |= {"s": 9, "alpha": 0.6, "marker": _MARKERS[parts[name].mark], "linewidths": 0}
        saturation.scatter(100 * shut.numpy(), 100 * open_.numpy(), **marks)
    opening.set_title(f"How far open the gates of layer {each.layer} {each.name} are")


def _relative(reach: Reach) -> NDArray[np.float64]:
    return reach.gradient / max(float(reach.gradient.max()), 1e-300)
