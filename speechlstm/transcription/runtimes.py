"""The runtimes of a model: PyTorch, or ONNX Runtime, which does not need PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

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
        log_probs, frames = session.run(None, {"waveforms": waveforms.numpy(), "lengths": lengths.numpy()})
        return torch.from_numpy(log_probs), torch.from_numpy(frames)

    return forward
