"""What an output rests on: how far back and ahead its gradient reaches, and how much each direction contributes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from speechlstm.model.encoder.recurrent import RecurrentLayer

_OUTPUTS = 16  # whose gradients are followed: each costs as much as hearing the utterance once more


@dataclass(frozen=True, slots=True)
class Reach:
    """What one output frame rests on.

    Attributes:
        frame: the encoder frame.
        token: whose log-probability there it is.
        gradient: `(feature frames,)`: norm of the gradient of that log-probability by each frame of the features.
        frame_shift: seconds per feature frame.
        seconds: where the output frame is.
    """

    frame: int
    token: int
    gradient: NDArray[np.float64]
    frame_shift: float
    seconds: float

    def within(self, share: float) -> tuple[float, float]:
        """Return how many seconds before and after the output a share of the gradient's norm comes from.

        As much is left out on either side of it: with 0.9 a twentieth lies earlier, and a twentieth later.
        """
        total = self.gradient.sum()
        if not total > 0:
            return 0.0, 0.0
        up_to = np.cumsum(self.gradient) / total
        first = int(np.searchsorted(up_to, (1 - share) / 2))
        last = int(np.searchsorted(up_to, 1 - (1 - share) / 2))
        last = min(last, len(self.gradient) - 1)
        return (
            max(0.0, self.seconds - first * self.frame_shift),
            max(0.0, last * self.frame_shift - self.seconds),
        )


def influence(
    encoder: nn.Module, features: Tensor, frame_shift: float
) -> tuple[list[Reach], dict[int, NDArray[np.float64]]]:
    """Follow gradients from the outputs back to the input, and to what each direction of each layer shows.

    Args:
        encoder: in evaluation mode.
        features: `(1, frames, features)` of one utterance, without padding.
        frame_shift: seconds per feature frame.

    Returns:
        the reach of the frames in which a token is said first, or of some when there are none or too many; and for
        each bidirectional layer, by its number from 1, what each direction contributes to the frames' best
        log-probabilities, `(encoder frames, 2)`: the sum over its units of |gradient x output|, forward first
        (gradient x input: Shrikumar, Greenside and Kundaje, ICML 2017).
    """
    heard = features.detach().clone().requires_grad_()
    shown: dict[int, Tensor] = {}
    handles = []
    for number, layer in enumerate(getattr(encoder, "layers", ()), 1):
        if isinstance(layer, RecurrentLayer) and layer.bidirectional:

            def note(_: nn.Module, arguments: tuple[Tensor, ...], number: int = number) -> None:
                shown[number] = arguments[0]

            handles.append(layer.project.register_forward_pre_hook(note))
    try:
        with torch.enable_grad():
            log_probs, _ = encoder(heard, torch.tensor([heard.shape[1]], device=heard.device))
            best, tokens = log_probs[0].max(-1)
    finally:
        for handle in handles:
            handle.remove()
    subsampling = int(encoder.subsampling)  # type: ignore[arg-type]
    reaches = []
    for frame in _chosen(tokens):
        (gradient,) = torch.autograd.grad(best[frame], heard, retain_graph=True)
        norms = gradient[0].double().norm(dim=-1).cpu().numpy()
        place = frame * subsampling * frame_shift
        reaches.append(Reach(frame, int(tokens[frame]), norms, frame_shift, place))
    gradients = torch.autograd.grad(best.sum(), list(shown.values())) if shown else ()
    return reaches, {
        number: _by_direction(encoder, (output * gradient).detach().abs(), len(tokens))
        for (number, output), gradient in zip(shown.items(), gradients, strict=True)
    }


def _by_direction(encoder: nn.Module, amounts: Tensor, frames: int) -> NDArray[np.float64]:
    """Sum `(1, ..., 2 * units)` over the units of each direction, and over what hears the same frame twice."""
    forward, backward = (part.sum(-1) for part in amounts.double().chunk(2, dim=-1))
    both = torch.stack((forward, backward), dim=-1)
    if both.dim() == 4:  # chunks with their looks ahead, which only the backward direction passes on
        size = int(encoder.chunk_size)  # type: ignore[arg-type]
        both = both[:, :, :size].flatten(1, 2)
    return both[0, :frames].cpu().numpy()


def _chosen(tokens: Tensor) -> list[int]:
    """Return frames where the best token begins to be said; where none is, or too many are, some evenly spread."""
    before = torch.cat((tokens.new_zeros(1), tokens[:-1]))
    begins = ((tokens != 0) & (tokens != before)).nonzero().flatten().tolist()
    if not begins:
        begins = list(range(len(tokens)))
        wanted = min(4, len(begins))
        return [begins[int((index + 0.5) * len(begins) / wanted)] for index in range(wanted)]
    wanted = min(_OUTPUTS, len(begins))
    return [begins[index * len(begins) // wanted] for index in range(wanted)]
