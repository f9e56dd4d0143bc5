"""Networks of one size, trials that are made once, what they tell, and the page that shows it."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from subprocess import DEVNULL

import numpy as np
import pytest
import soundfile
import torch
from browser import open_page
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig

from speechlstm import configs
from speechlstm.cli import compare as command
from speechlstm.data.manifest import write_manifest
from speechlstm.study.compare import results, speech
from speechlstm.study.compare.complexity import products
from speechlstm.study.compare.networks import NETWORKS, SequenceNetwork, matched, nearest, positions
from speechlstm.study.compare.page import render
from speechlstm.study.compare.tasks import Adding
from speechlstm.study.compare.trials import Trial, attempt, errors, gradient_flow, make
from speechlstm.types import SpeechlstmError, UsageError, Utterance

TINY = Trial("two_sequences", 10, "lstm", 1, 300, 0.01, 16, 40, 20)
Run = Callable[..., tuple[int, str, str]]


# networks


@pytest.mark.parametrize("kind", NETWORKS)
def test_no_network_sees_the_future(kind: str) -> None:
    torch.manual_seed(0)
    network = SequenceNetwork(kind, 2, 3, 8).eval()
    x = torch.randn(2, 9, 2, requires_grad=True)
    outputs = network(x)
    assert outputs.shape == (2, 9, 3)
    (gradient,) = torch.autograd.grad(outputs[:, 4].sum(), x)
    assert not gradient[:, 5:].any() and gradient[:, :5].abs().sum(-1).all()


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("wanted", [1000, 10_000])
def test_networks_are_matched_by_their_parameters(kind: str, wanted: int) -> None:
    network = matched(kind, 2, 1, wanted)
    if kind != "transformer" or wanted > 1000:  # its width grows in steps of four
        assert network.parameter_count == pytest.approx(wanted, rel=0.2 if kind == "transformer" else 0.06)
    step = 4 if kind == "transformer" else 1
    for width in (network.width - step, network.width + step):
        if width > 0:
            other = SequenceNetwork(kind, 2, 1, width).parameter_count
            assert abs(other - wanted) >= abs(network.parameter_count - wanted)


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_gates_begin_with_memories_as_long_as_the_lag(kind: str) -> None:
    """Without input a unit keeps a share f a step; 1 / (1 - f) steps are spread evenly up to the lag."""
    torch.manual_seed(0)
    network = SequenceNetwork(kind, 1, 1, 400, memory=101)
    kept = network.core.rnn.bias_ih_l0[400:800].detach().sigmoid()
    steps = 1 / (1 - kept)
    assert 2 <= steps.min() < 5 and 96 < steps.max() <= 101.01
    assert steps.mean() == pytest.approx(51.5, abs=5)
    if kind == "lstm":
        torch.testing.assert_close(network.core.rnn.bias_ih_l0[:400].detach().sigmoid(), 1 - kept)


@given(wanted=st.integers(1, 5000), slope=st.integers(1, 50))
def test_nearest_finds_the_nearest(wanted: int, slope: int) -> None:
    found = nearest(lambda size: slope * size * size, wanted)
    best = min(range(1, 100), key=lambda size: abs(slope * size * size - wanted))
    assert abs(slope * found * found - wanted) == abs(slope * best * best - wanted)


def test_positions_are_the_papers_sinusoids() -> None:
    table = positions(7, 6)
    for place in range(7):
        for pair in range(3):
            angle = place / 10_000 ** (2 * pair / 6)
            assert table[place, 2 * pair].item() == pytest.approx(math.sin(angle), abs=1e-5)
            assert table[place, 2 * pair + 1].item() == pytest.approx(math.cos(angle), abs=1e-5)


def test_products_grow_with_the_sequence_in_attention_alone() -> None:
    lstm, transformer = (SequenceNetwork(kind, 2, 1, 8) for kind in ("lstm", "transformer"))
    assert products(lstm, 100) == products(lstm, 1000) == 4 * 8 * (2 + 8) + 8
    assert products(transformer, 1001) - products(transformer, 1) == 2 * 2 * 8 * 500


# trials


def test_a_trial_learns_and_repeats_itself() -> None:
    long = replace(TINY, max_updates=400, check_every=50)
    first, again = attempt(long), attempt(long)
    timing = {"seconds", "seconds_per_update"}
    assert {k: v for k, v in first.items() if k not in timing} == {
        k: v for k, v in again.items() if k not in timing
    }
    assert first["solved"] and first["wrong"] == 0 and 0 < first["updates"] < 400
    assert len(first["flow_before"]) == len(first["flow_after"]) == 10
    updates, losses = zip(*first["losses"], strict=True)
    assert updates == (*range(8, first["updates"], 8), first["updates"]) and losses[-1] < 0.5 * losses[0]
    other = attempt(replace(long, seed=2))
    assert other["flow_before"] != first["flow_before"]


def test_what_is_not_solved_is_given_up_after_its_updates() -> None:
    result = attempt(replace(TINY, task="copy", max_updates=30))
    assert not result["solved"] and result["updates"] == 30 and result["wrong"] > 1000


def test_gradients_of_a_plain_network_vanish_and_those_of_an_open_lstm_do_not() -> None:
    task = Adding(60)
    torch.manual_seed(0)
    lstm, rnn = SequenceNetwork("lstm", 2, 1, 12), SequenceNetwork("rnn", 2, 1, 12)
    with torch.no_grad():
        lstm.core.rnn.bias_ih_l0[12:24] = 8.0  # forget gates
        rnn.core.rnn.weight_hh_l0 *= 0.5
    carousel, vanishing = (gradient_flow(network, task, 1) for network in (lstm, rnn))
    assert len(carousel) == len(vanishing) == 60
    assert carousel[59] > 0.05 * carousel[10]
    assert vanishing[59] < 1e-10 * vanishing[0]


def test_the_gradient_is_that_of_the_step_it_is_said_to_be_of() -> None:
    """A network that looks at the last step alone has no gradient by those before."""
    network = SequenceNetwork("rnn", 2, 1, 6)
    with torch.no_grad():
        network.core.rnn.weight_hh_l0.zero_()
    flow = gradient_flow(network, Adding(30), 3)
    assert flow[0] > 0 and not any(flow[1:])


def test_errors_are_counted_by_the_criterion() -> None:
    task = Adding(30)
    network = SequenceNetwork("rnn", 2, 1, 4)
    test = task.sample(50, np.random.default_rng(0))
    with torch.no_grad():
        network.output.weight.zero_()
        network.output.bias.fill_(0.5)
    assert errors(network, task, test) == int(((test.targets - 0.5).abs() >= 0.04).sum())


def test_results_are_kept_and_not_made_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "trials.jsonl"
    trials = [replace(TINY, network=network, max_updates=2) for network in ("rnn", "lstm")]
    first = list(make(trials[:1], path, 1))
    marked = path.read_text().replace('"wrong": ', '"mark": 1, "wrong": ')
    path.write_text(marked + '{"task": "two_seq')  # killed while writing the second
    both = list(make(trials, path, 1))
    assert [each["network"] for each in both] == ["rnn", "lstm"]
    assert both[0] == first[0] | {"mark": 1}, "read, not made again"
    assert len(path.read_text().splitlines()) == 2
    path.write_text("nonsense\n" + path.read_text())
    with pytest.raises(SpeechlstmError, match=r"trials.jsonl:1: not a result; delete the line"):
        list(make(trials, path, 1))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="looks for processes in /proc")
def test_processes_end_with_the_one_that_was_killed(tmp_path: Path) -> None:
    settings = [
        "tasks=[adding:100]",
        "networks=[rnn]",
        "max_updates=100_000",
        "seeds=[1]",
        "workers=1",
        f"out={tmp_path / 'o'}",
    ]
    with subprocess.Popen(
        [sys.executable, "-m", "speechlstm", "compare", *settings], stderr=DEVNULL
    ) as parent:
        listed = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
        workers: list[str] = []
        while not workers:
            assert parent.poll() is None
            time.sleep(0.1)
            workers = [
                pid
                for pid in listed.read_text().split()
                if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text()
            ]
        parent.kill()
    for _ in range(600):
        if not any(Path(f"/proc/{pid}").exists() for pid in workers):
            break
        time.sleep(0.1)
    else:
        pytest.fail("they still compute after a minute")


# figures


@settings(max_examples=20)
@given(values=st.lists(st.floats(0.1, 100), min_size=1, max_size=8))
def test_intervals_of_means_hold_the_mean(values: list[float]) -> None:
    mean, low, high = results.mean_interval(values)
    assert min(values) - 1e-9 <= low <= mean + 1e-9 and mean - 1e-9 <= high <= max(values) + 1e-9
    assert len(values) > 1 or low == pytest.approx(high)


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


def test_experiments_with_more_than_one_dev_manifest_are_refused(tmp_path: Path) -> None:
    settings_ = spoken(tmp_path).replace(
        f"data.dev={tmp_path}", f"data.dev=[{tmp_path}/two.jsonl] +x={tmp_path}"
    )
    with pytest.raises(UsageError, match=r"data.dev is a list; a comparison needs one manifest"):
        speech.train(speech.SpeechTrial("overfit", "rnn", 1, settings_), tmp_path / "o")
