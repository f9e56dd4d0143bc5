"""The gates of a trained stack of recurrent layers, and what they tell about its memory."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from speechlstm.model.encoder import RecurrentLayer, take
from speechlstm.model.encoder.chunked import ChunkedLayer
from speechlstm.study.cells import Gates, GRUGates, LSTMGates, from_torch, run

LOW, HIGH = 0.1, 0.9  # a gate beyond these is saturated: shut, or open (Karpathy, Johnson and Fei-Fei 2015)


@dataclass(frozen=True, slots=True)
class Direction:
    """What one direction of one layer did with an utterance.

    Attributes:
        layer: its number, from 1.
        name: `"forward"` or `"backward"`.
        gates: `(frames, units)` each, in the order of time for both directions.
        frame_shift: seconds per frame.
    """

    layer: int
    name: str
    gates: Gates
    frame_shift: float

    @property
    def openings(self) -> dict[str, Tensor]:
        """The gates that open and shut, in [0, 1], by their names; none in a plain RNN."""
        if isinstance(self.gates, LSTMGates):
            return {"forget": self.gates.forget, "input": self.gates.input, "output": self.gates.output}
        if isinstance(self.gates, GRUGates):
            return {"reset": self.gates.reset, "update": self.gates.update}
        return {}

    @property
    def memory(self) -> Tensor:
        """What goes from frame to frame: the cell state of an LSTM, the state of a GRU or RNN."""
        return self.gates.cell if isinstance(self.gates, LSTMGates) else self.gates.hidden

    @property
    def keep(self) -> Tensor | None:
        """The share of each unit's memory that is kept from one frame to the next; a plain RNN says nothing of it."""
        if isinstance(self.gates, LSTMGates):
            return self.gates.forget
        return self.gates.update if isinstance(self.gates, GRUGates) else None

    def half_life(self) -> Tensor | None:
        """Return for each unit the seconds in which half of what it remembers is forgotten, `(units,)`.

        From each frame on the memory is multiplied by the following forget gates; this is the median over the frames of
        when the product falls to a half, between two frames in proportion to its logarithm. Infinite where it does
        not for most of the recording; nothing if there is no `keep`, or not a second frame.
        """
        if self.keep is None or len(self.keep) < 2:
            return None
        keep = self.keep.double().flip(0) if self.name == "backward" else self.keep.double()
        loss = (
            -keep[1:].T.clamp(min=1e-12).log()
        )  # of each unit in each frame; a gate quite shut loses not all
        lost = nn.functional.pad(loss.cumsum(1), (1, 0)).contiguous()  # up to each frame
        half = lost[:, :-1] + math.log(2)
        after = torch.searchsorted(lost, half)
        end = lost.shape[1] - 1
        last = after.clamp(1, end)
        before = lost.gather(1, last - 1)
        part = (half - before) / (lost.gather(1, last) - before).clamp(min=1e-12)
        frames = last - 1 + part - torch.arange(half.shape[1])
        return frames.masked_fill(after > end, math.inf).median(1).values * self.frame_shift

    def saturation(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Return for each gate in what share of frames each unit's is shut, below `LOW`, and open, above `HIGH`."""
        return {
            name: ((gate < LOW).double().mean(0), (gate > HIGH).double().mean(0))
            for name, gate in self.openings.items()
        }


def attend(encoder: nn.Module) -> tuple[dict[int, tuple[Tensor, ...]], list[RemovableHandle]]:
    """Have an encoder note what each recurrent layer is given, by the layer's number from 1, until the handles go."""
    given: dict[int, tuple[Tensor, ...]] = {}
    handles = []
    for number, layer in enumerate(getattr(encoder, "layers", ()), 1):
        if isinstance(layer, RecurrentLayer):

            def note(_: nn.Module, arguments: tuple[Tensor, ...], number: int = number) -> None:
                given[number] = arguments

            handles.append(layer.register_forward_pre_hook(note))
    return given, handles


@torch.no_grad()
def listen(encoder: nn.Module, features: Tensor, frame_shift: float) -> list[Direction]:
    """Return the gates of all recurrent layers and directions while an encoder hears an utterance.

    Args:
        encoder: in evaluation mode; one without recurrent layers gives none.
        features: `(1, frames, features)` of one utterance, without padding.
        frame_shift: seconds per encoder frame.
    """
    given, handles = attend(encoder)
    try:
        _, lengths = encoder(features, torch.tensor([features.shape[1]], device=features.device))
    finally:
        for handle in handles:
            handle.remove()
    frames = int(lengths[0])
    return [
        Direction(number, name, type(gates)(*(part[:frames].cpu() for part in gates)), frame_shift)
        for number, (x, *context) in given.items()
        for name, gates in _directions(encoder.get_submodule(f"layers.{number - 1}"), x, context)
    ]


def _directions(layer: nn.Module, x: Tensor, context: list[Tensor]) -> Iterator[tuple[str, Gates]]:
    """Yield each direction's name and gates, `(frames, units)` in the order of time, from what the layer is given."""
    assert isinstance(layer, RecurrentLayer)
    x = layer.norm(x)
    if isinstance(
        layer, ChunkedLayer
    ):  # (1, chunks, window, width): forward through all chunks, back from each end
        inside = x[:, :, : layer.chunk_size].flatten(1, 2)
        _, reverse = context
        yield "forward", _flat(run(from_torch(layer.rnn), inside))
        back = run(from_torch(layer.rnn, reverse=True), take(x.flatten(0, 1), reverse))
        back = type(back)(*(take(part, reverse)[:, : layer.chunk_size] for part in back))
        yield "backward", _flat(back)
        return
    yield "forward", _flat(run(from_torch(layer.rnn), x))
    if layer.bidirectional:
        back = run(from_torch(layer.rnn, reverse=True), x.flip(1))
        yield "backward", _flat(type(back)(*(part.flip(1) for part in back)))


def _flat(gates: Gates) -> Gates:
    return type(gates)(*(part.flatten(0, 1) for part in gates))
