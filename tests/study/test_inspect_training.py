"""A training that still runs: its checkpoint is observed, and its gates are logged."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import speechlstm
from speechlstm.decoders.greedy import GreedyDecoder
from speechlstm.model.acoustic import AcousticModel
from speechlstm.model.encoder import Encoder
from speechlstm.model.features import LogMel
from speechlstm.model.tokenizer import Characters, Subwords
from speechlstm.study.inspect import checkpoint
from speechlstm.study.inspect.callback import WatchGates
from speechlstm.study.inspect.gates import listen
from speechlstm.study.inspect.observe import observe
from speechlstm.training.checkpoints import Checkpoints
from speechlstm.training.loss import CtcLoss
from speechlstm.training.module import TrainingModule
from speechlstm.types import Batch, SpeechlstmError, Utterance

SAMPLES = Path(speechlstm.__file__).parent / "data" / "samples"


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
