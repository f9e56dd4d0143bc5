"""The sum over all label sequences by which CTC-CRF divides, and its gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from speechlstm.training.loss.ngram import TokenNgram
from speechlstm.training.loss.sweeps import FAINT, sweep


class Denominator:
    """Log Z: all label sequences, each weighed by an n-gram, over the CTC topology (Xiang and Ou 2019, section 3).

    It is exact: the label sequences share the contexts of the n-gram, so one forward sweep adds them all up, and one
    backward sweep says how likely each token is in each frame, which is the gradient. On the CPU both sweeps are
    compiled; elsewhere they are a matrix product a frame for the whole batch.
    """

    def __init__(self, ngram: TokenNgram) -> None:
        self.order = 3 if ngram.follows.shape[0] > ngram.follows.shape[1] else 2
        follows = torch.from_numpy(ngram.follows).clone()
        contexts = torch.arange(len(follows))
        again = follows[contexts, contexts % follows.shape[1]]
        follows[contexts, contexts % follows.shape[1]] = 0  # a label follows itself only after a blank
        self.tables = follows, again, torch.from_numpy(ngram.ends).clone()

    def __call__(self, log_probs: Tensor, lengths: Tensor) -> Tensor:
        """Return log Z of each utterance, `(batch,)`; what lies past the lengths does not count.

        Args:
            log_probs: `(batch, frames, vocab)` natural logs; float64 is computed with as it is, all else in float32.
            lengths: `(batch,)` frames.
        """
        if log_probs.dtype != torch.float64:
            log_probs = log_probs.float()
        totals: Tensor = _LogSum.apply(log_probs, lengths, self)  # type: ignore[no-untyped-call]
        return totals

    def on(self, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the tables with the device and the precision of a tensor; they stay there for the next call."""
        if self.tables[0].device != like.device or self.tables[0].dtype != like.dtype:
            follows, again, ends = (each.to(like) for each in self.tables)
            self.tables = follows, again, ends
        return self.tables


class _LogSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, log_probs: Tensor, lengths: Tensor, denominator: Denominator) -> Tensor:
        peaks = log_probs.amax(-1)  # taken out of the sweeps, where products of small numbers would vanish
        within = torch.arange(log_probs.shape[1], device=lengths.device) < lengths.unsqueeze(1)
        probs = (log_probs - peaks.unsqueeze(-1)).exp()
        run = compiled if log_probs.device.type == "cpu" else batched
        totals, occupied = run(probs, lengths, denominator, ctx.needs_input_grad[0])
        ctx.save_for_backward(occupied)
        return totals + peaks.where(within, 0).sum(1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (occupied,) = ctx.saved_tensors
        return occupied * gradient[:, None, None], None, None


def compiled(probs: Tensor, lengths: Tensor, denominator: Denominator, learns: bool) -> tuple[Tensor, Tensor]:
    """Return log Z and its gradient by the compiled sweeps.

    `probs` are `(batch, frames, vocab)`, lengths `(batch,)`; `learns` says whether the gradient is wanted.
    """
    totals = probs.new_zeros(len(probs))
    occupied = torch.zeros_like(probs) if learns else probs.new_zeros(len(probs), 0, probs.shape[2])
    follows, again, ends = (each.numpy() for each in denominator.on(probs))
    rows, frames = (each.detach().contiguous().numpy() for each in (probs, lengths))
    sweep(rows, frames, follows, again, ends, totals.numpy(), occupied.numpy())
    return totals, occupied


def batched(probs: Tensor, lengths: Tensor, denominator: Denominator, learns: bool) -> tuple[Tensor, Tensor]:
    """Return what `compiled` does, by PyTorch on any device.

    The utterances are sorted by their lengths, so that those that are not over yet stand together. Arguments as in
    `compiled`.
    """
    order = lengths.argsort(descending=True, stable=True)
    back = order.argsort()
    probs, ordered = probs[order], lengths[order]
    # How many utterances have each frame; the one wait for the device.
    active = (torch.arange(probs.shape[1], device=ordered.device) < ordered.unsqueeze(1)).sum(0).tolist()
    active = [count for count in active if count]
    labels, blanks, totals = _forward(probs, active, ordered, denominator)
    if not learns:
        return totals[back], probs.new_zeros(len(probs), 0, probs.shape[2])
    return totals[back], _backward(probs, active, labels, blanks, denominator)[back]


def _forward(
    probs: Tensor, active: list[int], lengths: Tensor, denominator: Denominator
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the scaled forward probabilities after a label and after a blank, and log Z."""
    follows, again, ends = denominator.on(probs)
    batch, vocab, contexts = len(probs), probs.shape[2], len(again)
    labels = probs.new_zeros(len(active) + 1, batch, contexts)
    blanks = torch.zeros_like(labels)
    blanks[0, :, 0] = 1
    scales = probs.new_ones(len(active), batch)
    table = follows.view(vocab, -1, vocab)  # first token of the context, the others, what follows
    for frame, count in enumerate(active):
        label, blank, row = labels[frame, :count], blanks[frame, :count], probs[:count, frame]
        total = label + blank
        begun = torch.einsum("bfo,fot->bot", total.view(count, vocab, -1), table)
        repeated = blank * again
        if denominator.order == 3:
            begun.diagonal(dim1=1, dim2=2).add_(repeated.view(count, vocab, vocab).sum(1))
        else:
            begun[:, 0] += repeated
        spoken = (label.view(count, -1, vocab) + begun) * row.unsqueeze(1)
        silent = total * row[:, :1]
        scale = spoken.sum((1, 2)) + silent.sum(1)
        labels[frame + 1, :count] = _audible(spoken.flatten(1) / scale.unsqueeze(1))
        blanks[frame + 1, :count] = _audible(silent / scale.unsqueeze(1))
        scales[frame, :count] = scale
    rows = torch.arange(batch, device=lengths.device)
    at_end = (labels[lengths, rows] + blanks[lengths, rows]) @ ends
    return labels, blanks, scales.double().log().sum(0).to(at_end) + at_end.log()


def _backward(
    probs: Tensor, active: list[int], labels: Tensor, blanks: Tensor, denominator: Denominator
) -> Tensor:
    """Return how likely each token is in each frame: `(batch, frames, vocab)`."""
    follows, again, ends = denominator.on(probs)
    vocab, contexts = probs.shape[2], len(again)
    numbers = torch.arange(contexts, device=probs.device)
    # The context after the last token of one came again.
    repeated = numbers * vocab % contexts + numbers % vocab
    table = follows.view(vocab, -1, vocab)
    label, blank = ends.repeat(len(probs), 1), ends.repeat(len(probs), 1)
    occupied = torch.zeros_like(probs)
    for frame in range(len(active) - 1, -1, -1):
        count = active[frame]
        row = probs[:count, frame]
        joint = (labels[frame + 1, :count] * label[:count]).view(count, -1, vocab).sum(1)
        joint[:, 0] += (blanks[frame + 1, :count] * blank[:count]).sum(1)
        occupied[:count, frame] = joint / joint.sum(1, keepdim=True)
        spoken = (label[:count].view(count, -1, vocab) * row.unsqueeze(1)).flatten(1)
        either = torch.einsum("bot,fot->bfo", spoken.view(count, -1, vocab), table).flatten(1)
        either = either + blank[:count] * row[:, :1]
        after_label, after_blank = either + spoken, either + again * spoken[:, repeated]
        highest = torch.maximum(after_label, after_blank).amax(1, keepdim=True)
        label[:count], blank[:count] = _audible(after_label / highest), _audible(after_blank / highest)
    return occupied


def _audible(weights: Tensor) -> Tensor:
    return weights.masked_fill(weights < FAINT, 0.0)
