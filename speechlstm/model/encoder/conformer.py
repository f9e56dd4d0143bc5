"""Conformer layers, for comparison with the recurrent ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import torchaudio.models.conformer
from torch import Tensor

from speechlstm.model.encoder.stack import Stack, beyond
from speechlstm.model.settings import Layers, Share, Size, Within
from speechlstm.types import UsageError


class ConformerLayer(torchaudio.models.conformer.ConformerLayer):  # type: ignore[misc]
    """torchaudio's layer, with what padding did to it taken out.

    Its convolution sees what stands after the end of an utterance; here that is zeroed before. Its normalization in
    the convolution module takes the mean over all frames, those of the padding too; here it is over each frame.
    """

    def forward(self, x: Tensor, past: Tensor) -> Tensor:
        """Map `(batch, frames, width)` to the same shape.

        `past` is `(batch, frames, 1)`, true past the end of an utterance.
        """
        x = x + 0.5 * self.ffn1(x)
        query = self.self_attn_layer_norm(x).transpose(0, 1)
        mixed, _ = self.self_attn(query, query, query, key_padding_mask=past.squeeze(-1), need_weights=False)
        x = x + self.self_attn_dropout(mixed).transpose(0, 1)
        x = x + self._convolve(x, past)
        x = x + 0.5 * self.ffn2(x)
        return self.final_layer_norm(x)  # type: ignore[no-any-return]

    def _convolve(self, x: Tensor, past: Tensor) -> Tensor:
        expand, gate, depthwise, norm, activate, shrink, dropout = self.conv_module.sequential
        x = gate(expand(self.conv_module.layer_norm(x).transpose(1, 2)))
        x = depthwise(x.masked_fill(past.transpose(1, 2), 0.0)).transpose(1, 2)
        x = activate(norm(x.flatten(0, 1)).view_as(x))  # a frame as a batch of its own
        return dropout(shrink(x.transpose(1, 2))).transpose(1, 2)  # type: ignore[no-any-return]


class ConformerEncoder(Stack):
    """A stack of Conformer layers that ends in log-probabilities of tokens.

    Gulati et al.: Conformer: Convolution-augmented transformer for speech recognition, Interspeech 2020. As in
    torchaudio there is no positional encoding: the order of the frames is known from the convolutions alone.
    """

    def __init__(
        self,
        num_features: int,
        vocab_size: int,
        width: Size = 256,
        num_heads: Size = 4,
        ffn_size: Size = 1024,
        num_layers: Layers = 6,
        kernel_size: Annotated[int, Within(1, 999)] = 15,
        subsampling: Literal[1, 2, 4] = 4,
        conv_channels: Size = 32,
        dropout: Share = 0.1,
        intermediate: Sequence[Layers] = (),
    ) -> None:
        if width % num_heads or kernel_size % 2 == 0:
            raise UsageError(
                f"encoder: width {width} must be a multiple of num_heads {num_heads}, and kernel_size "
                f"{kernel_size} odd"
            )
        layers = (
            ConformerLayer(width, ffn_size, num_heads, kernel_size, dropout, use_group_norm=True)
            for _ in range(num_layers)
        )
        # without a last layer normalization, as each layer ends with one
        super().__init__(
            num_features, vocab_size, width, layers, subsampling, conv_channels, False, intermediate
        )

    def enter(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
        """Return the frames, and which lie past the end; of an empty utterance one counts, to be attended to."""
        return x, beyond(lengths.clamp(min=1), x.shape[1])
