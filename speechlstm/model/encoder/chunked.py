"""Bidirectional recurrent layers with a bounded look ahead: latency-controlled chunks."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from speechlstm.model.encoder.recurrent import Encoder, RecurrentLayer, reversal, take
from speechlstm.model.encoder.stream import Carried, EncoderStream
from speechlstm.model.settings import Frames, Within


class ChunkedLayer(RecurrentLayer):
    """One bidirectional layer over windows: a chunk of an utterance, and some frames of the next as look-ahead."""

    chunk_size = 1  # frames; the encoder sets it

    def recur(self, x: Tensor, lengths: Tensor, reverse: Tensor, carried: Carried | None = None) -> Tensor:
        """Map windows `(batch, chunks, frames, width)` to hidden states `(batch, chunks, frames, 2 * hidden_size)`.

        The forward direction starts a chunk in the state that it had at the end of the chunk before; the backward
        direction starts at the end of each window in the state of zeros.
        """
        batch, chunks = x.shape[:2]
        backward, _ = self.run(take(x.flatten(0, 1), reverse), self.weights("_reverse"))
        backward = torch.unflatten(take(backward, reverse), 0, (batch, chunks))
        weights, state = self.weights(""), carried.states.get(self) if carried else None
        outputs, states = [], []
        for chunk in x[:, :, : self.chunk_size].unbind(1):
            output, state = self.run(chunk, weights, state)
            outputs.append(output)
            states.append(state)
        if carried and state:
            carried.states[self] = state
        forward = torch.stack(outputs, 1)
        if x.shape[2] > self.chunk_size:  # all looks ahead at once, each from the end of its chunk
            starts = tuple(torch.stack(part, 2).flatten(1, 2) for part in zip(*states, strict=True))
            ahead, _ = self.run(x[:, :, self.chunk_size :].flatten(0, 1), weights, starts)
            forward = torch.cat((forward, torch.unflatten(ahead, 0, (batch, chunks))), dim=2)
        return torch.cat((forward, backward), dim=-1)


class ChunkedEncoder(Encoder):
    """A bidirectional stack that depends on no more than `lookahead` frames past the end of the current chunk.

    Zhang, Chen, Yu, Yao, Khudanpur and Glass: Highway long short-term memory RNNs for distant speech recognition,
    ICASSP 2016, section 4 (latency-controlled BLSTM). All layers go through a window, so their looks ahead do not add
    up. It has the weights of `Encoder`, and is it where one chunk holds the whole utterance.
    """

    layer = ChunkedLayer

    def __init__(
        self,
        num_features: int,
        vocab_size: int,
        chunk_size: Annotated[int, Within(1, 1000)] = 16,
        lookahead: Frames = 8,
        **options: Any,
    ) -> None:
        super().__init__(num_features, vocab_size, **options)
        self.chunk_size, self.lookahead = chunk_size, lookahead
        for layer in self.layers:
            if isinstance(layer, ChunkedLayer):
                layer.chunk_size = chunk_size

    def enter(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
        """Return windows `(batch, chunks, chunk_size + lookahead, width)`, their lengths, and what reverses each."""
        return self._windows(x, lengths, -(-x.shape[1] // self.chunk_size))

    def _windows(self, x: Tensor, lengths: Tensor, chunks: int) -> tuple[Tensor, ...]:
        size, window = self.chunk_size, self.chunk_size + self.lookahead
        x = F.pad(x, (0, 0, 0, chunks * size + self.lookahead - x.shape[1]))
        starts = size * torch.arange(chunks, device=lengths.device)
        inside = (lengths.unsqueeze(1) - starts).clamp(0, window).flatten()
        return x.unfold(1, window, size).transpose(2, 3), inside, reversal(inside, window)

    def leave(self, x: Tensor, frames: int) -> Tensor:
        """Return the chunks one after the other, without their look-ahead."""
        return x[:, :, : self.chunk_size].flatten(1, 2)[:, :frames]

    def stream(self) -> EncoderStream:
        """Begin an utterance that comes in pieces: each chunk is computed once its look-ahead is there."""
        return EncoderStream(self, self._carry_on)

    def _carry_on(self, x: Tensor, carried: Carried) -> tuple[Tensor, int]:
        frames = x.shape[1]
        chunks = (
            frames + self.chunk_size - 1 if carried.last else frames - self.lookahead
        ) // self.chunk_size
        if chunks <= 0:
            return x[:, :0], 0
        windows, *context = self._windows(x, carried.lengths(x), chunks)
        for layer in self.layers:
            windows = layer(windows, *context, carried)
        used = min(chunks * self.chunk_size, frames)
        return self.leave(windows, used), used
