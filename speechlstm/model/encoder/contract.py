"""The tests that every encoder must pass, for the authors of plugins; see `speechlstm.model.contract`."""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from speechlstm.model.acoustic import AcousticModel
from speechlstm.model.bundle import Bundle, load_bundle
from speechlstm.model.contract import SAMPLE_RATE, Contract, require, require_same
from speechlstm.model.features import LogMel
from speechlstm.model.selftest import save_bundle
from speechlstm.model.tokenizer import Characters

FEATURES, TOKENS = 12, 7
LENGTHS = (23, 0, 9, 1, 40)  # feature frames


class EncoderContract(Contract):
    """Features `(batch, frames, num_features)` and lengths to log-probabilities of tokens and lengths."""

    stage = "encoder"

    def test_log_probs_are_normalized(self) -> None:
        """Natural logarithms in float32 that sum to one within each length, one row a token."""
        log_probs, lengths = self._encode(self._make(), self._rows())
        require(log_probs.dtype == torch.float32, f"log_probs are {log_probs.dtype}, not float32")
        require(log_probs.shape[2] == TOKENS, f"{log_probs.shape[2]} columns for {TOKENS} tokens")
        totals = log_probs.exp().sum(-1)
        for row, length in enumerate(lengths.tolist()):
            require(
                torch.allclose(totals[row, :length], torch.ones(length), atol=1e-4),
                "probabilities of a frame do not sum to one: end with log_softmax",
            )

    def test_lengths_are_those_it_tells(self) -> None:
        """`output_lengths` says how many frames come out, and `subsampling` how far apart they are."""
        encoder = self._make()
        log_probs, lengths = self._encode(encoder, self._rows())
        told = encoder.output_lengths(torch.tensor(LENGTHS))
        require(lengths.tolist() == told.tolist(), f"lengths are {lengths.tolist()}, told {told.tolist()}")
        require(int(lengths.max()) <= log_probs.shape[1], "a length is beyond the frames that come out")
        for frames in (40, 400):
            wanted, out = frames / encoder.subsampling, int(encoder.output_lengths(torch.tensor(frames)))
            require(
                abs(out - wanted) <= 2,
                f"{frames} frames became {out}, with subsampling {encoder.subsampling}",
            )

    def test_padding_changes_nothing(self) -> None:
        """An utterance gives the same alone and in a batch, whatever stands past its length."""
        encoder, rows = self._make(), self._rows()
        together, lengths = self._encode(encoder, rows, padding=1e4)
        for index, row in enumerate(rows):
            if not len(row):  # features give at least one frame
                continue
            alone, _ = self._encode(encoder, [row])
            length = int(lengths[index])
            require_same(
                alone[0, :length], together[index, :length], f"an utterance of {len(row)} frames in a batch"
            )

    def test_pieces_are_the_whole(self) -> None:
        """An encoder with `stream`, for live speech, gives for pieces of an utterance what it gives for the whole."""
        encoder, row = self._make(), self._rows()[-1]
        if not hasattr(encoder, "stream"):
            return
        stream = encoder.stream()
        with torch.no_grad():
            pieces = [stream.accept(row[start:end]) for start, end in ((0, 1), (1, 18), (18, -3))]
            found = torch.cat([*pieces, stream.accept(row[-3:], last=True)])
        require_same(self._encode(encoder, [row])[0][0], found, "an utterance in pieces")

    def test_no_frames_come_out_of_none(self) -> None:
        """An utterance without frames, beside another, comes out without frames."""
        _, lengths = self._encode(self._make(), [torch.zeros(0, FEATURES), torch.zeros(5, FEATURES)])
        require(int(lengths[0]) == 0, f"no frames became {int(lengths[0])}")

    def test_it_is_deterministic(self) -> None:
        """In evaluation the same input gives the same output."""
        encoder = self._make()
        require_same(
            self._encode(encoder, self._rows())[0], self._encode(encoder, self._rows())[0], "again", 0.0
        )

    def test_every_weight_learns(self) -> None:
        """A loss gives each weight a gradient that is finite."""
        encoder = self._make().train()
        log_probs, lengths, *_ = encoder(*_pad(self._rows()))
        targets, sizes = torch.tensor([[1, 2]] * len(lengths)), torch.where(lengths > 4, 2, 0)
        loss = nn.functional.ctc_loss(log_probs.transpose(0, 1), targets, lengths, sizes, zero_infinity=True)
        loss.backward()  # type: ignore[no-untyped-call]
        for name, weight in encoder.named_parameters():
            require(weight.grad is not None, f"{name} has no gradient: is it used?")
            require(
                weight.grad is None or bool(weight.grad.isfinite().all()), f"{name} has a gradient of NaN"
            )

    def test_padding_has_no_gradient(self) -> None:
        """Nothing past a length has an influence on the loss."""
        features, lengths = _pad(self._rows())
        features.requires_grad_()
        log_probs, out, *_ = self._make()(features, lengths)
        inside = torch.arange(log_probs.shape[1]) < out[:, None]
        (log_probs * inside.unsqueeze(-1)).square().sum().backward()
        past = torch.arange(features.shape[1]) >= lengths[:, None]
        assert features.grad is not None
        require(not bool(features.grad[past].any()), "frames past a length have a gradient")

    def test_its_state_is_all_of_it(self) -> None:
        """Another one with its state dict gives the same; a copy does, too."""
        encoder, other = self._make(), self._make(seed=1)
        other.load_state_dict(encoder.state_dict())
        wanted, _ = self._encode(encoder, self._rows())
        require_same(wanted, self._encode(other, self._rows())[0], "an encoder with this one's state dict")
        require_same(wanted, self._encode(copy.deepcopy(encoder), self._rows())[0], "a copy")

    def test_a_bundle_keeps_it(self) -> None:
        """Saved as a bundle and loaded again, which makes it from its settings, it gives the same."""
        encoder, tokens = self._make(), Characters.from_texts(["abcde"])  # with blank and space
        features = {"name": "logmel", "sample_rate": SAMPLE_RATE, "num_mels": FEATURES}
        config = {
            "name": "contract",
            "sample_rate": SAMPLE_RATE,
            "features": features,
            "encoder": self.settings(),
        }
        model = AcousticModel(LogMel(SAMPLE_RATE, num_mels=FEATURES), encoder)
        with tempfile.TemporaryDirectory() as folder:
            save_bundle(Bundle(model, tokens, config), path := Path(folder) / "bundle", "")
            loaded = load_bundle(path).model.encoder
        require_same(
            self._encode(encoder, self._rows())[0], self._encode(loaded, self._rows())[0], "once loaded"
        )

    def test_half_precision_is_taken(self) -> None:
        """Under autocast to bfloat16 log-probabilities stay float32, and near."""
        encoder = self._make()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rough, _ = self._encode(encoder, self._rows())
        require(rough.dtype == torch.float32, f"log_probs under autocast are {rough.dtype}, not float32")
        require(bool(rough.isfinite().all()), "log_probs under autocast are not finite")

    def _make(self, seed: int = 0) -> Any:
        torch.manual_seed(seed)
        return self.make().eval()

    def given(self) -> dict[str, Any]:
        """Return the sizes of the stages before and after."""
        return {"num_features": FEATURES, "vocab_size": TOKENS}

    def _rows(self) -> list[Tensor]:
        generator = torch.Generator().manual_seed(3)
        return [torch.randn(length, FEATURES, generator=generator) for length in LENGTHS]

    @torch.no_grad()
    def _encode(self, encoder: nn.Module, rows: list[Tensor], padding: float = 0.0) -> tuple[Tensor, Tensor]:
        log_probs, lengths, *_ = encoder(*_pad(rows, padding))
        return log_probs, lengths


def _pad(rows: list[Tensor], padding: float = 0.0) -> tuple[Tensor, Tensor]:
    lengths = torch.tensor([len(row) for row in rows])
    return pad_sequence(rows, batch_first=True, padding_value=padding), lengths
