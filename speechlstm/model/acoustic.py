"""The acoustic model: waveforms to log-probabilities of tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from speechlstm.types import PluginError

Augment = Callable[[Tensor, Tensor], Tensor]  # `(batch, frames, features)` and lengths to changed features


class Stages(NamedTuple):
    """What one pass through the acoustic model computed, stage by stage."""

    features: Tensor  # `(batch, frames, features)`, augmented where training asked for it
    feature_lengths: Tensor  # `(batch,)` frames of the features
    log_probs: Tensor  # `(batch, encoder frames, vocab)` natural logs
    lengths: Tensor  # `(batch,)` encoder frames
    # in training, for each lower layer with an output of its own, what `log_probs` is of the last
    intermediate: tuple[Tensor, ...]


class AcousticModel(nn.Module):
    """Features and encoder as one function; only `speechlstm.model.live` runs them in another way.

    Training, recognition, the inspector and export all hold one. Its weights are named `features.*` and `encoder.*` in
    a state dict.
    """

    def __init__(self, features: nn.Module, encoder: nn.Module) -> None:
        super().__init__()
        self.features, self.encoder = features, encoder

    @property
    def sample_rate(self) -> int:
        """Samples per second of the waveforms, in Hz."""
        return int(self.features.sample_rate)  # type: ignore[arg-type]

    @property
    def feature_shift(self) -> float:
        """Seconds from one frame of the features to the next."""
        return float(self.features.frame_shift)  # type: ignore[arg-type]

    @property
    def frame_shift(self) -> float:
        """Seconds from one frame of the log-probabilities to the next."""
        subsampling: int = self.encoder.subsampling  # type: ignore[assignment]
        return self.feature_shift * subsampling

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.encoder.parameters()).device

    def num_frames(self, samples: int) -> int:
        """Return how many frames of log-probabilities an utterance of so many samples has."""
        lengths = self.features.frame_lengths(torch.tensor(samples))  # type: ignore[operator]
        return int(self.encoder.output_lengths(lengths))  # type: ignore[operator]

    def forward(
        self, waveforms: Tensor, lengths: Tensor, augment: Augment | None = None
    ) -> tuple[Tensor, ...]:
        """Map `(batch, samples)` and lengths to log-probabilities `(batch, frames, vocab)` and lengths.

        Args:
            waveforms: what lies past a length is ignored.
            lengths: `(batch,)` int64, samples of each utterance.
            augment: changes the features; for training.

        Returns:
            natural logarithms in float32, the lengths `(batch,)` in frames, and in training what lower layers with an
            output of their own give, each as the log-probabilities.
        """
        stages = self.trace(waveforms, lengths, augment)
        return stages.log_probs, stages.lengths, *stages.intermediate

    def trace(self, waveforms: Tensor, lengths: Tensor, augment: Augment | None = None) -> Stages:
        """Do what `forward` does, and return what lies between the stages as well.

        Raises:
            PluginError: a stage has tried to end the program as if all was well.
        """
        try:
            features, frames = self.features(waveforms, lengths)
            if augment is not None:
                features = augment(features, frames)
            log_probs, encoded, *intermediate = self.encoder(features, frames)
        except SystemExit as error:
            if error.code:  # such as that of a signal
                raise
            kinds = f"{type(self.features).__name__} or {type(self.encoder).__name__}"
            raise PluginError(f"{kinds} called sys.exit, which ends nothing here") from error
        return Stages(features, frames, log_probs, encoded, tuple(intermediate))


def is_encoder_weight(name: str) -> bool:
    """Return whether a name in an `AcousticModel`'s state dict is of the encoder."""
    return name.startswith("encoder.")


def has_row_per_token(name: str) -> bool:
    """Return whether a weight, named as in an `AcousticModel`'s state dict, has a row for each token."""
    return name in ("encoder.output.weight", "encoder.output.bias")


def acoustic_state(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the weights of the `AcousticModel` that another module's state dict holds under a prefix."""
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
