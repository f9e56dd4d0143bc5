"""Conformer layers, to compare the recurrent ones with."""

from __future__ import annotations

from collections.abc import Sequence

import torchaudio.models.conformer
from torch import Tensor

from speechlstm.model.encoder.stack import Stack, beyond
from speechlstm.types import UsageError


class ConformerLayer(torchaudio.models.conformer.ConformerLayer):  # type: ignore[misc]
    """torchaudio's layer, with what padding did to it taken out.

    Its convolution heard what stands after the end of an utterance; here that is zeroed before. Its normalisation in
    the convolution module took the mean over all frames, those of the padding too; here it is over each frame.
    """

    def forward(self, x: Tensor, past: Tensor) -> Tensor:
        """Map `(batch, frames, width)` to the same shape.

        Args:
            x: what the layer hears.
            past: `(batch, frames, 1)`, true past the end of an utterance.
        """
        x = x + 0.5 * self.ffn1(x)
        heard = self.self_attn_layer_norm(x).transpose(0, 1)
        heard, _ = self.self_attn(heard, heard, heard, key_padding_mask=past.squeeze(-1), need_weights=False)
        x = x + self.self_attn_dropout(heard).transpose(0, 1)
        x = x + self._convolve(x, past)
        x = x + 0.5 * self.ffn2(x)
        found: Tensor = self.final_layer_norm(x)
        return found

    def _convolve(self, x: Tensor, past: Tensor) -> Tensor:
        expand, gate, depthwise, norm, activate, shrink, dropout = self.conv_module.sequential
        x = gate(expand(self.conv_module.layer_norm(x).transpose(1, 2)))
        x = depthwise(x.masked_fill(past.transpose(1, 2), 0.0)).transpose(1, 2)
        x = activate(norm(x.flatten(0, 1)).view_as(x))  # a frame as a batch of its own
        found: Tensor = dropout(shrink(x.transpose(1, 2))).transpose(1, 2)
        return found


class ConformerEncoder(Stack):
    """A stack of Conformer layers that ends in log-probabilities of tokens.

    Gulati et al.: Conformer: Convolution-augmented transformer for speech recognition, Interspeech 2020. As in
    torchaudio there is no positional encoding: the order of the frames is known from the convolutions alone.

    Args:
        num_features: size of an input frame.
        vocab_size: number of tokens, the blank included.
        width: size of a frame between the layers.
        num_heads: of the attention; they share the width.
        ffn_size: units inside the feed-forward modules.
        num_layers: Conformer layers.
        kernel_size: frames that the convolution sees, an odd number.
        subsampling: encoder frames are this many feature frames apart: 1, 2 or 4.
        conv_channels: channels of the two subsampling convolutions.
        dropout: probability of dropping an output of a module.
        intermediate: layers whose outputs have a loss, too; see `Stack`.
    """

    def __init__(
        self,
        num_features: int,
        vocab_size: int,
        width: int = 256,
        num_heads: int = 4,
        ffn_size: int = 1024,
        num_layers: int = 6,
        kernel_size: int = 15,
        subsampling: int = 4,
        conv_channels: int = 32,
        dropout: float = 0.1,
        intermediate: Sequence[int] = (),
    ) -> None:
        if min(width, num_heads, ffn_size, num_layers, kernel_size, conv_channels) < 1:
            raise UsageError("encoder: sizes must be 1 or more")
        if width % num_heads or kernel_size % 2 == 0:
            raise UsageError(
                f"encoder: width {width} must be a multiple of num_heads {num_heads}, and kernel_size "
                f"{kernel_size} odd"
            )
        if not 0 <= dropout < 1:
            raise UsageError(f"encoder.dropout is {dropout}, but must be a probability below 1")
        layers = [
            ConformerLayer(width, ffn_size, num_heads, kernel_size, dropout, use_group_norm=True)
            for _ in range(num_layers)
        ]
        super().__init__(
            num_features,
            vocab_size,
            width,
            layers,
            subsampling,
            conv_channels,
            layer_norm=False,  # each layer ends with one
            intermediate=intermediate,
        )

    def enter(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
        """Return the frames, and which lie past the end; of an empty utterance one counts, to be attended to."""
        return x, beyond(lengths.clamp(min=1), x.shape[1])
