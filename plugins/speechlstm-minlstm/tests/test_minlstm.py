"""The minLSTM encoder, by the recurrence it stands for."""

from __future__ import annotations

import pytest
import torch
from speechlstm_minlstm import CHUNK, MinLSTM, MinLSTMEncoder, scan

from speechlstm.model.encoder.contract import EncoderContract


class TestContract(EncoderContract):
    """What every encoder must do; below, what this one promises."""

    name = "minlstm"
    params = {"hidden_size": 8, "num_layers": 2, "conv_channels": 4}  # noqa: RUF012


@pytest.mark.parametrize("frames", [1, 7, CHUNK, CHUNK + 1, 3 * CHUNK + 5])
def test_the_scan_is_the_recurrence(frames: int) -> None:
    torch.manual_seed(frames)
    kept = torch.rand(2, frames, 3, dtype=torch.float64)
    new = torch.rand(2, frames, 3, dtype=torch.float64)
    state, wanted = torch.full((2, 3), 0.5, dtype=torch.float64), []
    for frame in range(frames):
        state = kept[:, frame] * state + new[:, frame]
        wanted.append(state)
    torch.testing.assert_close(scan(kept.log(), new.log()), torch.stack(wanted, 1))
    single = scan(kept.log().float(), new.log().float())
    torch.testing.assert_close(single.double(), torch.stack(wanted, 1), rtol=1e-4, atol=1e-5)


def test_the_gates_are_those_of_the_paper() -> None:
    torch.manual_seed(0)
    layer, x = MinLSTM(4, 3), 3 * torch.randn(2, 9, 4)
    forget, enter, candidate = layer.linear(x).chunk(3, dim=-1)
    f, i = forget.sigmoid(), enter.sigmoid()
    g = torch.where(candidate >= 0, candidate + 0.5, candidate.sigmoid())
    state, wanted = torch.full((2, 3), 0.5), []
    for frame in range(9):
        share = f[:, frame] / (f + i)[:, frame]
        state = share * state + (1 - share) * g[:, frame]
        wanted.append(state)
    torch.testing.assert_close(layer(x), torch.stack(wanted, 1), rtol=1e-4, atol=1e-5)


def test_all_tokens_begin_equally_probable() -> None:
    log_probs, _ = MinLSTMEncoder(8, 5, hidden_size=4).eval()(torch.randn(1, 20, 8), torch.tensor([20]))
    torch.testing.assert_close(log_probs.exp(), torch.full_like(log_probs, 0.2))
