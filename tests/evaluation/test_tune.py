"""Tuning: what is searched, that it gets better, and what is written can be used."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor

import speechlstm
from speechlstm import configs
from speechlstm.cli import evaluate, tune
from speechlstm.data.manifest import read_manifest, write_manifest
from speechlstm.decoders import Decoder
from speechlstm.decoders.beam import BeamDecoder
from speechlstm.decoders.posteriors import mumbled
from speechlstm.evaluation import logprobs, tuning
from speechlstm.model.provenance import sketch, trained_on
from speechlstm.model.tokenizer import Characters
from speechlstm.types import Hypothesis, UsageError, Utterance

pytest.importorskip("optuna")
Run = Callable[..., tuple[int, str, str]]
TOKENIZER = Characters.from_texts(["the quick brown fox jumps over the lazy dog"])
BEAM = {
    "name": "beam",
    "lm": "x.arpa",
    "lm_weight": 0.5,
    "word_bonus": 0.0,
    "unk_score": -5.0,
    "beam_size": 8,
}


def heard(texts: list[str]) -> logprobs.LogProbs:
    utterances = [Utterance(f"{i}.wav", 1.0, text, str(i)) for i, text in enumerate(texts)]
    return logprobs.LogProbs(
        utterances, [mumbled(TOKENIZER, text, i, 1.6) for i, text in enumerate(texts)], []
    )


def test_weights_and_prices_are_searched_unless_others_are_named() -> None:
    assert set(tuning.ranges(BEAM, None)) == {"lm_weight", "word_bonus", "unk_score"}
    assert set(tuning.ranges(BEAM | {"lm": None}, None)) == {"word_bonus"}
    assert tuning.ranges(BEAM, {"beam_size": [4, 16]}) == {"beam_size": (4.0, 16.0)}


@pytest.mark.parametrize(
    ("wanted", "complaint"),
    [
        ({"lm_wait": [0, 1]}, "no such parameter; it has: lm, lm_weight"),
        ({"lm_weight": [1, 1]}, r"search\.lm_weight is \[1, 1\], but must be \[low, high\]"),
        ({"lm_weight": [1]}, r"must be \[low, high\]"),
        ({"lm_weight": 5}, r"must be \[low, high\]"),
        ({"lm_weight": None}, r"must be \[low, high\]"),
        ({"lm_weight": ["a", "b"]}, r"must be \[low, high\]"),
        ({"lm_weight": [float("nan"), 1]}, r"must be \[low, high\]"),
        ({"lm_weight": [0, float("inf")]}, r"must be \[low, high\]"),
        ("x", "search is 'x', but must be a mapping, as in"),
        ([1, 2], "but must be a mapping, as in"),
    ],
)
def test_a_range_that_is_none_is_refused(wanted: Any, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        tuning.ranges(BEAM, wanted)
    with pytest.raises(UsageError, match=r"none of lm_weight, .*\+search\.NAME"):
        tuning.ranges({"name": "greedy"}, None)


def test_tuning_finds_better_numbers_and_repeats_with_its_seed() -> None:
    data = heard(
        ["the lazy dog", "a quick fox jumps", "over the brown dog", "the fox", "lazy brown quick"] * 2
    )

    def trials(seed: int) -> list[tuning.Trial]:
        def make(params: dict[str, float]) -> BeamDecoder:
            return BeamDecoder(TOKENIZER, beam_size=8, **params)

        spans = {"word_bonus": (-8.0, 8.0)}
        return list(tuning.tune(make, data, spans, {"word_bonus": -8.0}, 12, seed))

    found = trials(1)
    assert found[0].params == {"word_bonus": -8.0}, "the start is tried first"
    assert min(trial.rank for trial in found) < found[0].rank
    assert all(float(f"{number:.3g}") == number for trial in found for number in trial.params.values()), (
        "what is tried is what will be written"
    )
    assert [trial.params for trial in found] == [trial.params for trial in trials(1)]
    assert [trial.params for trial in found] != [trial.params for trial in trials(2)]


class TooSure(Decoder):
    """Says "dog" with a confidence c, and is right with probability c ** 2, as the first frame's loudness tells."""

    def decode(self, log_probs: Tensor) -> list[Hypothesis]:
        return [
            Hypothesis(
                TOKENIZER.encode("dog"), [0, 1, 2], [1, 2, 3], -1.0, [float(log_probs[0, 0].exp()), 1.0, 1.0]
            )
        ]


def test_confidences_become_probabilities() -> None:
    generator = np.random.default_rng(3)
    sure = generator.uniform(0.3, 1.0, 3000)
    right = generator.random(3000) < sure**2
    utterances = [Utterance("x.wav", 1.0, "dog" if good else "fox", "x") for good in right]
    others = len(TOKENIZER) - 1
    rows = [torch.tensor([[c] + [(1 - c) / others] * others] * 3).log() for c in sure]
    power, before, after = tuning.calibrate(TooSure(TOKENIZER), logprobs.LogProbs(utterances, rows, []))
    assert power == pytest.approx(2.0, rel=0.1)
    assert after == pytest.approx(-np.log(np.where(right, sure**power, 1 - sure**power)).mean(), rel=1e-3)
    assert (
        before == pytest.approx(-np.log(np.where(right, sure, 1 - sure)).mean(), rel=1e-3) and after < before
    )
    assert tuning.calibrate(TooSure(TOKENIZER), logprobs.LogProbs([], [], [])) == (1.0, 0.0, 0.0)


def test_a_bundle_knows_what_it_was_trained_on() -> None:
    train = [Utterance(f"/somewhere/{i}.wav", 1.0, f"text {i}", str(i)) for i in range(50)]
    other = [Utterance(f"/somewhere/{i}.wav", 1.0, f"text {i}", str(i)) for i in range(50, 60)]
    config = {"trained_on": sketch(train)}
    moved = [Utterance(f"/elsewhere/{u.id}.flac", 1.0, u.text, "x") for u in train[:5]]
    assert trained_on(config, moved) == 1.0
    assert trained_on(config, other) == 0.0
    assert trained_on(config, [*moved, *other]) == pytest.approx(1 / 3)
    many = [Utterance(f"{i}.wav", 1.0, str(i), str(i)) for i in range(40_000)]
    config = {"trained_on": sketch(many)}
    assert len(config["trained_on"]) < 50_000
    assert trained_on(config, many[:2000]) == 1.0, "of a large training a sample is known"
    assert trained_on(config, other) == 0.0


@pytest.fixture
def samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A manifest of the samples in the package, in the folder where the test works."""
    folder = Path(speechlstm.__file__).parent / "data" / "samples"
    said = {"enter": "enter nine", "number": "four one two five five oh one nine"}
    utterances = [Utterance(str(folder / f"{name}.flac"), 0.0, text, name) for name, text in said.items()]
    write_manifest(tmp_path / "dev.jsonl", utterances)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_is_kept_is_of_one_runtime_and_precision(samples: Path) -> None:
    recognizer, utterances = speechlstm.load("small"), read_manifest("dev.jsonl")[:1]
    logprobs.compute(recognizer, utterances, Path("kept"))
    for runtime, precision in (("torch", "bf16-mixed"), ("onnx-int8", "32-true"), ("torch", "32-true")):
        recognizer.runtime, recognizer.precision = runtime, precision
        logprobs.compute(recognizer, utterances, Path("kept"))
    assert len(list(Path("kept").iterdir())) == 3


def test_the_command_writes_an_option_of_decoder(samples: Path, run_command: Run) -> None:
    settings = [
        "manifest=dev.jsonl",
        "search={word_bonus:[-1,1]}",
        "trials=3",
        "plot=tuning.png",
        "cache=kept",
    ]
    status, out, err = run_command(tune, *settings)
    assert status == 0, err
    assert "best: WER" in out and "decoder=tuned" in out
    tuned = OmegaConf.load(samples / "conf/decoder/tuned.yaml")
    assert tuned.name == "beam" and -1 <= tuned.word_bonus <= 1 and tuned.confidence_power > 0
    assert "cross-entropy" in out
    assert (samples / "tuning.png").read_bytes().startswith(b"\x89PNG")
    chosen = ("--config-dir", "conf", "manifest=dev.jsonl", "decoder=tuned", "format=json")
    status, out, err = run_command(evaluate, *chosen)
    assert status == 0, err
    assert json.loads(out)["decoder"] == "beam"


def test_settings_are_kept_when_no_trial_is_better(samples: Path, run_command: Run) -> None:
    rate = json.loads(run_command(evaluate, "manifest=dev.jsonl", "decoder=beam", "format=json")[1])["wer"]
    worse = ["search={word_bonus:[-20,-15]}", "trials=2", "cache=kept", "plot=tuning.png"]
    status, out, err = run_command(tune, "manifest=dev.jsonl", *worse)
    assert status == 0, err
    assert f"best: WER {rate:.2%} (95 %" in out and f"\nbefore: WER {rate:.2%}\n" in out
    assert "\n2 trials, none of them better: word_bonus as before\n" in out
    file = samples / "conf/decoder/tuned.yaml"
    assert "2 trials, none of them better, seed 1." in file.read_text()
    assert OmegaConf.load(file).word_bonus == configs.load("evaluate", ["decoder=beam"]).decoder.word_bonus
    again = ("--config-dir", "conf", "manifest=dev.jsonl", "decoder=tuned", "format=json")
    assert json.loads(run_command(evaluate, *again)[1])["wer"] == rate


@pytest.mark.parametrize("key", ["out", "plot"])
def test_audio_of_the_manifest_is_not_replaced(samples: Path, run_command: Run, key: str) -> None:
    shutil.copy(Path(speechlstm.__file__).parent / "data" / "samples" / "enter.flac", samples / "a.flac")
    write_manifest(samples / "dev.jsonl", [Utterance(str(samples / "a.flac"), 0.0, "enter nine", "a")])
    status, _, err = run_command(tune, "manifest=dev.jsonl", f"{key}=a.flac", "trials=1", "overwrite=true")
    assert status == 2 and "a.flac: is read by this command" in err
    assert (samples / "a.flac").read_bytes().startswith(b"fLaC")


def test_training_data_is_refused(samples: Path, run_command: Run) -> None:
    bundle = samples / "bundle"
    shutil.copytree(Path(speechlstm.__file__).parent / "model" / "pretrained", bundle)
    config = json.loads((bundle / "config.json").read_text())
    config["trained_on"] = sketch(read_manifest(samples / "dev.jsonl"))
    (bundle / "config.json").write_text(json.dumps(config))
    status, _, err = run_command(tune, "manifest=dev.jsonl", "bundle=bundle", "trials=1", "cache=kept")
    assert status == 2
    assert "100% of it is what" in err and "on_training_data=true" in err
    assert not (samples / "conf").exists()
