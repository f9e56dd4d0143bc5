"""Plugin-based speech recognition with a stacked bidirectional LSTM trained by CTC."""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from speechlstm.model.bundle import Bundle

__all__ = ["__version__", "load"]


def load(
    bundle: str | Path | None = None, *, device: str | torch.device = "cpu", precision: str = "32-true"
) -> Bundle:
    """Load a trained recogniser; without an argument the one that ships with the package.

    Args:
        bundle: folder written by `speechlstm train`.
        device: where to compute, such as `"cpu"` or `"cuda"`.
        precision: of the encoder: `"32-true"`, `"bf16-mixed"`, or, on a GPU, `"16-mixed"`.

    Returns:
        The recogniser; `load().transcribe("call.wav")` gives a `Transcript`.

    Raises:
        UsageError: the device cannot compute in this precision.
        BundleError: the folder is not a bundle, is damaged, or was written by an incompatible version.
    """
    from speechlstm.model.bundle import (
        load_bundle,  # torch takes a second to import: not for `speechlstm --help`
    )

    return load_bundle(bundle, device=device, precision=precision)
