"""The recognizer in training: what it learns from and what validation scores."""

from __future__ import annotations

import functools
import math
from dataclasses import replace
from types import SimpleNamespace

import hydra
import pytest
import torch
from lightning_fabric.plugins.precision.amp import _optimizer_handles_unscaling
from torch import Tensor, nn

from speechlstm.decoders.base import Decoder
from speechlstm.decoders.greedy import GreedyDecoder
from speechlstm.model.acoustic import AcousticModel
from speechlstm.model.encoder import Encoder
from speechlstm.model.features import LogMel
from speechlstm.model.tokenizer import Characters
from speechlstm.training.augment import SpecAugment
from speechlstm.training.loss import CtcLoss
from speechlstm.training.module import TrainingModule
from speechlstm.types import Batch, Hypothesis, SpeechlstmError, UsageError, Utterance

TOKENIZER = Characters.from_texts(["ab"])  # <blank> <space> a b


def pad(targets: list[list[int]]) -> tuple[Tensor, Tensor]:
    lengths = [len(target) for target in targets]
    rows = [target + [0] * (max(lengths) - len(target)) for target in targets]
    return torch.tensor(rows, dtype=torch.long).view(len(targets), max(lengths)), torch.tensor(lengths)


class Fixed(nn.Module):
    """Stands in for an encoder: says what it is told, whatever it hears."""

    def __init__(self, says: list[list[int]]) -> None:
        super().__init__()
        self.says = says

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        probs = torch.full((len(self.says), max(map(len, self.says)), len(TOKENIZER)), 1e-3)
        for row, path in zip(probs, self.says, strict=True):
            row[torch.arange(len(path)), torch.tensor(path)] = 1.0
        return (probs / probs.sum(-1, keepdim=True)).log(), torch.tensor([len(path) for path in self.says])


class InWords(Decoder):
    def decode(self, log_probs: Tensor) -> list[Hypothesis]:
        return [Hypothesis([2], [0], [1], 0.0, [1.0], text="in words")]


def batch(texts: list[str], targets: list[list[int]] | None = None) -> Batch:
    rows, target_lengths = pad(targets if targets is not None else [TOKENIZER.encode(text) for text in texts])
    utterances = [Utterance(f"{index}.wav", 0.5, text, str(index)) for index, text in enumerate(texts)]
    waveforms = torch.randn(len(texts), 4000, generator=torch.Generator().manual_seed(0))
    return Batch(waveforms, torch.full((len(texts),), 4000), rows, target_lengths, utterances)


def recognizer(encoder: nn.Module | None = None, **options: object) -> TrainingModule:
    features = LogMel(8000, num_mels=8)
    torch.manual_seed(0)
    encoder = encoder or Encoder(8, len(TOKENIZER), hidden_size=4, num_layers=1, conv_channels=2)
    parts = {"decoder": GreedyDecoder(TOKENIZER), "loss": CtcLoss(), **options}
    return TrainingModule(AcousticModel(features, encoder), TOKENIZER, **parts)


def logged(model: TrainingModule, monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[float, int]]:
    values: dict[str, tuple[float, int]] = {}

    def log(name: str, value: object, **options: object) -> None:
        values[name] = (float(torch.as_tensor(value).detach()), options.get("batch_size", 0))

    monkeypatch.setattr(model, "log", log)
    return values


def test_validation_keeps_references_and_hypotheses() -> None:
    model = recognizer(Fixed([[2, 0, 2, 3], [0, 3, 1, 2], [0, 0, 0, 0]])).eval()
    model.validation_step(batch(["AaB", " b  a ", "a"]), 0)
    heard = [("0", "aab", "aab"), ("1", "b a", "b a"), ("2", "a", "")]
    assert model.validation.pairs == heard, "normalized as the tokenizer trains"
    assert (model.validation.blanks, model.validation.frames) == (6, 12)
    assert model.validation.tokens == 7, "weighted by tokens, as the loss is"


def test_a_decoder_that_works_in_words_is_believed() -> None:
    model = recognizer(Fixed([[2, 3]]), decoder=InWords(TOKENIZER)).eval()
    model.validation_step(batch(["ab"]), 0)
    assert model.validation.pairs == [("0", "ab", "in words")]


def test_what_cannot_be_spelled_is_scored_but_has_no_loss() -> None:
    model = recognizer(Fixed([[2, 0], [3, 3]])).eval()
    model.validation_step(batch(["xyz", "b"], targets=[[], [3]]), 0)
    assert model.validation.pairs == [("0", "xyz", "a"), ("1", "b", "b")]
    loss = model.validation.loss
    assert model.validation.tokens == 1 and loss == pytest.approx(
        -math.log((1 + 2 * 0.001) / 1.003**2), rel=1e-3
    )
    model.validation_step(batch(["xyz", "uvw"], targets=[[], []]), 0)
    assert len(model.validation.pairs) == 4 and (model.validation.tokens, model.validation.loss) == (1, loss)
    assert model.validation.frames == 8


def test_a_training_step_depends_on_seed_and_step_only(monkeypatch: pytest.MonkeyPatch) -> None:
    augment = SpecAugment(time_masks=4, time_width=0.4)
    model = recognizer(augment=augment, seed=1).train()
    logged(model, monkeypatch)

    def losses() -> float:
        return float(model.training_step(batch(["ab", "b"]), 0)["loss"].detach())

    first = losses()
    torch.rand(7)
    assert losses() == first
    model.seed = 2
    assert losses() != first


def test_augmentation_is_for_training_only() -> None:
    model = recognizer(augment=SpecAugment(time_masks=4, time_width=0.4), encoder=Encoder(8, 4, dropout=0.0))
    waveforms = batch(["a"]).waveforms
    lengths = torch.tensor([4000])
    quiet = [model.eval()(waveforms, lengths)[0] for _ in range(2)]
    assert torch.equal(*quiet)
    assert not torch.equal(model.train()(waveforms, lengths)[0], quiet[0])


def test_the_number_of_unalignable_utterances_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    model = recognizer().train()
    values = logged(model, monkeypatch)
    model.training_step(batch(["ab" * 20, "a"]), 0)  # half a second has 13 frames
    assert values["train/unalignable"][0] == 1 and math.isfinite(values["train/loss"][0])


def test_a_batch_without_speech_teaches_what_it_does_among_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def gradient(*batches: Batch) -> Tensor:
        model = recognizer(
            encoder=Encoder(8, len(TOKENIZER), hidden_size=4, num_layers=1, dropout=0.0)
        ).train()
        logged(model, monkeypatch)
        for each in batches:
            model.training_step(each, 0)["loss"].backward()
        found: Tensor = model.acoustic.encoder.output.weight.grad
        return found

    both, silent, spoken = batch(["ab", "b"], targets=[[], [3]]), batch(["ab"], targets=[[]]), batch(["b"])
    spoken = replace(spoken, waveforms=both.waveforms[1:])
    assert gradient(silent).abs().sum() > 0
    torch.testing.assert_close(gradient(silent, spoken), gradient(both))


def test_a_fused_optimizer_sees_unscaled_gradients_in_fp16() -> None:
    """They are clipped before the update, so it cannot be the update that takes the scale of the loss off."""
    found = []
    for scaler in (None, torch.amp.GradScaler("cpu", init_scale=1024.0)):
        model = recognizer(optimizer=functools.partial(torch.optim.AdamW, lr=0.1, fused=True))
        model._trainer = SimpleNamespace(precision_plugin=SimpleNamespace(scaler=scaler))
        optimizer = model.configure_optimizers()
        loss = sum(weights.square().sum() for weights in model.parameters())
        if scaler is None:
            loss.backward()
            optimizer.step()
        else:
            assert not _optimizer_handles_unscaling(optimizer), "or Lightning leaves the scale on"
            scaler.scale(loss).backward()
            scaler.unscale_(optimizer)
            scaler.step(optimizer)
        found.append(
            (model.acoustic.encoder.output.weight.grad, model.acoustic.encoder.output.weight.detach())
        )
    torch.testing.assert_close(found[0], found[1])


def test_a_checkpoint_for_other_tokens_is_refused() -> None:
    model = recognizer()
    checkpoint: dict[str, object] = {}
    model.on_save_checkpoint(checkpoint)
    model.on_load_checkpoint(checkpoint)
    checkpoint["tokenizer"] = {"tokens": ["<blank>", "z"]}
    with pytest.raises(SpeechlstmError, match=r"trained for 2 tokens, but .*'z'.* or another out="):
        model.on_load_checkpoint(checkpoint)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lr": "never"}, r"^optimizer\.lr is 'never', but must be a number$"),
        ({"weight_decay": "x"}, r"^optimizer\.weight_decay is 'x', but must be a number$"),
        ({"betas": "x"}, r"^optimizer\.betas is 'x', but must be a list of 2 numbers$"),
        ({"betas": [0.9]}, r"^optimizer\.betas is \[0\.9\], but must be a list of 2 numbers$"),
        ({"betas": [0.9, "x"]}, r"^optimizer\.betas is \[0\.9, 'x'\], but must be a list of 2 numbers$"),
        ({"betas": 0.9}, r"^optimizer\.betas is 0\.9, but must be a list of 2 numbers$"),
        ({"lr": -1.0}, r"a setting under optimizer\. does not fit: .*"),
    ],
)
def test_a_learning_rate_that_is_none_is_refused(settings: dict[str, object], message: str) -> None:
    model = recognizer()
    model.optimizer = hydra.utils.instantiate(
        {"_target_": "torch.optim.AdamW", "_partial_": True, "fused": True, **settings}
    )
    with pytest.raises(UsageError, match=message):
        model.configure_optimizers()
