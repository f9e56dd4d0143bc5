"""The page of a comparison, its command, and its trainings on speech."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from browser import open_page
from omegaconf import DictConfig

from speechlstm import configs
from speechlstm.cli import compare as command
from speechlstm.data.manifest import write_manifest
from speechlstm.study.compare import speech
from speechlstm.study.compare.networks import NETWORKS
from speechlstm.study.compare.page import render
from speechlstm.types import SpeechlstmError, UsageError, Utterance

Run = Callable[..., tuple[int, str, str]]


# the page


def trial(network: str, task: str, lag: int, seed: int, solved: bool) -> dict[str, object]:
    decay = 0.7 if network == "rnn" else 0.99
    flow = [decay**k for k in range(lag)]
    return {
        "task": task, "lag": lag, "network": network, "seed": seed, "solved": solved, "wrong": 0, "width": 50,
        "updates": 100 * seed, "parameter_count": 10_000 + seed, "seconds": 9.0, "seconds_per_update": 0.01,
        "flow_before": flow, "flow_after": flow[::-1], "losses": [[50 * k, 2.0 / (k + seed)] for k in range(1, 5)],
    }  # fmt: skip


def a_page(networks: Sequence[str] = NETWORKS) -> bytes:
    trials = [
        trial(network, task, lag, seed, solved=network != "rnn" or lag == 20)
        for network in networks
        for task, lag in (("adding", 20), ("adding", 100), ("copy", 20))
        for seed in (1, 2, 3)
    ]
    costs = [
        {
            "network": network,
            "parameters": 10_000,
            "growth": [3.5, 4.0, 4.4],
            "short_products": 9,
            "long_products": 9,
        }
        for network in networks
    ]
    spoken = [
        {"experiment": "digits", "network": network, "seed": 1, "settings": "", "wer": wer, "wer_interval": [0.1, 0.3],
         "rates": [[1, 0.9], [2, wer]], "parameter_count": 5_000_000, "seconds_per_epoch": 12.5, "megabytes": 900.0,
         "speed": 120.0}
        for network, wer in zip(networks, (0.25, 0.2, 0.15, 0.175), strict=False)
    ]  # fmt: skip
    return render(trials, costs, spoken)


def test_the_page_in_a_browser(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_bytes(a_page())
    with open_page(tmp_path / "page.html") as page:
        text = page.evaluate("document.querySelector('#summary').innerText")
        for wanted in (
            "handles long sequences", "complexity", "training time", "parameters", "usage",
            "6 of 9 trials solved (35 to 88 %)", "up to a lag of 20",
            "9 of 9 trials solved (70 to 100 %)", "up to a lag of 100",
            "4 x the steps take 4.0 x the time (3.5 to 4.4)", "10 ms per update", "10,001 to 10,003",
            "digits 15.0 % WER (10.0 to 30.0)",
        ):  # fmt: skip
            assert wanted in text, wanted
        rows = "[...document.querySelectorAll('#trials tbody tr')]"
        cells = f"{rows}.map(each => each.cells[2].innerText.split('\\n')[0])"
        assert page.evaluate(cells) == ["3 of 3", "0 of 3", "3 of 3"]
        page.evaluate("document.querySelectorAll('#trials th button')[2].click()")
        assert page.evaluate(cells) == ["0 of 3", "3 of 3", "3 of 3"]
        page.evaluate("document.querySelectorAll('#speech th button')[3].click()")
        rates = "[...document.querySelectorAll('#speech tbody tr')].map(each => parseFloat(each.cells[3].innerText))"
        assert page.evaluate(rates) == [15.0, 17.5, 20.0, 25.0]
        drawn = "[...document.querySelectorAll('#task polyline')].map(each => each.getAttribute('points'))"
        before = page.evaluate(drawn)
        assert len(before) == 4 * 3 + 2 * 4, "a loss for each trial, two gradients for each network"
        page.evaluate(
            "(s => {s.value = 0; s.dispatchEvent(new Event('change'))})(document.querySelector('select'))"
        )
        assert page.evaluate(drawn)[-8:] != before[-8:]
        rings = page.evaluate("document.querySelectorAll('#task circle').length")
        assert rings == 4 * 3, "all networks solve the short task"
        assert page.evaluate("document.querySelectorAll('#speech polyline').length") == 4
        for width in (800, 1280):
            for dark in (False, True):
                page.view(width, dark=dark)
                assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.screenshot(tmp_path / "page.png")
        assert page.errors == [] and len(page.requests) == 1


@pytest.mark.parametrize(
    ("networks", "title"),
    [
        (["lstm"], "LSTM"),
        (["rnn", "lstm"], "Plain RNN and LSTM compared"),
        (["gru", "lstm", "rnn"], "GRU, LSTM and plain RNN compared"),
    ],
)
def test_the_title_names_what_is_compared(networks: list[str], title: str) -> None:
    assert f"<title>{title}</title>" in a_page(networks).decode()


def test_a_page_of_nothing_says_so(tmp_path: Path) -> None:
    costs = [{"network": "lstm", "parameters": 9, "growth": [4.0], "short_products": 9, "long_products": 9}]
    (tmp_path / "page.html").write_bytes(render([], costs, []))
    with open_page(tmp_path / "page.html") as page:
        assert "not measured" in page.evaluate("document.querySelector('#summary').innerText")
        hidden = "['#trials', '#task', '#lags', '#speech'].map(each => document.querySelector(each).hidden)"
        assert page.evaluate(hidden) == [True] * 4
        assert page.errors == []


# the command


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, run_command: Run) -> Run:
    """Return a function that runs the command in an empty folder and gives exit status, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    return partial(run_command, command)


def test_a_tiny_comparison_goes_on_where_it_stopped(run: Run, tmp_path: Path) -> None:
    tiny = ["out=o", "networks=[rnn,lstm]", "seeds=[1]", "max_updates=2", "parameters=100", "workers=1"]
    status, out, _ = run(*tiny, "tasks=[two_sequences:10]")
    assert (status, out) == (0, "o/compare.html\n")
    kept = (tmp_path / "o/trials.jsonl").read_text()
    assert len(kept.splitlines()) == 2
    assert run(*tiny, "tasks=[two_sequences:10,two_sequences:12]")[0] == 0
    assert (tmp_path / "o/trials.jsonl").read_text().startswith(kept)
    content = (tmp_path / "o/compare.html").read_text()
    assert "4 trials on tasks with long time lags, 1 seed each" in content
    assert len((tmp_path / "o/complexity.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tasks=[copy:1000000000]"], "copy with a lag of 1000000000 steps; can be at most 10000"),
        (["speech=[nope]"], "no experiment 'nope'; there are: "),
        (["learning_rates=null"], "learning_rates is None, but holds several settings"),
        (["tasks=[adding:5]"], "adding with a lag of 5 steps; must be at least 20"),
        (
            ["tasks=[adding]"],
            "tasks has 'adding', but each must be a name and a lag, as in tasks=[adding:50,adding:100]",
        ),
        (["tasks=[subtracting:50]"], "no task 'subtracting'; there are: reber, two_sequences"),
        (["networks=[lstm,gnn]"], "networks is ['lstm', 'gnn'], but can have: rnn, gru, lstm, transformer"),
        (["max_updates=0"], "max_updates is 0, but must be a whole number, 1 or more"),
        (["workers=none"], "workers is 'none', but must be a whole number, 1 or more, or null"),
        (["learning_rates.rnn=-1"], "learning_rates.rnn is -1, but must be a number above 0"),
    ],
)
def test_wrong_usage_is_explained(run: Run, tmp_path: Path, arguments: list[str], message: str) -> None:
    status, out, err = run(*arguments)
    assert (status, out) == (2, "") and message in err and "Traceback" not in err
    assert not (tmp_path / "runs").exists()


# speech


def spoken(tmp_path: Path) -> str:
    """Write a manifest of two short recordings, and return the settings that train on it in seconds."""
    utterances = []
    for number, text in enumerate(("a b", "b a")):
        path = tmp_path / f"{number}.wav"
        soundfile.write(path, np.random.default_rng(number).normal(0, 0.1, 8000), 8000)
        utterances.append(Utterance(str(path), 1.0, text, str(number)))
    write_manifest(tmp_path / "two.jsonl", utterances)
    return (
        f"data.train={tmp_path}/two.jsonl data.dev={tmp_path}/two.jsonl sample_rate=8000 encoder.num_layers=1 "
        "trainer.max_epochs=2 trainer.check_val_every_n_epoch=1 trainer.accelerator=cpu data.num_workers=0"
    )


@pytest.mark.parametrize("network", NETWORKS)
def test_encoders_of_an_experiment_are_matched(network: str, tmp_path: Path) -> None:
    trial = speech.SpeechTrial("overfit", network, 1, spoken(tmp_path))
    cfg = configs.load("train", ["experiment=overfit", *trial.settings.split()])
    overrides, count = speech.sized(trial, cfg)

    def parameters(encoder: DictConfig) -> int:
        built = configs.build_part("encoder", encoder, num_features=80, vocab_size=4)
        return sum(weight.numel() for weight in built.parameters())

    assert count == pytest.approx(parameters(cfg.encoder), rel=0.1)
    assert parameters(configs.load("train", overrides).encoder) == count
    if network == "lstm":
        assert overrides[-1] == "encoder.hidden_size=64", "the experiment's own"


@pytest.mark.slow
def test_a_training_on_speech_is_made_once(tmp_path: Path) -> None:
    trial = speech.SpeechTrial("overfit", "rnn", 1, spoken(tmp_path))
    (result,) = speech.make([trial], tmp_path / "o")
    assert [epoch for epoch, _ in result["rates"]] == [1, 2]
    assert result["wer"] >= 0 and result["seconds_per_epoch"] > 0 and result["speed"] > 0
    assert 100 < result["megabytes"] < 20_000
    assert (tmp_path / "o/overfit-rnn-1/bundle/config.json").exists()
    (again,) = speech.make([trial], tmp_path / "o")
    assert again == json.loads((tmp_path / "o/speech.jsonl").read_text()) == result
    broken = replace(trial, settings=f"{trial.settings} trainer.precision=16-mixed")
    with pytest.raises(
        SpeechlstmError, match=r"speechlstm train experiment=overfit .*exit status 2: error: "
    ):
        list(speech.make([broken], tmp_path / "o"))


@pytest.mark.slow
def test_the_time_of_an_epoch_is_that_of_those_trained(tmp_path: Path) -> None:
    few = f"{spoken(tmp_path)} trainer.max_epochs=50 +trainer.max_steps=2"
    result = speech.train(speech.SpeechTrial("overfit", "rnn", 1, few), tmp_path / "o")
    last = torch.load(tmp_path / "o/checkpoints/last.ckpt", weights_only=True)
    (seconds,) = (state["seconds"] for state in last["callbacks"].values() if "seconds" in state)
    assert [epoch for epoch, _ in result["rates"]] == [1, 2], "an update each"
    assert result["seconds_per_epoch"] == pytest.approx(seconds / 2)


def test_experiments_with_more_than_one_dev_manifest_are_refused(tmp_path: Path) -> None:
    settings_ = spoken(tmp_path).replace(
        f"data.dev={tmp_path}", f"data.dev=[{tmp_path}/two.jsonl] +hydra.x={tmp_path}"
    )
    with pytest.raises(UsageError, match=r"data.dev is a list; a comparison needs one manifest"):
        speech.train(speech.SpeechTrial("overfit", "rnn", 1, settings_), tmp_path / "o")
