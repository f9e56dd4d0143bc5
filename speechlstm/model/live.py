"""The acoustic model on live speech, of which it gets the last seconds again and again."""

from __future__ import annotations

import torch
from torch import Tensor

from speechlstm.model.acoustic import AcousticModel
from speechlstm.model.features import Features
from speechlstm.model.features.running import RunningFeatures


class LiveModel:
    """Log-probabilities of one speaker's live speech.

    An encoder with a method `stream`, which returns what has a method `accept(features, last)` such as
    `speechlstm.model.encoder.stream.EncoderStream`, carries its state on, and reads everything once. Other encoders
    recognize all that is held again.

    Args:
        model: in evaluation mode; its features are `Features`.
    """

    def __init__(self, model: AcousticModel) -> None:
        if not isinstance(model.features, Features):
            raise TypeError(f"{type(model.features).__name__} is not a subclass of Features")
        self.encoder, self.features = model.encoder, RunningFeatures(model.features)
        self._hop = model.features.hop_length
        self._frame = self._hop * int(self.encoder.subsampling)  # type: ignore[arg-type]
        begin = getattr(self.encoder, "stream", None)
        self._stream = begin() if begin else None
        self._taken = 0  # frames of features that the stream has taken
        self._first = 0  # number of the first frame of what has come out
        self._out: Tensor | None = None

    def __call__(self, held: Tensor, start: int, last: bool) -> Tensor:
        """Return the log-probabilities from a sample on, `(frames, vocab)`, as far as they can be told.

        Args:
            held: `(samples,)` float32, the last seconds of the speech.
            start: number of their first sample, a multiple of the samples of a frame. It never goes back, nor
                beyond what has come out.
            last: whether the speech ends with them.
        """
        features, complete = self.features(held, start, last)
        if self._stream is None:
            lengths = torch.tensor([len(features)], device=features.device)
            log_probs: Tensor = self.encoder(features[None], lengths)[0]
            return log_probs[0]
        first = start // self._hop
        new, self._taken = features[self._taken - first : complete], first + complete
        log_probs = self._stream.accept(new, last)
        if self._out is not None:
            log_probs = torch.cat((self._out[start // self._frame - self._first :], log_probs))
        self._out, self._first = log_probs, start // self._frame
        return log_probs
