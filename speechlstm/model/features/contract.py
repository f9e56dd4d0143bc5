"""The tests that every feature extractor must pass, for the authors of plugins; see `speechlstm.model.contract`."""

from __future__ import annotations

import torch
from torch import Tensor

from speechlstm.model.contract import SAMPLE_RATE, Contract, require, require_same

LENGTHS = (4000, 0, 1, 801, 7999)  # samples


class FeaturesContract(Contract):
    """Waveforms `(batch, samples)` and lengths to features `(batch, frames, num_features)` and lengths."""

    stage = "features"

    def test_frames_are_as_many_and_as_far_apart_as_it_tells(self) -> None:
        """`num_frames` is what comes out, `frame_shift` the seconds between them, `num_features` their size."""
        made = self.make()
        features, frames = made(*_batch())
        told = [made.num_frames(length) for length in LENGTHS]
        require(frames.tolist() == told, f"lengths are {frames.tolist()}, but num_frames says {told}")
        require(made.sample_rate == SAMPLE_RATE, f"sample_rate is {made.sample_rate}, not {SAMPLE_RATE}")
        require(
            features.shape[2] == made.num_features, f"{features.shape[2]} numbers a frame, not num_features"
        )
        seconds = (made.num_frames(10 * SAMPLE_RATE) - made.num_frames(0)) * made.frame_shift
        require(abs(seconds - 10) < 0.1, f"10 s of audio have frames of {seconds:.2f} s by frame_shift")

    def test_padding_changes_nothing(self) -> None:
        """An utterance gives the same alone and in a batch, whatever stands past its length."""
        made = self.make()
        waveforms, lengths = _batch()
        beyond = torch.arange(waveforms.shape[1]) >= lengths[:, None]
        together, frames = made(waveforms.masked_fill(beyond, 0.7), lengths)
        for row, length in enumerate(lengths.tolist()):
            alone, _ = made(waveforms[row : row + 1, :length], lengths[row : row + 1])
            count = int(frames[row])
            require_same(
                alone[0, :count], together[row, :count], f"an utterance of {length} samples in a batch", 1e-3
            )

    def test_past_the_lengths_are_zeros(self) -> None:
        """What lies past a length is zero."""
        features, frames = self.make()(*_batch())
        past = torch.arange(features.shape[1]) >= frames[:, None]
        require(not bool(features[past].any()), "frames past a length are not zero")

    def test_silence_and_noise_are_finite(self) -> None:
        """Digital silence, full scale and a single sample give float32 numbers that are finite."""
        for waveforms in (torch.zeros(1, 4000), torch.ones(1, 4000), torch.randn(1, 1)):
            features, _ = self.make()(waveforms, torch.tensor([waveforms.shape[1]]))
            require(features.dtype == torch.float32, f"features are {features.dtype}, not float32")
            require(bool(features.isfinite().all()), "features of silence or of full scale are not finite")

    def test_it_is_deterministic(self) -> None:
        """The same audio gives the same features, from another object too."""
        one = self.make()
        for other in (one, self.make()):
            require_same(one(*_batch())[0], other(*_batch())[0], "the same audio again", 0.0)

    def test_audio_has_a_gradient(self) -> None:
        """A loss on the features reaches the waveform, and is finite there."""
        waveforms, lengths = _batch()
        waveforms.requires_grad_()
        self.make()(waveforms, lengths)[0].square().sum().backward()
        require(waveforms.grad is not None, "no gradient reaches the waveform")
        require(waveforms.grad is None or bool(waveforms.grad.isfinite().all()), "a gradient is not finite")

    def test_the_input_is_left_alone(self) -> None:
        """The caller's waveform is as it was."""
        waveforms, lengths = _batch()
        before = waveforms.clone()
        self.make()(waveforms, lengths)
        require(torch.equal(waveforms, before), "the waveform is changed; work on a copy")

    def test_its_state_is_all_of_it(self) -> None:
        """Another one with its state dict gives the same."""
        one, other = self.make(), self.make()
        other.load_state_dict(one.state_dict())
        require_same(one(*_batch())[0], other(*_batch())[0], "with the same state dict")


def _batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    waveforms = 0.1 * torch.randn(len(LENGTHS), max(LENGTHS), generator=generator)
    lengths = torch.tensor(LENGTHS)
    return waveforms.masked_fill(torch.arange(max(LENGTHS)) >= lengths[:, None], 0.0), lengths
