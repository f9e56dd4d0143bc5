"""Tasks that cannot be solved without memory over a long time lag.

From section 5 of Hochreiter and Schmidhuber: Long short-term memory, Neural Computation 9(8), 1997, whose numbers of
experiments stand below; and the copy task of Arjovsky, Shah and Bengio: Unitary evolution RNNs, ICML 2016.
Each sequence is drawn anew; a task is solved if `TESTS` sequences meet the authors' criterion.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from speechlstm.types import UsageError, counted

TESTS = 2000  # sequences on which a task must be solved, as in the paper


@dataclass(frozen=True, slots=True)
class Batch:
    """Sequences padded to one length."""

    inputs: Tensor  # (batch, steps, inputs) float32, zeros past each length
    lengths: Tensor  # (batch,) int64
    targets: Tensor  # what the task's losses compare outputs with


class Task(ABC):
    """A source of sequences, a loss, and a criterion.

    Its `lag` is T of the paper: about the length of the sequences, in steps.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    criterion: ClassVar[str]
    input_size: ClassVar[int]
    output_size: ClassVar[int]
    allowed: ClassVar[int] = 0  # how many of `TESTS` sequences may be wrong
    shortest: ClassVar[int] = 10  # smallest lag that makes sense

    def __init__(self, lag: int) -> None:
        if lag < self.shortest:
            raise UsageError(
                f"{self.name} with a lag of {counted(lag, 'step')}; must be at least {self.shortest}"
            )
        self.lag = lag

    @abstractmethod
    def sample(self, count: int, generator: np.random.Generator) -> Batch:
        """Draw sequences."""

    @abstractmethod
    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return what training minimizes, from outputs `(batch, steps, outputs)`."""

    @abstractmethod
    def wrong(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return which sequences do not meet the criterion, `(batch,)`."""

    def late_loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return the loss of one late step alone, whose gradient `gradient_flow` follows."""
        return self.loss(outputs, batch)

    def late(self, batch: Batch) -> Tensor:
        """Return how many steps of each sequence there are up to that of `late_loss`, `(batch,)`."""
        return batch.lengths

    def lengths(self, count: int, generator: np.random.Generator) -> NDArray[np.int64]:
        """Draw lengths from T to 1.1 T."""
        return generator.integers(self.lag, self.lag + self.lag // 10 + 1, count)


def last(outputs: Tensor, batch: Batch) -> Tensor:
    """Return the outputs of each sequence's last step, `(batch, outputs)`."""
    return outputs[torch.arange(len(outputs)), batch.lengths - 1]


class TwoSequences(Task):
    """Noise of variance 0.2, to whose first three numbers 1 or -1 is added, by class (experiment 3b)."""

    name, title = "two_sequences", "Two-sequence problem with noise (experiment 3b)"
    criterion = "no more than 7 of 2,000 outputs off by 0.2 or more (the paper: none of 256)"
    input_size, output_size = 1, 1
    allowed = TESTS // 256  # this noise leaves even the best classifier unsure of one sequence in 5,000

    def sample(self, count: int, generator: np.random.Generator) -> Batch:
        """See `Task.sample`; targets are 0 or 1."""
        lengths = self.lengths(count, generator)
        classes = generator.integers(0, 2, count)
        inputs = generator.normal(0.0, np.sqrt(0.2), (count, lengths.max(), 1))
        inputs[:, :3] += (2 * classes - 1)[:, None, None]
        return _batch(inputs, lengths, classes.astype(np.float32))

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return the cross-entropy at the end."""
        return F.binary_cross_entropy_with_logits(last(outputs, batch)[:, 0], batch.targets)

    def wrong(self, outputs: Tensor, batch: Batch) -> Tensor:
        """See `Task.wrong`."""
        return (last(outputs, batch)[:, 0].sigmoid() - batch.targets).abs() >= 0.2


class Adding(Task):
    """The sum of two marked numbers among many (experiment 4); the target is 0.5 + sum / 4.

    Each step has a number in [-1, 1] and a mark: 1 at one of the first ten steps and at one before the middle, -1 at
    both ends, else 0.
    """

    name, title = "adding", "Adding problem (experiment 4)"
    criterion = "all 2,000 sums within 0.04"
    input_size, output_size = 2, 1
    shortest = 20
    _low = -1.0

    def sample(self, count: int, generator: np.random.Generator) -> Batch:
        """See `Task.sample`; targets are numbers in [0, 1]."""
        lengths = self.lengths(count, generator)
        inputs = np.zeros((count, lengths.max(), 2))
        inputs[..., 0] = generator.uniform(self._low, 1.0, inputs.shape[:2])
        rows = np.arange(count)
        first = generator.integers(0, 10, count)
        second = generator.integers(0, self.lag // 2 - 1, count)
        second = np.where(second == first, self.lag // 2 - 1, second)
        inputs[:, 0, 1] = inputs[rows, lengths - 1, 1] = -1.0
        inputs[rows, first, 1] = inputs[rows, second, 1] = 1.0
        return _batch(inputs, lengths, self._result(inputs[rows, first, 0], inputs[rows, second, 0]))

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return the mean squared error at the end."""
        return F.mse_loss(last(outputs, batch)[:, 0], batch.targets)

    def wrong(self, outputs: Tensor, batch: Batch) -> Tensor:
        """See `Task.wrong`."""
        return (last(outputs, batch)[:, 0] - batch.targets).abs() >= 0.04

    def _result(self, first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
        return 0.5 + (first + second) / 4


class Multiplication(Adding):
    """The product of two marked numbers in [0, 1] among many (experiment 5)."""

    name, title = "multiplication", "Multiplication problem (experiment 5)"
    criterion = "no more than 13 of 2,000 products off by 0.04 or more"
    allowed = 13
    _low = 0.0

    def _result(self, first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
        return first * second


class TemporalOrder(Task):
    """In which order two symbols, X or Y each, came among four without meaning (experiment 6a).

    `places` has the bounds of their positions, in parts of T; E begins and B ends a sequence.
    """

    name, title = "temporal_order_2", "Temporal order of two symbols (experiment 6a)"
    criterion = "all 2,000 sequences classified, each output within 0.3 of its class"
    input_size, output_size = 8, 4
    shortest = 20
    places: ClassVar[tuple[tuple[float, float], ...]] = ((0.1, 0.2), (0.5, 0.6))

    def sample(self, count: int, generator: np.random.Generator) -> Batch:
        """See `Task.sample`; targets are the classes."""
        lengths = self.lengths(count, generator)
        # E, B, X, Y, then the four without meaning
        symbols = generator.integers(4, 8, (count, lengths.max()))
        rows = np.arange(count)
        classes = np.zeros(count, np.int64)
        for low, high in self.places:
            drawn = generator.integers(0, 2, count)
            place = generator.integers(int(low * self.lag), int(high * self.lag) + 1, count)
            symbols[rows, place] = 2 + drawn
            classes = 2 * classes + drawn
        symbols[:, 0] = 0
        symbols[rows, lengths - 1] = 1
        return _batch(np.eye(8)[symbols], lengths, classes)

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return the cross-entropy at the end."""
        return F.cross_entropy(last(outputs, batch), batch.targets)

    def wrong(self, outputs: Tensor, batch: Batch) -> Tensor:
        """See `Task.wrong`."""
        wanted = F.one_hot(batch.targets, self.output_size)
        return ((last(outputs, batch).softmax(-1) - wanted).abs() >= 0.3).any(-1)


class TemporalOrder3(TemporalOrder):
    """The same with three symbols, and eight classes (experiment 6b)."""

    name, title = "temporal_order_3", "Temporal order of three symbols (experiment 6b)"
    output_size = 8
    places = ((0.1, 0.2), (0.33, 0.43), (0.66, 0.76))


class Copy(Task):
    """Ten symbols, each one of eight, are to be repeated T steps later, after a marker."""

    name, title = "copy", "Copy memory"
    criterion = "at least 99 % of the symbols of 2,000 sequences repeated"
    input_size, output_size = 10, 8
    shortest, allowed = 1, TESTS // 100
    count: ClassVar[int] = 10

    def sample(self, count: int, generator: np.random.Generator) -> Batch:
        """See `Task.sample`; targets are `(batch, 10)` symbols."""
        symbols = generator.integers(0, 8, (count, self.count))
        steps = np.full((count, self.lag + 2 * self.count), 8)
        steps[:, : self.count] = symbols
        steps[:, -self.count - 1] = 9
        return _batch(np.eye(10)[steps], np.full(count, steps.shape[1]), symbols)

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return the cross-entropy of a symbol."""
        return F.cross_entropy(outputs[:, -self.count :].transpose(1, 2), batch.targets)

    def late_loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """See `Task.late_loss`."""
        return F.cross_entropy(outputs[:, -1], batch.targets[:, -1])

    def wrong(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return for each sequence the share of its symbols that are wrong."""
        return (outputs[:, -self.count :].argmax(-1) != batch.targets).float().mean(-1)


def _batch(inputs: NDArray[np.float64], lengths: NDArray[np.int64], targets: NDArray[np.generic]) -> Batch:
    beyond = np.arange(inputs.shape[1]) >= lengths[:, None]
    made = torch.from_numpy(np.where(beyond[..., None], 0.0, inputs).astype(np.float32))
    wanted = torch.from_numpy(targets)
    return Batch(made, torch.from_numpy(lengths), wanted.float() if wanted.is_floating_point() else wanted)
