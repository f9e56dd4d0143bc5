"""Waveforms to features, as operators of ONNX.

The Fourier transform is a convolution with the waves of all its frequencies. The steps before it (window,
pre-emphasis, subtracting the mean) are linear and are part of the same kernel.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper
from torch import Tensor

from speechlstm.model.export.graph import Graph, check_kind
from speechlstm.model.features import Features, KaldiFbank, LogMel, Mfcc, Pcen, Spectrogram
from speechlstm.model.features.base import (
    ABOVE_NOISE,
    LOWEST,
    MARGIN,
    NOTHING,
    PREEMPHASIS,
    SPEECH_RANGE,
    ZEROS,
)
from speechlstm.model.features.mfcc import CONTEXT

KINDS = (LogMel, Mfcc, KaldiFbank, Spectrogram, Pcen)
_SILENT = -1e30  # dB, below everything


def add_features(graph: Graph, features: Features, waveforms: str, lengths: str) -> tuple[str, str]:
    """Add what `Features.forward` does, and return features and their lengths.

    Waveforms are `(batch, samples)` float32, lengths `(batch,)` int64, none above the number of samples.

    Raises:
        UsageError: the features are not among `KINDS`.
    """
    check_kind("features", features, KINDS)
    waveforms = graph("Where", graph.within(lengths, graph.size(waveforms, 1)), waveforms, 0.0)
    frames = _frame_lengths(graph, features, lengths)
    padded = graph("Unsqueeze", _padded(graph, features, waveforms), [1])
    values = _values(graph, features, padded, frames)
    within = graph.within(frames, graph.size(values, 1))
    speech = levels = ""
    if features.normalize == "utterance" or isinstance(features, Pcen):
        levels = _levels(graph, features, padded)
        speech = _speech_frames(graph, levels, within)
    if isinstance(features, Pcen):
        values = _compressed(graph, features, values, speech)
    if features.normalize == "utterance":
        values = _normalized(graph, values, speech, levels, features.least_deviation)
    elif features.normalize == "global":
        values = graph("Div", graph("Sub", values, features.mean.float()), features.std.float())
    return graph("Where", graph("Unsqueeze", within, [2]), values, 0.0), frames


def _frame_lengths(graph: Graph, features: Features, lengths: str) -> str:
    if isinstance(features, KaldiFbank):
        lengths = graph("Sub", lengths, features.window_length)
    frames = graph("Add", graph("Div", lengths, features.hop_length), 1)
    return graph("Max", frames, 1)


def _padded(graph: Graph, features: Features, waveforms: str) -> str:
    half = features.window_length // 2
    around: str | list[int] = [0, features.window_length - half, 0, half]
    if isinstance(features, KaldiFbank):  # only what is shorter than a window
        missing = graph("Max", graph("Sub", features.window_length, graph.size(waveforms, 1)), 0)
        around = graph("Concat", [0, 0, 0], graph("Unsqueeze", missing, [0]), axis=0)
    return graph("Pad", waveforms, around)


def _values(graph: Graph, features: Features, padded: str, frames: str) -> str:
    """Add what `Features.compute` does, for `Pcen` only the energies."""
    if isinstance(features, Mfcc):
        cepstra = graph("MatMul", _values(graph, features.log_mel, padded, frames), features.dct)
        if not features.deltas:
            return cepstra
        first = _differences(graph, cepstra, frames)
        return graph("Concat", cepstra, first, _differences(graph, first, frames), axis=2)
    filters, floor = _filters(features)
    spectrum = graph("Conv", padded, _kernel(features), strides=[features.hop_length])
    power = graph("Transpose", graph("Mul", spectrum, spectrum), perm=[0, 2, 1])  # real and imaginary parts
    energies = graph("MatMul", power, torch.cat((filters, filters)))
    return energies if isinstance(features, Pcen) else graph("Log", graph("Max", energies, floor))


def _compressed(graph: Graph, features: Pcen, energies: str, speech: str) -> str:
    """Add what `Pcen.compute` does to energies: smoothing begins at the mean of the speech, and pauses without it."""
    shape, size = graph("Shape", energies), graph.size(energies, 1)
    count = graph.cast(speech, np.int64)
    total = graph.total(graph("Where", speech, energies, 0.0), [1])
    start = graph("Div", total, graph.cast(graph.total(count, [1]), np.float32))
    time = graph("Unsqueeze", graph("Range", 0, size, 1), [0, 2])
    place = graph("Where", speech, time, graph("Add", time, size))  # speech, then the rest
    everything = graph("Unsqueeze", size, [0])
    first = graph.several("TopK", 2, place, everything, axis=1, largest=0, sorted=1)[1]
    spoken = graph("GatherElements", energies, graph("Expand", first, shape), axis=1)
    smoothed = _smoothed(graph, spoken, graph("Squeeze", start, [1]), features.share)
    latest = graph("Max", graph("Sub", graph("CumSum", count, 1), 1), 0)
    level = graph("GatherElements", smoothed, graph("Expand", latest, shape), axis=1)
    # A setting such as 2 is a whole number, which these operators do not take.
    gain, bias, power, eps = map(float, (features.gain, features.bias, features.power, features.eps))
    gains = graph("Pow", graph("Add", level, eps), -gain)
    raised = graph("Pow", graph("Add", graph("Mul", energies, gains), bias), power)
    return graph("Sub", raised, bias**power)


def _smoothed(graph: Graph, energies: str, start: str, share: float) -> str:
    """Add what `speechlstm.model.features.pcen.smooth` does, frame by frame."""
    body = Graph()
    body.scope = f"{graph.scope}/{graph.number()}/smoothing"
    before, energy, after, out = (
        helper.make_tensor_value_info(f"{body.scope}/{name}", TensorProto.FLOAT, None)
        for name in ("before", "energy", "after", "out")
    )
    new = body("Add", body("Mul", energy.name, share), body("Mul", before.name, 1 - share))
    done = body.finish("smoothing", [before, energy], [(new, after), (new, out)])
    axes = {"scan_input_axes": [1], "scan_output_axes": [1]}
    return graph.several("Scan", 2, start, energies, body=done, num_scan_inputs=1, **axes)[1]


def _filters(features: Features) -> tuple[Tensor, float]:
    """Return what the power spectrum is multiplied with, and the least energy."""
    if isinstance(features, KaldiFbank):
        return features.mel.float(), torch.finfo(torch.float32).eps
    if isinstance(features, LogMel):
        return features.mel.float(), float(features.floor)
    assert isinstance(features, Spectrogram)
    return torch.eye(features.num_features), float(features.floor)


def _kernel(features: Features) -> NDArray[np.float32]:
    """Return `(2 * bins, 1, window_length)`: what makes real and imaginary parts of a spectrum of a frame."""
    length = features.window_length
    fft_size = length if isinstance(features, Spectrogram) else int(features.fft_size)  # type: ignore[arg-type]
    waves = 2 * np.pi / fft_size * np.outer(np.arange(fft_size // 2 + 1), np.arange(length))
    kernel = np.concatenate((np.cos(waves), -np.sin(waves))) * features.window.double().cpu().numpy()
    if isinstance(features, KaldiFbank):
        before = np.eye(length, k=-1)
        before[0, 0] = 1  # the first sample stands before itself
        kernel = kernel @ (np.eye(length) - features.preemphasis * before) * features.scale
    kernel = kernel - kernel.mean(axis=1, keepdims=True)  # subtracts the mean of each frame
    return np.asarray(kernel[:, None], np.float32)


def _differences(graph: Graph, values: str, frames: str) -> str:
    """Add what `speechlstm.model.features.differences` does."""
    time = graph("Unsqueeze", graph("Range", 0, graph.size(values, 1), 1), [0])
    last = graph("Unsqueeze", graph("Sub", frames, 1), [1])
    shape = graph("Shape", values)

    def at(shift: int) -> str:
        index = graph("Min", graph("Max", graph("Add", time, shift), 0), last)
        return graph("GatherElements", values, graph("Expand", graph("Unsqueeze", index, [2]), shape), axis=1)

    steps = range(1, CONTEXT + 1)
    scale = 2 * sum(step * step for step in steps)
    slopes = [graph("Mul", graph("Sub", at(step), at(-step)), step / scale) for step in steps]
    return graph("Sum", *slopes)


def _levels(graph: Graph, features: Features, padded: str) -> str:
    """Add what `Features.levels` does to padded waveforms `(batch, 1, samples)`: `(batch, frames)` in dB."""
    later = graph("Slice", padded, [1], [2**62], [2])
    earlier = graph("Slice", padded, [0], [-1], [2])
    emphasized = graph("Sub", later, graph("Mul", earlier, PREEMPHASIS))
    emphasized = graph("Pad", emphasized, [0, 0, 1, 0, 0, 0])
    shape = {"kernel_shape": [features.window_length], "strides": [features.hop_length]}
    mean = graph("AveragePool", emphasized, **shape)
    power = graph("AveragePool", graph("Mul", emphasized, emphasized), **shape)
    power = graph("Squeeze", graph("Sub", power, graph("Mul", mean, mean)), [1])
    return graph("Mul", graph("Log", graph("Max", power, 1e-20)), 10 / np.log(10))


def _speech_frames(graph: Graph, levels: str, within: str) -> str:
    """Add what `speechlstm.model.features.base.speech_frames` does: `(batch, frames, 1)`, true in speech."""
    loudest = graph("ReduceMax", graph("Where", within, levels, _SILENT), axes=[1], keepdims=1)
    sounding = graph("GreaterOrEqual", levels, graph("Sub", loudest, 2 * SPEECH_RANGE))
    noise = _quantile(graph, levels, graph("And", sounding, within), 0.1)
    threshold = graph("Min", graph("Add", noise, ABOVE_NOISE), graph("Sub", loudest, SPEECH_RANGE / 2))
    threshold = graph("Max", threshold, graph("Sub", loudest, SPEECH_RANGE))
    loud = graph("And", graph("GreaterOrEqual", levels, threshold), within)
    shape = {"kernel_shape": [2 * MARGIN + 1], "pads": [MARGIN, MARGIN]}
    near = graph("MaxPool", graph("Unsqueeze", graph.cast(loud, np.float32), [1]), **shape)
    near = graph("Greater", graph("Squeeze", near, [1]), 0.0)
    apart = graph("And", within, graph("GreaterOrEqual", levels, graph("Sub", loudest, ZEROS)))
    return graph("Unsqueeze", graph("And", near, apart), [2])


def _quantile(graph: Graph, values: str, counted: str, share: float) -> str:
    """Return `(batch, 1)`, a quantile of those of `(batch, frames)` that are counted, interpolated."""
    raised = graph("Where", counted, values, -_SILENT)
    everything = graph("Unsqueeze", graph.size(values, 1), [0])
    ordered = graph.several("TopK", 2, raised, everything, axis=1, largest=0, sorted=1)[0]
    count = graph.total(graph.cast(counted, np.float32), [1])
    rank = graph("Mul", graph("Sub", count, 1.0), share)
    below, above = (
        graph("GatherElements", ordered, graph.cast(graph(edge, rank), np.int64), axis=1)
        for edge in ("Floor", "Ceil")
    )
    part = graph("Mul", graph("Sub", rank, graph("Floor", rank)), graph("Sub", above, below))
    return graph("Add", below, part)


def _normalized(graph: Graph, values: str, speech: str, levels: str, least: float) -> str:
    """Add what `speechlstm.model.features.base` does by `speech_statistics` and `scale`."""
    shape = graph("Concat", [1, 1], graph("Unsqueeze", graph.size(values, 2), [0]), axis=0)
    first = graph("ArgMax", graph.cast(speech, np.int32), axis=1, keepdims=1)
    values = graph("Sub", values, graph("GatherElements", values, graph("Expand", first, shape), axis=1))
    count = graph.total(graph.cast(speech, np.float32), [1])
    mean = graph("Div", graph.total(graph("Where", speech, values, 0.0), [1]), count)
    centered = graph("Sub", values, mean)
    kept = graph("Where", speech, centered, 0.0)
    variance = graph("Div", graph.total(graph("Mul", kept, kept), [1]), count)
    scaled = graph("Div", centered, graph("Sqrt", graph("Max", graph("Add", variance, 1e-3), least**2)))
    loudest = graph(
        "ReduceMax", graph("Where", graph("Squeeze", speech, [2]), levels, _SILENT), axes=[1], keepdims=1
    )
    something = graph("Unsqueeze", graph("Greater", loudest, NOTHING), [2])
    return graph("Where", something, graph("Max", scaled, LOWEST), LOWEST)
