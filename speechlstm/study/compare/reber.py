"""The embedded Reber grammar: a symbol must be remembered across a string of another grammar."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from speechlstm.study.compare.tasks import Batch, Task, last

SYMBOLS = "BTPSXVE"
# Reber's grammar: what may follow in each state, and the state it leads to; after state 5 only E.
_MOVES = [{"T": 1, "P": 2}, {"S": 1, "X": 3}, {"T": 2, "V": 4}, {"X": 2, "S": 5}, {"P": 3, "V": 5}]
_STRING = 7  # about how many symbols a string of it has


class Reber(Task):
    """What may come next in strings B T ... T E and B P ... P E, with strings of Reber's grammar inside (experiment 1).

    The last symbol but one repeats the second. As in the paper there is one string between them; for a lag beyond
    that, one or more, so many on average that they are about as long as the lag.
    """

    name, title = "reber", "Embedded Reber grammar (experiment 1)"
    criterion = (
        "in all 2,000 strings, at every step, each symbol that may follow likelier than any that may not"
    )
    input_size, output_size = len(SYMBOLS), len(SYMBOLS)
    shortest = 1

    def sample(self, count: int, generator: np.random.Generator) -> Batch:
        """See `Task.sample`; targets are `(batch, steps, 8)`: the symbol that follows, and which seven may."""
        more = 1 - 1 / max(1.0, self.lag / _STRING)  # probability of one more string inside
        inputs, targets, lengths = [], [], []
        for _ in range(count):
            text, legal = string(generator, more)
            ids = torch.tensor([SYMBOLS.index(symbol) for symbol in text])
            allowed = torch.tensor([[symbol in set_ for symbol in SYMBOLS] for set_ in legal[1:]])
            inputs.append(F.one_hot(ids[:-1], len(SYMBOLS)).float())
            targets.append(torch.cat((ids[1:, None], allowed.long()), dim=1))
            lengths.append(len(ids) - 1)
        padded = pad_sequence(targets, batch_first=True, padding_value=-1)
        return Batch(pad_sequence(inputs, batch_first=True), torch.tensor(lengths), padded)

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return the cross-entropy of a symbol."""
        return F.cross_entropy(outputs.transpose(1, 2), batch.targets[..., 0], ignore_index=-1)

    def late_loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return the loss of the symbol that repeats the second."""
        before = Batch(batch.inputs, self.late(batch), batch.targets)
        return F.cross_entropy(last(outputs, before), last(batch.targets, before)[:, 0])

    def late(self, batch: Batch) -> Tensor:
        """See `Task.late`; after that step, only the E that ends a string is to come."""
        return batch.lengths - 1

    def wrong(self, outputs: Tensor, batch: Batch) -> Tensor:
        """See `Task.wrong`."""
        legal = batch.targets[..., 1:] == 1
        least = outputs.masked_fill(~legal, torch.inf).amin(-1)
        most = outputs.masked_fill(legal, -torch.inf).amax(-1)
        return ((least <= most) & (batch.targets[..., 0] >= 0)).any(-1)


def string(generator: np.random.Generator, more: float = 0.0) -> tuple[str, list[str]]:
    """Draw a string; return it, and for each of its symbols which ones the grammar allows there.

    After each string of Reber's grammar inside, another one follows with probability `more`.
    """
    kept = "TP"[generator.integers(2)]
    text, legal = "B" + kept, ["B", "TP"]
    again = True
    while again:
        text, legal = text + "B", [*legal, "B" if len(text) == 2 else "B" + kept]
        state = 0
        while state < len(_MOVES):
            choices = sorted(_MOVES[state])
            symbol = choices[generator.integers(2)]
            text, legal, state = text + symbol, [*legal, "".join(choices)], _MOVES[state][symbol]
        text, legal = text + "E", [*legal, "E"]
        again = generator.random() < more
    return text + kept + "E", [*legal, ("B" + kept) if more else kept, "E"]
