"""The runtimes of a model: PyTorch, or ONNX Runtime, which does not need PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeGuard

import torch
from torch import Tensor

from speechlstm.model.bundle import Bundle
from speechlstm.model.settings import check_argument
from speechlstm.types import UsageError

RUNTIMES = {"torch": "", "onnx": "none", "onnx-int8": "int8"}  # and how an export is quantized for them

Forward = Callable[[Tensor, Tensor], tuple[Tensor, ...]]  # as `AcousticModel.forward`


def find_runtime(bundle: Bundle, runtime: str, device: torch.device, precision: str) -> Forward:
    """Return what maps `(batch, samples)` and lengths to log-probabilities and lengths.

    Args:
        bundle: the model.
        runtime: one of `RUNTIMES`.
        device: where to compute.
        precision: of the encoder.

    Raises:
        UsageError: there is no such runtime; it is not installed, or not for this device, precision or model.
    """
    check_argument("runtime", runtime, Literal[tuple(RUNTIMES)])
    if runtime == "torch":
        return bundle.model
    if device.type != "cpu" or precision != "32-true":
        raise UsageError(
            f"runtime={runtime} is for the CPU and precision 32-true, not for {device} and {precision}: "
            "add trainer=cpu"
        )
    from speechlstm.model.export import to_onnx  # an extra

    session = _onnx_session(to_onnx(bundle, RUNTIMES[runtime]))
    return _one_by_one(session) if runtime == "onnx-int8" else session


def check_batch(waveforms: object, lengths: object) -> None:
    """See that a runtime can take a batch.

    Raises:
        UsageError: it is no float32 tensor `(batch, samples)`, or the lengths are none for it.
    """
    if not (_holds(waveforms, torch.float32) and waveforms.ndim == 2 and len(waveforms)):
        raise UsageError(
            f"waveforms is {_called(waveforms)}, but must be a float32 tensor (batch, samples) with full scale 1"
        )
    batch, samples = waveforms.shape
    if not (_holds(lengths, torch.int64, torch.int32) and lengths.shape == (batch,)):
        raise UsageError(
            f"lengths is {_called(lengths)}, but must be an int64 tensor ({batch},), a number each waveform"
        )
    least, most = (int(each) for each in torch.aminmax(lengths))
    if least < 0 or most > samples:
        raise UsageError(
            f"lengths are from {least} to {most}, but must be from 0 to {samples}, the samples of the waveforms"
        )


def _holds(value: object, *dtypes: torch.dtype) -> TypeGuard[Tensor]:
    """Return whether a value is an ordinary tensor with numbers of one of these types."""
    return (
        isinstance(value, Tensor)
        and value.dtype in dtypes
        and value.layout is torch.strided
        and value.device.type != "meta"
    )


def _called(value: object) -> str:
    """Return what a value is, in words, without the numbers in it."""
    if not isinstance(value, Tensor):
        return f"a {type(value).__name__}"
    usual = (torch.strided, torch.device("cpu"))
    kinds = [value.dtype, *(each for each in (value.layout, value.device) if each not in usual)]
    words = ", ".join(str(each).removeprefix("torch.") for each in kinds)
    return f"a tensor of shape {tuple(value.shape)} and type {words}"


def _one_by_one(forward: Forward) -> Forward:
    """Return the same for each utterance alone: in a batch, the others would have a say in how it is rounded."""

    def alone(waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
        rows = zip(waveforms, lengths, strict=True)
        found = [forward(row[None, : int(length)], length[None]) for row, length in rows]
        padded = torch.nn.utils.rnn.pad_sequence([log_probs[0] for log_probs, _ in found], batch_first=True)
        return padded, torch.cat([frames for _, frames in found])

    return alone


def _onnx_session(model: bytes) -> Forward:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # batches run side by side instead
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def forward(waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
        log_probs, frames = session.run(
            None, {"waveforms": waveforms.numpy(), "lengths": lengths.long().numpy()}
        )
        return torch.from_numpy(log_probs), torch.from_numpy(frames)

    return forward
