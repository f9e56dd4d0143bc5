"""The gates of a trained stack of recurrent layers, and what they reveal about its memory."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from speechlstm.model.encoder import RecurrentLayer, take
from speechlstm.model.encoder.chunked import ChunkedLayer
from speechlstm.study.cells import Gates, LSTMGates, from_torch, run

LOW, HIGH = 0.1, 0.9  # a gate beyond these is saturated: shut, or open (Karpathy, Johnson and Fei-Fei 2015)


@dataclass(frozen=True, slots=True)
class Direction:
    """What one direction of one layer did with an utterance."""

    layer: int  # its number, from 1
    name: str  # forward or backward
    gates: Gates  # (frames, units) each, in the order of time for both directions
    frame_shift: float  # seconds

    @property
    def openings(self) -> dict[str, Tensor]:
        """The gates that open and shut, in [0, 1], by their names; none in a plain RNN."""
        names = ("forget", "input", "output", "reset", "update")
        return {name: gate for name, gate in self.gates._asdict().items() if name in names}

    @property
    def memory(self) -> Tensor:
        """The cell state of an LSTM, the hidden state of a GRU or RNN."""
        return self.gates.cell if isinstance(self.gates, LSTMGates) else self.gates.hidden

    @property
    def keep(self) -> Tensor | None:
        """The share of each unit's memory that is kept from one frame to the next; a plain RNN has none."""
        return self.openings.get("forget", self.openings.get("update"))

    def half_life(self) -> Tensor | None:
        """Return for each unit the seconds in which it forgets half of its memory, `(units,)`.

        From each frame on, the memory is multiplied by the forget gates that follow. This is the median over the frames
        of the time in which their product falls to a half, interpolated in its logarithm. Frames near the end, whose
        product does not fall so far before it, tell only that it takes longer: it is the median of the product-limit
        estimate (Kaplan and Meier: Nonparametric estimation from incomplete observations, JASA 53, 1958). Infinite
        where the recording is too short for that, None without `keep` or a second frame.
        """
        if self.keep is None or len(self.keep) < 2:
            return None
        keep = self.keep.double().flip(0) if self.name == "backward" else self.keep.double()
        loss = -keep[1:].T.clamp(min=1e-12).log()  # finite where a gate is shut
        lost = nn.functional.pad(loss.cumsum(1), (1, 0)).contiguous()  # up to each frame
        half = lost[:, :-1] + math.log(2)
        after = torch.searchsorted(lost, half)
        end = lost.shape[1] - 1
        last = after.clamp(1, end)
        before = lost.gather(1, last - 1)
        part = (half - before) / (lost.gather(1, last) - before).clamp(min=1e-12)
        start = torch.arange(end)
        halved = after <= end
        return _median(torch.where(halved, last - 1 + part - start, end - start), halved) * self.frame_shift

    def saturation(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Return by gate the share of frames in which each unit's is shut (below `LOW`) and open (above `HIGH`)."""
        return {
            name: ((gate < LOW).double().mean(0), (gate > HIGH).double().mean(0))
            for name, gate in self.openings.items()
        }


def _median(times: Tensor, halved: Tensor) -> Tensor:
    """Return each unit's median time to a half, `(units,)`, from `(units, frames)` times.

    Where not `halved`, the time is that until the recording ends.
    """
    order = (times + 1e-6 * ~halved).argsort(1)  # those that end at a time come after those that halve then
    at_risk = torch.arange(times.shape[1], 0, -1)  # frames whose time is not shorter
    survival = (1 - halved.gather(1, order) / at_risk.double()).cumprod(1)
    median = (survival > 0.5 + 1e-9).sum(1, keepdim=True)  # the first at which no more than a half are left
    return nn.functional.pad(times.gather(1, order), (0, 1), value=math.inf).gather(1, median)[:, 0]


def recurrent(encoder: nn.Module) -> dict[int, RecurrentLayer]:
    """Return the recurrent layers of an encoder by their numbers from 1."""
    layers = enumerate(getattr(encoder, "layers", ()), 1)
    return {number: layer for number, layer in layers if isinstance(layer, RecurrentLayer)}


@contextlib.contextmanager
def recorded(modules: Mapping[int, nn.Module]) -> Iterator[dict[int, tuple[Tensor, ...]]]:
    """Record the arguments of modules, by their numbers, while the context is open."""
    given: dict[int, tuple[Tensor, ...]] = {}
    numbers = {module: number for number, module in modules.items()}

    def record(module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        given[numbers[module]] = arguments

    handles = [module.register_forward_pre_hook(record) for module in numbers]
    try:
        yield given
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def listen(encoder: nn.Module, features: Tensor, frame_shift: float) -> list[Direction]:
    """Return the gates of all recurrent layers and directions during an utterance.

    The features are `(1, frames, features)`, without padding; the encoder is in evaluation mode, and `frame_shift` in
    seconds.
    """
    layers = recurrent(encoder)
    with recorded(layers) as given:
        _, lengths = encoder(features, torch.tensor([features.shape[1]], device=features.device))
    frames = int(lengths[0])
    return [
        Direction(number, name, type(gates)(*(part[:frames].cpu() for part in gates)), frame_shift)
        for number, (x, *context) in given.items()
        for name, gates in _directions(layers[number], x, context)
    ]


def _directions(layer: RecurrentLayer, x: Tensor, context: list[Tensor]) -> Iterator[tuple[str, Gates]]:
    """Yield each direction's name and gates, `(frames, units)` in the order of time, from the layer's input."""
    x = layer.norm(x)
    if isinstance(layer, ChunkedLayer):  # (1, chunks, window, width): forward through all, back from each end
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
