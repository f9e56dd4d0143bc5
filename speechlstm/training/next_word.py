"""The loss of a language model's output layer, without the probabilities of all words at all places in memory."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_ROWS = 320  # contexts at a time: what they need stays in the processor's cache


class _NextWord(torch.autograd.Function):
    """Cross-entropy of a linear output layer, whose gradients are computed along with it.

    The logits of some rows at a time are turned in place into probabilities and then into their gradients, and are
    dropped: contexts times words numbers would not fit into a processor's cache, and passing through them again and
    again costs more than the products.
    """

    @staticmethod
    def forward(ctx: Any, states: Tensor, weight: Tensor, bias: Tensor, words: Tensor) -> Tensor:
        of_states, of_weight, of_bias = (torch.zeros_like(each) for each in (states, weight, bias))
        loss = states.new_zeros(())
        for first in range(0, len(states), _ROWS):
            rows = slice(first, first + _ROWS)
            right = words[rows, None]
            logits = torch.addmm(bias, states[rows], weight.t())
            logits.sub_(logits.amax(1, keepdim=True))
            chosen = logits.gather(1, right)
            totals = logits.exp_().sum(1, keepdim=True)
            loss += (totals.log() - chosen).sum()
            errors = logits.div_(totals).scatter_add_(1, right, torch.full_like(chosen, -1.0))
            torch.mm(errors, weight, out=of_states[rows])
            of_weight.addmm_(errors.t(), states[rows])
            of_bias += errors.sum(0)
        ctx.save_for_backward(*(each.div_(len(states)) for each in (of_states, of_weight, of_bias)))
        return loss / len(states)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        return *(gradient * each for each in ctx.saved_tensors), None


def next_word_loss(states: Tensor, weight: Tensor, bias: Tensor, words: Tensor) -> Tensor:
    """Return the mean of `-log softmax(weight state + bias)[word]`.

    Args:
        states: `(contexts, D)`, at least one.
        weight: `(vocabulary, D)`.
        bias: `(vocabulary,)`.
        words: `(contexts,)` int64, the word that follows each.
    """
    loss: Tensor = _NextWord.apply(states, weight, bias, words)  # type: ignore[no-untyped-call]
    return loss
