"""What a trained network does while it listens: gates as they are, half-lives, reach, shares, and their logging."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn

import speechlstm
from speechlstm.decoders.greedy import GreedyDecoder
from speechlstm.model.acoustic import AcousticModel
from speechlstm.model.encoder import ChunkedEncoder, ConformerEncoder, Encoder, LookaheadEncoder
from speechlstm.model.features import LogMel
from speechlstm.model.tokenizer import Characters, Subwords
from speechlstm.study.cells import GRUGates, LSTMGates, RNNGates
from speechlstm.study.inspect import checkpoint
from speechlstm.study.inspect.callback import WatchGates
from speechlstm.study.inspect.gates import Direction, listen
from speechlstm.study.inspect.influence import Reach, influence
from speechlstm.study.inspect.observe import observe
from speechlstm.training.checkpoints import Checkpoints
from speechlstm.training.loss import CtcLoss
from speechlstm.training.module import TrainingModule
from speechlstm.types import AudioError, Batch, SpeechlstmError, Utterance

SAMPLES = Path(speechlstm.__file__).parent / "data" / "samples"
FEATURES, VOCAB = 10, 7
KINDS = {
    "lstm": (Encoder, {}),
    "gru": (Encoder, {"cell": "gru"}),
    "rnn": (Encoder, {"cell": "rnn", "projection_size": 5}),
    "bare": (Encoder, {"layer_norm": False, "residual": False}),
    "lookahead": (LookaheadEncoder, {"lookahead": 2}),
    "chunked": (ChunkedEncoder, {"chunk_size": 3, "lookahead": 2}),
    "chunked without a look ahead": (ChunkedEncoder, {"chunk_size": 4, "lookahead": 0}),
}


def encoder(kind: str, layers: int = 2) -> Encoder:
    torch.manual_seed(0)
    build, options = KINDS[kind]
    made = build(FEATURES, VOCAB, hidden_size=6, num_layers=layers, conv_channels=3, **options).eval()
    with torch.no_grad():
        for weight in made.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    return made


def features(frames: int = 41, seed: int = 1) -> Tensor:
    return torch.randn(1, frames, FEATURES, generator=torch.Generator().manual_seed(seed))


# gates


@pytest.mark.parametrize("kind", KINDS)
def test_the_gates_are_those_of_the_network_that_runs(kind: str) -> None:
    """The hidden states must be what the layer's own kernel makes of the same input."""
    model, x = encoder(kind), features()
    states: dict[int, Tensor] = {}
    for number, layer in enumerate(model.layers[:2], 1):
        layer.project.register_forward_pre_hook(lambda _, given, n=number: states.__setitem__(n, given[0]))
    with torch.no_grad():
        log_probs, _ = model(x, torch.tensor([x.shape[1]]))
    found = listen(model, x, 0.04)
    frames = log_probs.shape[1]
    names = ["forward"] if kind == "lookahead" else ["forward", "backward"]
    assert [(each.layer, each.name) for each in found] == [(n, name) for n in (1, 2) for name in names]
    for each in found:
        state = states[each.layer]
        if state.dim() == 4:
            state = state[:, :, : model.chunk_size].flatten(1, 2)
        state = state[0, :frames]
        wanted = state[:, :6] if each.name == "forward" else state[:, 6:]
        torch.testing.assert_close(each.gates.hidden, wanted, atol=1e-6, rtol=0)
        assert all(part.shape == (frames, 6) for part in each.gates)
    assert not model._forward_hooks and not any(layer._forward_pre_hooks for layer in model.layers)


def test_other_encoders_have_no_gates() -> None:
    model = ConformerEncoder(FEATURES, VOCAB, width=8, num_heads=2, ffn_size=8, num_layers=1, conv_channels=2)
    assert listen(model.eval(), features(), 0.04) == []


def direction(keep: Tensor, name: str = "forward") -> Direction:
    zeros = torch.zeros_like(keep)
    return Direction(1, name, LSTMGates(keep, zeros, zeros, zeros, zeros, zeros), 0.04)


@given(share=st.floats(0.3, 0.99))
def test_the_half_life_of_a_constant_gate_is_that_of_decay(share: float) -> None:
    frames = 2 + math.ceil(4 * math.log(0.5) / math.log(share))
    (found,) = direction(torch.full((frames, 1), share)).half_life().tolist()
    assert found == pytest.approx(0.04 * math.log(0.5) / math.log(share), rel=1e-4)


@settings(max_examples=30)
@given(seed=st.integers(0, 999), frames=st.integers(2, 30), name=st.sampled_from(["forward", "backward"]))
def test_half_lives_are_what_multiplying_gates_gives(seed: int, frames: int, name: str) -> None:
    keep = torch.rand(frames, 3, generator=torch.Generator().manual_seed(seed)).double() ** 0.3
    found = direction(keep, name).half_life()
    for unit in range(3):
        gates = keep[:, unit].tolist()
        gates = gates[::-1] if name == "backward" else gates
        lives = []
        for start in range(frames - 1):
            left, life = 1.0, math.inf
            for step, gate in enumerate(gates[start + 1 :]):
                if left * gate <= 0.5:
                    life = step + math.log(left / 0.5) / -math.log(gate)
                    break
                left *= gate
            lives.append(life)
        wanted = sorted(lives)[(len(lives) - 1) // 2] * 0.04
        assert found[unit].item() == pytest.approx(wanted, rel=1e-9)


def test_a_gate_that_is_always_open_never_forgets_and_one_shut_forgets_at_once() -> None:
    keep = torch.tensor([1.0, 0.0]).repeat(20, 1)
    remembers, forgets = direction(keep).half_life().tolist()
    assert remembers == math.inf and 0 < forgets < 0.002
    assert direction(keep[:1]).half_life() is None, "one frame says nothing"


def test_what_each_kind_of_cell_has_to_show() -> None:
    part = torch.full((4, 2), 0.95)
    gru = Direction(1, "forward", GRUGates(0 * part, part, part, part), 0.04)
    assert list(gru.openings) == ["reset", "update"] and gru.half_life() is not None
    assert gru.saturation()["reset"][0].tolist() == [1.0, 1.0]
    assert gru.saturation()["update"][1].tolist() == [1.0, 1.0]
    rnn = Direction(1, "forward", RNNGates(part), 0.04)
    assert rnn.openings == {} and rnn.half_life() is None and rnn.memory is part


# influence


@pytest.mark.parametrize("kind", KINDS)
def test_the_reach_is_the_gradient_and_ends_where_the_network_ends_hearing(kind: str) -> None:
    model, x = encoder(kind), features(57)
    reaches, shares = influence(model, x, 0.01)
    probe = x.clone().requires_grad_()
    log_probs, _ = model(probe, torch.tensor([57]))
    assert reaches
    for reach in reaches:
        (gradient,) = torch.autograd.grad(log_probs[0, reach.frame, reach.token], probe, retain_graph=True)
        np.testing.assert_allclose(reach.gradient, gradient[0].norm(dim=-1), rtol=1e-4, atol=1e-9)
        assert reach.seconds == pytest.approx(reach.frame * 4 * 0.01)
        if kind == "lookahead":
            assert not reach.gradient[(reach.frame + 2) * 4 + 4 :].any()
    assert set(shares) == (set() if kind == "lookahead" else {1, 2})
    assert all(each.shape == (15, 2) and (each >= 0).all() for each in shares.values())
    assert all(weight.grad is None for weight in model.parameters())


def test_a_direction_that_is_not_used_contributes_nothing() -> None:
    model = encoder("rnn", layers=1)
    with torch.no_grad():
        model.layers[0].project.weight[:, 6:] = 0.0  # what the backward direction shows goes nowhere
    _, shares = influence(model, features(), 0.01)
    assert shares[1][:, 0].sum() > 0 and shares[1][:, 1].sum() == 0


@given(before=st.integers(0, 20), after=st.integers(0, 20))
def test_within_says_where_most_of_a_gradient_is(before: int, after: int) -> None:
    gradient = np.zeros(60)
    gradient[30 - before : 31 + after] = 1.0
    reach = Reach(30, 1, gradient, 0.01, 0.3)
    back, ahead = reach.within(0.999)
    assert back == pytest.approx(before * 0.01) and ahead == pytest.approx(after * 0.01)
    half = reach.within(0.5)
    assert half[0] <= back + 1e-9 and half[1] <= ahead + 1e-9
    assert Reach(30, 1, 0 * gradient, 0.01, 0.3).within(0.9) == (0.0, 0.0)


def test_many_outputs_are_thinned_and_none_are_replaced() -> None:
    class Says(nn.Module):
        subsampling = 1

        def __init__(self, tokens: list[int]) -> None:
            super().__init__()
            self.tokens = torch.tensor(tokens)

        def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
            said = nn.functional.one_hot(self.tokens, 3)[None] * 5.0 + x.sum(-1, keepdim=True)
            return said, lengths

    talkative, _ = influence(Says([1, 0, 2] * 30), features(90), 0.01)
    assert len(talkative) == 16 and all(each.token for each in talkative)
    silent, _ = influence(Says([0] * 90), features(90), 0.01)
    assert [each.frame for each in silent] == [11, 33, 56, 78] and not any(each.token for each in silent)
    short, _ = influence(Says([0]), features(1), 0.01)
    assert [each.frame for each in short] == [0]


# observations


def test_the_shipped_recognizer_is_observed() -> None:
    bundle = speechlstm.load()
    seen = observe(bundle, SAMPLES / "number.flac", bundle.decoder)
    assert seen.transcript.text == "four one two five five one nine"
    frames = len(seen.log_probs)
    assert frames == pytest.approx(seen.seconds / seen.frame_shift, abs=1.01)
    assert len(seen.directions) == 6 and {each.memory.shape for each in seen.directions} == {(frames, 256)}
    assert len(seen.reaches) == 7 and seen.shares[3].shape == (frames, 2)
    assert seen.overview is None
    stretch = observe(bundle, SAMPLES / "number.flac", bundle.decoder, offset=0.5, duration=0.75)
    assert stretch.seconds == pytest.approx(0.75) and len(stretch.transcript.words) < 5
    assert (stretch.offset, stretch.recording_seconds) == (0.5, pytest.approx(seen.seconds))
    assert stretch.overview.min() == seen.waveform.min() and stretch.overview.max() == seen.waveform.max()


def test_a_text_is_aligned_instead_of_found() -> None:
    bundle = speechlstm.load()
    seen = observe(bundle, SAMPLES / "stop.flac", bundle.decoder, text=" Stop ")
    assert seen.aligned and [word.text for word in seen.transcript.words] == ["stop"]
    for text, message in (("", "text= is empty"), ("supercalifragilistic", "not in the tokenizer's words")):
        with pytest.raises(SpeechlstmError, match=message):
            observe(bundle, SAMPLES / "stop.flac", bundle.decoder, text=text)


def test_too_long_a_recording_is_refused() -> None:
    bundle = speechlstm.load()
    with pytest.raises(AudioError, match=r"61 s long, but at most 60 s can be shown; choose a stretch"):
        observe(bundle, SAMPLES / "stop.flac", bundle.decoder, duration=61.0)
    with pytest.raises(AudioError, match="no such file"):
        observe(bundle, "nowhere.wav", bundle.decoder)


# a training that still runs


def recognizer(texts: list[str], **options: object) -> TrainingModule:
    tokens = Characters.from_texts(texts)
    torch.manual_seed(0)
    model = Encoder(8, len(tokens), hidden_size=4, num_layers=1, conv_channels=2, **options)
    return TrainingModule(
        AcousticModel(LogMel(8000, num_mels=8), model), tokens, GreedyDecoder(tokens), CtcLoss()
    )


def settings_of(**options: object) -> dict[str, dict[str, object]]:
    encoder = {
        "name": "blstm",
        "hidden_size": 4,
        "num_layers": 1,
        "conv_channels": 2,
    }
    features = {"name": "logmel", "sample_rate": 8000, "num_mels": 8}
    return {"features": features, "encoder": encoder | options}


def saved(path: Path, model: TrainingModule, **changes: object) -> Path:
    content = {"state_dict": model.state_dict(), "global_step": 7, "tokenizer": model.tokenizer.to_dict()}
    content = {key: value for key, value in (content | changes).items() if value is not None}
    Checkpoints(changes.get("settings", settings_of())).save_checkpoint(content, path)
    return path


def test_a_checkpoint_is_the_model_that_trains(tmp_path: Path) -> None:
    model = recognizer(["ab ba"]).eval()
    bundle = checkpoint.load(saved(tmp_path / "last.ckpt", model))
    assert bundle.name.endswith("last.ckpt after 7 updates")
    assert bundle.tokenizer.decode(bundle.tokenizer.encode("ab ba")) == "ab ba"
    waveform, length = torch.randn(1, 4000), torch.tensor([4000])
    with torch.no_grad():
        torch.testing.assert_close(bundle.log_probs(waveform, length)[0], model(waveform, length)[0])
    assert observe(bundle, SAMPLES / "stop.flac", bundle.decoder).directions[0].memory.shape[1] == 4


def test_a_checkpoint_spells_words_as_the_training_does(tmp_path: Path) -> None:
    pytest.importorskip("sentencepiece")
    model = recognizer(["ab"])
    tokens = Subwords.from_texts(["the cat sat on the mat", "a cat that sat"] * 20, vocab_size=14)
    weights = {
        **model.state_dict(),
        **Encoder(8, len(tokens), hidden_size=4, num_layers=1, conv_channels=2).state_dict(
            prefix="acoustic.encoder."
        ),
    }
    path = saved(tmp_path / "a.ckpt", model, state_dict=weights, tokenizer=tokens.to_dict())
    read = checkpoint.load(path).tokenizer
    assert read.decode(read.encode("the cat sat")) == "the cat sat"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tokenizer": None}, "no checkpoint of speechlstm: it has no tokenizer"),
        ({"settings": settings_of(hidden_size=5)}, "weights and config do not fit together"),
        (
            {"settings": {"features": {"_target_": "os.system"}, "encoder": {}}},
            "features must be chosen by name",
        ),
    ],
)
def test_other_files_are_refused(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    path = saved(tmp_path / "x.ckpt", recognizer(["ab"]), **changes)
    with pytest.raises(SpeechlstmError, match=message):
        checkpoint.load(path)
    path.write_bytes(b"nonsense")
    with pytest.raises(SpeechlstmError, match="damaged checkpoint"):
        checkpoint.load(path)


@pytest.mark.parametrize("cell", ["lstm", "rnn"])
def test_the_callback_logs_saturation_and_half_life(tmp_path: Path, cell: str) -> None:
    model = recognizer(["ab"], cell=cell).eval()
    with torch.no_grad():
        model.acoustic.encoder.layers[0].rnn.bias_ih_l0[4:8] = 9.0  # of the LSTM's forget gate, forward
    tensorboard, csv = TensorBoardLogger(tmp_path / "tb"), CSVLogger(tmp_path / "csv")
    trainer = SimpleNamespace(
        sanity_checking=False,
        is_global_zero=True,
        current_epoch=1,
        global_step=30,
        loggers=[tensorboard, csv],
    )
    waveforms, lengths = torch.randn(2, 8000), torch.tensor([3000, 8000])
    utterances = [Utterance("a.wav", 1.0, "ab", "a")] * 2
    batch = Batch(waveforms, lengths, torch.ones(2, 1).long(), torch.tensor([1, 1]), utterances)

    def validate(callback: WatchGates, batch_idx: int = 0) -> None:
        callback.on_validation_batch_end(trainer, model, None, batch, batch_idx)

    validate(WatchGates(), batch_idx=1)
    validate(WatchGates(every_epochs=3))
    assert not csv.experiment.metrics, "neither in other batches nor in other epochs"
    validate(WatchGates(every_epochs=2))
    tensorboard.experiment.flush()
    board = EventAccumulator(tensorboard.log_dir, size_guidance={"scalars": 0})
    board.Reload()
    scalars = {tag: board.Scalars(tag)[0].value for tag in board.Tags()["scalars"]}
    if cell == "rnn":
        assert not scalars
        return
    forward, backward = listen(
        model.acoustic.encoder, model.acoustic.features(waveforms[1:], lengths[1:])[0], 0.04
    )
    assert forward.saturation()["forget"][1].tolist() == [1.0] * 4
    for each in (forward, backward):
        place = f"gates/layer1_{each.name}"
        life = 1000 * each.half_life().clamp(max=26 * 0.04).median()
        assert scalars[f"{place}/half_life_ms"] == pytest.approx(life.item(), rel=1e-4)
        assert scalars[f"{place}/forget_open"] == pytest.approx(
            float(each.saturation()["forget"][1].mean()), rel=1e-4
        )
    assert "gates/layer1_forward/log10_half_life_ms" in board.Tags()["histograms"]
    assert csv.experiment.metrics[0]["step"] == 30
