"""What callbacks go by: figures of a validation, which must mean something for the loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig

from speechlstm.training.loss import CtcLoss
from speechlstm.types import UsageError


def check_monitors(callbacks: Sequence[Any], loss: CtcLoss, decoder: DictConfig) -> None:
    """See whether the error rates that callbacks go by mean anything for the loss.

    Raises:
        UsageError: the loss needs a language model, but the decoder of the validation has none.
    """
    if not loss.needs_lm or decoder.get("lm"):
        return
    for callback in callbacks:
        if (monitor := getattr(callback, "monitor", None)) in ("val/wer", "val/cer"):
            raise UsageError(
                f"{type(callback).__name__} goes by {monitor}, but this loss trains for a decoder with a language "
                f"model, and decoder={decoder.get('name')} has none, so that its error rate says nothing: set "
                "decoder=beam lm=FILE, or go by the loss with callbacks.best.monitor=val/loss"
            )
