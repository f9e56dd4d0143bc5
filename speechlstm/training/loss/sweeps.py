"""Forward and backward sweeps over all label sequences of one utterance, compiled by numba.

A path is in a context of the n-gram (its last labels), and its last frame was the last of these labels or a blank: a
label may then be repeated without a new one beginning, or not. That makes two states a context. From one frame to the
next, each context passes its probability on to `vocab` others, whose numbers are consecutive, so that the inner loops
are sums of rows and products of rows; weights no larger than `FAINT` are left out, which float32 cannot tell.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from speechlstm.decoders.compiled import compiled

_compiled = partial(compiled, error_model="numpy")
_reordering = partial(compiled, error_model="numpy", fastmath={"reassoc", "contract"})
FAINT = 1e-30  # of all probability in a frame: far below a rounding error, but not so small as to be slow (denormal)


@_compiled
def forward(probs, follows, again, ends, labels, blanks):
    """Fill in the scaled forward probabilities of one utterance and return the logarithm of their scale.

    Args:
        probs: `(frames, vocab)` probabilities.
        follows: `(contexts, vocab)` of the n-gram, but 0 where a token would follow itself.
        again: `(contexts,)` probability that the last token of the context follows itself.
        ends: `(contexts,)` probability that the sequence ends.
        labels: `(frames + 1, contexts)` to fill in: the last frame was the last label; all sum to one in a frame.
        blanks: the same where the last frame was a blank.
    """
    frames, vocab = probs.shape
    contexts = len(again)
    # What follows a context has the numbers from its last token times this on.
    step = vocab if contexts > vocab else 0
    total = np.empty(contexts, probs.dtype)
    labels[0], blanks[0], blanks[0, 0] = 0, 0, 1
    scale = 0.0
    for frame in range(frames):
        here, blank, after = labels[frame], blanks[frame], labels[frame + 1]
        for context in range(contexts):
            total[context] = here[context] + blank[context]
            after[context] = here[context]
        for start in range(0, contexts, vocab):
            for last in range(vocab):
                context, first = start + last, last * step
                weight = total[context]
                if weight == 0:
                    continue
                row, reached = follows[context], after[first : first + vocab]
                for token in range(vocab):
                    reached[token] += weight * row[token]
                reached[last] += blank[context] * again[context]
        scale += np.log(_emit(probs[frame], total, after, blanks[frame + 1]))
    at_end = 0.0
    for context in range(contexts):
        at_end += (labels[frames, context] + blanks[frames, context]) * ends[context]
    return scale + np.log(at_end)


@_compiled
def _emit(row, total, labels, blanks):
    """Multiply what has arrived by the frame's probabilities, scale it to a sum of one and return the sum before."""
    vocab, contexts = len(row), len(total)
    mass = 0.0
    for first in range(0, contexts, vocab):
        part = total.dtype.type(0)
        for token in range(vocab):
            labels[first + token] *= row[token]
            blanks[first + token] = total[first + token] * row[0]
            part += labels[first + token] + blanks[first + token]
        mass += part
    factor = total.dtype.type(1 / mass)
    for context in range(contexts):
        label, blank = labels[context] * factor, blanks[context] * factor
        labels[context] = 0 if label < FAINT else label
        blanks[context] = 0 if blank < FAINT else blank
    return mass


@_reordering
def backward(probs, follows, again, ends, labels, blanks, occupied):
    """Fill in how likely each token is in each frame, given all label sequences: the gradient of log Z.

    `labels` and `blanks` are what `forward` has filled in, `occupied` is `(frames, vocab)`; the rest as there.
    """
    frames, vocab = probs.shape
    contexts = len(again)
    step = vocab if contexts > vocab else 0
    label, blank = ends.copy(), ends.copy()  # scaled probabilities of the frames to come, by the last frame
    spoken = np.empty(contexts, probs.dtype)
    for frame in range(frames - 1, -1, -1):
        row = probs[frame]
        _occupy(labels[frame + 1], blanks[frame + 1], label, blank, occupied[frame])
        for first in range(0, contexts, vocab):
            for token in range(vocab):
                spoken[first + token] = label[first + token] * row[token]
        highest = probs.dtype.type(0)
        for start in range(0, contexts, vocab):
            for last in range(vocab):
                context, first = start + last, last * step
                either = blank[context] * row[0]
                for token in range(vocab):
                    either += follows[context, token] * spoken[first + token]
                label[context] = either + spoken[context]
                blank[context] = either + again[context] * spoken[first + last]
                highest = max(highest, label[context], blank[context])
        factor = 1 / highest
        for context in range(contexts):
            ahead, behind = label[context] * factor, blank[context] * factor
            label[context] = 0 if ahead < FAINT else ahead
            blank[context] = 0 if behind < FAINT else behind


@_reordering
def _occupy(labels, blanks, label, blank, occupied):
    """Fill in the share of all paths that have each token in a frame, from both sweeps' probabilities there."""
    vocab, contexts = len(occupied), len(label)
    occupied[:] = 0
    silent = occupied.dtype.type(0)
    for first in range(0, contexts, vocab):
        for token in range(vocab):
            occupied[token] += labels[first + token] * label[first + token]
            silent += blanks[first + token] * blank[first + token]
    occupied[0] += silent
    total = occupied.dtype.type(0)
    for token in range(vocab):
        total += occupied[token]
    for token in range(vocab):
        occupied[token] /= total


@_compiled
def sweep(probs, lengths, follows, again, ends, totals, occupied):
    """Sweep over a batch, one utterance after the other; `occupied` may have no frames, if it is not wanted.

    `probs` and `occupied` are `(batch, frames, vocab)`, the latter zeros; `totals` is `(batch,)`; the rest as in
    `forward`.
    """
    longest = lengths.max() if len(lengths) else 0
    labels = np.empty((longest + 1, len(again)), probs.dtype)
    blanks = np.empty((longest + 1, len(again)), probs.dtype)
    for index, length in enumerate(lengths):
        rows = probs[index, :length]
        totals[index] = forward(rows, follows, again, ends, labels, blanks)
        if occupied.shape[1]:
            backward(rows, follows, again, ends, labels, blanks, occupied[index, :length])
