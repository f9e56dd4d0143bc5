"""Live speech through features and encoder: as the whole recording, wherever the pieces and windows begin."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from padding import as_if_trained
from torch import Tensor

from speechlstm.model.acoustic import AcousticModel
from speechlstm.model.encoder import ChunkedEncoder, Encoder, LookaheadEncoder
from speechlstm.model.features import Features, KaldiFbank, LogMel, Mfcc, Spectrogram, running
from speechlstm.model.features.base import LOWEST
from speechlstm.model.features.running import RunningFeatures
from speechlstm.model.live import LiveModel

RATE, HOP = 8_000, 80
KINDS: list[Callable[..., Features]] = [LogMel, Mfcc, KaldiFbank, Spectrogram]


def speech(seconds: float, seed: int = 0) -> Tensor:
    """Return bursts of noise of different loudness and color, with pauses of faint noise."""
    generator = torch.Generator().manual_seed(seed)
    pieces = []
    for length in torch.full((int(seconds * 4),), RATE // 4).tolist():
        loudness = 10.0 ** -float(torch.randint(0, 4, (), generator=generator))
        noise = torch.randn(length + 1, generator=generator)
        pieces.append(0.1 * loudness * (noise[1:] + float(torch.rand((), generator=generator)) * noise[:-1]))
    return torch.cat(pieces)


def windows(waveform: Tensor, cuts: list[int], kept: int, frame: int) -> Iterator[tuple[Tensor, int, bool]]:
    """Yield what is held of a recording at some samples: no more than about `kept` samples before each of them."""
    start = 0
    for end in [*sorted(cuts), len(waveform)]:
        yield waveform[start:end], start, end == len(waveform)
        start = max(start, (end - kept) // frame * frame)


@pytest.mark.parametrize("kind", KINDS)
@torch.inference_mode()
def test_at_the_end_live_features_are_those_of_the_whole(kind: Callable[..., Features]) -> None:
    features, waveform = kind(RATE), speech(20)
    live = RunningFeatures(features)
    whole = features(waveform[None], torch.tensor([len(waveform)]))[0][0]
    for held, start, last in windows(waveform, [8_000, 8_077, 30_000, 100_000], 2 * RATE, HOP):
        found, complete = live(held, start, last)
        assert complete == len(found) if last else complete < len(found) + 2
    inside = (
        running.REMEMBERED and features.reach + 2
    )  # where the last window begins is no beginning of the recording
    torch.testing.assert_close(found[inside:], whole[start // HOP :][inside:], atol=1e-3, rtol=0)


@torch.inference_mode()
def test_a_long_pause_does_not_displace_speech_and_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "REMEMBERED", 5.0)
    first, live = speech(1).repeat(4), RunningFeatures(LogMel(RATE))
    pause = 1e-4 * torch.randn(60 * RATE, generator=torch.Generator().manual_seed(1))
    waveform = torch.cat((first, pause, first))
    found = []
    for held, start, last in windows(waveform, list(range(RATE, len(waveform), RATE)), RATE, HOP):
        found.append(live(held, start, last)[0])
        assert len(live._levels) <= 500
    assert found[62].mean() < -1  # a second of the pause, which is not taken for speech
    torch.testing.assert_close(found[64][150:], found[3][150:], atol=0.3, rtol=0)


@torch.inference_mode()
def test_zeros_are_silence_until_somebody_speaks() -> None:
    live, waveform = RunningFeatures(LogMel(RATE)), torch.cat((torch.zeros(RATE), speech(2)))
    assert (live(waveform[:RATE], 0, False)[0] == LOWEST).all()
    found, _ = live(waveform, 0, True)
    assert found[:80].max() < -2 and found[120:].std(dim=0).median() > 0.5


SMALL = {"hidden_size": 6, "num_layers": 2, "conv_channels": 4}
ENCODERS = {
    "chunked": lambda: ChunkedEncoder(80, 7, chunk_size=5, lookahead=3, **SMALL),
    "lookahead": lambda: LookaheadEncoder(80, 7, lookahead=4, **SMALL),
    "whole": lambda: Encoder(80, 7, **SMALL),
}


def model(kind: str, normalize: str) -> AcousticModel:
    torch.manual_seed(0)
    made = AcousticModel(LogMel(RATE, normalize=normalize), as_if_trained(ENCODERS[kind]())).eval()
    if normalize == "global":
        waveform = speech(5)
        made.features.estimate([(waveform[None], torch.tensor([len(waveform)]))])
    return made


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(["chunked", "lookahead"]),
    seconds=st.sampled_from([0.25, 1.0, 3.0]),
    cuts=st.lists(st.integers(1, 24_000), max_size=10),
    kept=st.integers(800, 8_000),
)
@torch.inference_mode()
def test_an_encoder_that_carries_on_gives_the_whole(
    kind: str, seconds: float, cuts: list[int], kept: int
) -> None:
    made, waveform = model(kind, "global"), speech(seconds)
    whole = made(waveform[None], torch.tensor([len(waveform)]))[0][0]
    live, frame, start = LiveModel(made), 4 * HOP, 0
    for end in [*sorted(cut for cut in cuts if cut < len(waveform)), len(waveform)]:
        found = live(waveform[start:end], start, end == len(waveform))
        ready = start + len(found) * frame  # nothing may be dropped before it has come out
        assert ready <= end or end == len(waveform)
        torch.testing.assert_close(found, whole[start // frame :][: len(found)], atol=1e-4, rtol=0)
        begin, start = start, max(start, min((end - kept) // frame * frame, ready))
    assert len(found) == len(whole) - begin // frame


@torch.inference_mode()
def test_other_encoders_recognize_what_is_held_again() -> None:
    made, waveform = model("whole", "global"), speech(2)
    live = LiveModel(made)
    for held, start, last in windows(waveform, [4_000, 9_000], 3_200, 4 * HOP):
        wanted = made(held[None], torch.tensor([len(held)]))[0][0]
        torch.testing.assert_close(live(held, start, last), wanted, atol=1e-5, rtol=0)
