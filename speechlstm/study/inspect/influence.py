"""What an output depends on: how far back and ahead its gradient reaches, and what each direction contributes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from speechlstm.study.inspect.gates import recorded, recurrent

_OUTPUTS = 16  # whose gradients are followed: each costs as much as another pass over the utterance


@dataclass(frozen=True, slots=True)
class Reach:
    """What the log-probability of a token in one output frame depends on."""

    frame: int
    token: int
    gradient: NDArray[np.float64]  # (feature frames,): its norm by each frame of the features
    frame_shift: float  # seconds per feature frame
    seconds: float  # where the output frame is

    def within(self, share: float) -> tuple[float, float]:
        """Return how many seconds before and after the output the central `share` of the gradient's norm reaches."""
        total = self.gradient.sum()
        if not total > 0:
            return 0.0, 0.0
        tail = (1 - share) / 2
        first, last = np.searchsorted(np.cumsum(self.gradient) / total, [tail, 1 - tail])
        last = min(last, len(self.gradient) - 1)
        before, after = self.seconds - first * self.frame_shift, last * self.frame_shift - self.seconds
        return max(0.0, float(before)), max(0.0, float(after))


def influence(
    encoder: nn.Module, features: Tensor, frame_shift: float
) -> tuple[list[Reach], dict[int, NDArray[np.float64]]]:
    """Follow gradients from the outputs back to the input, and to the output of each direction of each layer.

    Args:
        encoder: in evaluation mode.
        features: `(1, frames, features)` of one utterance, without padding.
        frame_shift: seconds per feature frame.

    Returns:
        the reach of each frame in which a token begins, or of a few frames if there are none or too many; and for each
        bidirectional layer, by its number from 1, what each direction contributes to the frames' best
        log-probabilities, `(encoder frames, 2)`: the sum over its units of |gradient x output|, forward first
        (gradient x input: Shrikumar, Greenside and Kundaje, ICML 2017).
    """
    inputs = features.detach().clone().requires_grad_()
    layers = {number: layer.project for number, layer in recurrent(encoder).items() if layer.bidirectional}
    with recorded(layers) as given, torch.enable_grad():
        log_probs, _ = encoder(inputs, torch.tensor([inputs.shape[1]], device=inputs.device))
        best, tokens = log_probs[0].max(-1)
    subsampling = int(encoder.subsampling)  # type: ignore[arg-type]
    reaches = []
    for frame in _chosen(tokens):
        (gradient,) = torch.autograd.grad(best[frame], inputs, retain_graph=True)
        norms = gradient[0].double().norm(dim=-1).cpu().numpy()
        place = frame * subsampling * frame_shift
        reaches.append(Reach(frame, int(tokens[frame]), norms, frame_shift, place))
    outputs = [arguments[0] for arguments in given.values()]
    gradients = torch.autograd.grad(best.sum(), outputs) if outputs else ()
    return reaches, {
        number: _by_direction(encoder, (output * gradient).detach().abs(), len(tokens))
        for number, output, gradient in zip(given, outputs, gradients, strict=True)
    }


def _by_direction(encoder: nn.Module, amounts: Tensor, frames: int) -> NDArray[np.float64]:
    """Sum `(1, ..., 2 * units)` over the units of each direction."""
    forward, backward = (part.sum(-1) for part in amounts.double().chunk(2, dim=-1))
    both = torch.stack((forward, backward), dim=-1)
    if both.dim() == 4:  # chunks with lookahead, which only the backward direction passes on
        size = int(encoder.chunk_size)  # type: ignore[arg-type]
        both = both[:, :, :size].flatten(1, 2)
    return both[0, :frames].cpu().numpy()


def _chosen(tokens: Tensor) -> list[int]:
    """Return the frames where a token begins, at most `_OUTPUTS`; without any token, four evenly spread frames."""
    before = torch.cat((tokens.new_zeros(1), tokens[:-1]))
    begins = ((tokens != 0) & (tokens != before)).nonzero().flatten().tolist()
    if not begins:
        wanted = min(4, len(tokens))
        return [(2 * index + 1) * len(tokens) // (2 * wanted) for index in range(wanted)]
    wanted = min(_OUTPUTS, len(begins))
    return [begins[index * len(begins) // wanted] for index in range(wanted)]
