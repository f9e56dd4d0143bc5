"""`speechlstm plugins bench=`: how right and how fast each decoder is, and which failed."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from plugin_packages import CONFIG, HEARS_ALL, Bundle, plugin
from spelling import TOKENS, write
from torch import Tensor

from speechlstm.data.manifest import read_manifest
from speechlstm.decoders import Decoder
from speechlstm.decoders.base import collapse
from speechlstm.decoders.greedy import GreedyDecoder
from speechlstm.decoders.posteriors import spoken
from speechlstm.evaluation import benchmark, logprobs
from speechlstm.types import DecoderError, Hypothesis

Run = Callable[..., tuple[int, str, str]]

FAULTS = {  # body of `decode` -> how it is told
    "raise RuntimeError('no memory left')": "failed: RuntimeError: no memory left",
    "return None": "returned for utterance 0 of the batch a NoneType, but must return a list",
    "return []": "returned for utterance 0 of the batch no hypothesis",
    "return ['yes']": "a str, but must return a Hypothesis",
    "return [Hypothesis([3], [0], [10**6], 0.0, [1.0])]": r"start at frames \[0\] and end at \[1000000\]",
    "return [Hypothesis([], [], [], float('nan'), [])]": "the score nan, but it must be a number",
}


def test_bench_measures_each_decoder_and_width(site: Path, plugins: Run) -> None:
    plugin(site, "hears", HEARS_ALL, CONFIG.format(name="hears") + "beam_size: 4\nlm: null\n")
    status, out, err = plugins("bench=m.jsonl", "only=[greedy,hears]", "beam_sizes=[4,101]", "format=json")
    assert (status, err) == (0, "")
    report = json.loads(out)
    assert (report["manifest"], report["utterances"], report["failed"]) == ("m.jsonl", 3, {})
    trials = {(each["decoder"], each["setting"]): each for each in report["trials"]}
    assert list(trials) == [("greedy", ""), ("hears", "beam_size=4"), ("hears", "beam_size=101")]
    assert [round(each["wer"], 4) for each in trials.values()] == [round(2 / 6, 4)] * 2 + [1.0]
    for each in trials.values():
        assert each["wer_interval"][0] <= each["wer"] <= each["wer_interval"][1]
        ratio = each["audio_seconds_per_cpu_second"] / each["utterances_per_cpu_second"]
        assert ratio == pytest.approx(1.0), "each is a second long"


def test_bench_prints_a_table(site: Path, plugins: Run) -> None:
    status, out, _ = plugins("bench=m.jsonl", "only=[greedy]")
    assert status == 0
    assert "manifest m.jsonl, bundle spelling, utterances 3\n" in out
    head, row = out.splitlines()[-2:]
    assert re.split(" {2,}", head) == [
        "decoder",
        "setting",
        "WER",
        "95 % interval",
        "utterances/CPU s",
        "audio s/CPU s",
    ]
    assert re.match(r"greedy +33\.33% +\d+\.\d\d% to \d+\.\d\d% +[\d,]+\.\d +[\d,]+$", row)


def test_a_language_model_and_settings_reach_those_that_take_them(site: Path, plugins: Run) -> None:
    plugin(site, "hears", HEARS_ALL, CONFIG.format(name="hears") + "beam_size: 4\nlm: null\n")
    arguments = ("bench=m.jsonl", "only=[greedy,hears]", "format=json")
    assert [each["wer"] for each in json.loads(plugins(*arguments, "lm=some.arpa")[1])["trials"]][1:] == [
        1.0
    ] * 3
    trials = json.loads(plugins(*arguments, "+settings.hears.beam_size=200")[1])["trials"]
    assert [(each["setting"], each["wer"]) for each in trials][1:] == [("beam_size=200", 1.0)]


@pytest.mark.parametrize(("fault", "message"), FAULTS.items())
def test_a_decoder_that_fails_is_named_and_the_others_are_measured(
    fault: str, message: str, site: Path, plugins: Run
) -> None:
    source = "from speechlstm.decoders import Decoder\nfrom speechlstm.types import Hypothesis\n"
    source += f"class Mine(Decoder):\n    def decode(self, log_probs):\n        {fault}\n"
    plugin(site, "bad", source, package="bad-luck")
    plugin(site, "torn", "import no_such_module")
    status, out, err = plugins("bench=m.jsonl", "only=[bad,torn,greedy]", "format=json")
    report = json.loads(out)
    assert status == 1
    assert [each["decoder"] for each in report["trials"]] == ["greedy"]
    assert re.match(rf"decoder 'bad' of bad-luck 1\.2 .*{message}", report["failed"]["bad"])
    assert "decoder 'torn' of torn 1.2 cannot be imported" in report["failed"]["torn"]
    assert "Traceback" not in err and f"failed: {report['failed']['bad']}\n" in err
    with pytest.raises(DecoderError, match=message):
        plugins("bench=m.jsonl", "only=[bad]", "debug=true")


def test_a_decoder_that_refuses_its_settings_is_named_with_its_package(site: Path, plugins: Run) -> None:
    source = HEARS_ALL.replace(
        "super().__init__(tokenizer)", "from speechlstm.types import UsageError; raise UsageError('no lm')"
    )
    plugin(site, "hears", source)
    status, _, err = plugins("bench=m.jsonl", "only=[hears]")
    assert (status, err) == (1, "failed: decoder 'hears' of hears 1.2: no lm\n")


def test_log_probs_are_computed_once(plugins: Run, bundle: Bundle, tmp_path: Path) -> None:
    first = plugins("bench=m.jsonl", "only=[greedy]", "format=json")
    heard = len(bundle.batches)
    [kept] = (tmp_path / "cache" / "log-probs").iterdir()
    again = plugins("bench=m.jsonl", "only=[greedy]", "format=json")
    assert heard > 0 and len(bundle.batches) == heard
    assert [json.loads(out)["trials"][0]["cer"] for _, out, _ in (first, again)] == [
        pytest.approx(3 / 17)
    ] * 2
    kept.write_bytes(kept.read_bytes()[:50])
    assert plugins("bench=m.jsonl", "only=[greedy]")[0] == 0 and len(bundle.batches) == 2 * heard, "damaged"


def test_another_bundle_or_audio_is_computed_anew(plugins: Run, bundle: Bundle, tmp_path: Path) -> None:
    utterances = read_manifest("m.jsonl")
    before = logprobs.compute(bundle, utterances, tmp_path / "c").rows
    write(Path("audio/three.wav"), "oh", 1.0)
    after = logprobs.compute(bundle, utterances, tmp_path / "c").rows
    assert [torch.equal(a, b) for a, b in zip(before, after, strict=True)] == [True, True, False]
    (bundle.path / "model.safetensors").write_text("other weights")
    logprobs.compute(bundle, utterances, tmp_path / "c")
    logprobs.compute(bundle, utterances[:1], tmp_path / "c")
    assert len(list((tmp_path / "c").iterdir())) == 4


def test_broken_audio_is_named_and_nothing_is_kept(plugins: Run, tmp_path: Path) -> None:
    Path("audio/two.wav").write_bytes(b"nothing")
    status, out, err = plugins("bench=m.jsonl", "only=[greedy]", "format=json")
    assert status == 3 and re.search(r"failed: \S*two\.wav: ", err)
    assert json.loads(out)["utterances"] == 2
    assert not (tmp_path / "cache").exists()


def test_a_cache_that_cannot_be_written_is_said(plugins: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    status, _, err = plugins("bench=m.jsonl", "only=[greedy]", "cache=file")
    assert status == 0 and re.search(r"file/\w+\.safetensors: not kept: (File exists|Not a directory)", err)


def test_the_chart_is_drawn(site: Path, plugins: Run) -> None:
    pytest.importorskip("matplotlib")
    plugin(site, "hears", HEARS_ALL, CONFIG.format(name="hears") + "beam_size: 4\nlm: null\n")
    assert plugins("bench=m.jsonl", "only=[greedy,hears]", "plot=deep/chart.png")[0] == 0
    assert Path("deep/chart.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_axes_have_units_and_points_their_places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    figure = pytest.importorskip("matplotlib.figure")
    drawn = []
    monkeypatch.setattr(figure.Figure, "savefig", lambda self, *_, **__: drawn.append(self.axes[0]))
    rows = [spoken(TOKENS, "yes"), spoken(TOKENS, "no")]
    trial = benchmark.measure(GreedyDecoder(TOKENS), rows, ["yes", "oh"], 60.0, "greedy", "beam_size=8")
    benchmark.plot([trial], "title", tmp_path / "x.png")
    [axes] = drawn
    assert axes.get_xlabel() == "speed (seconds of audio per second of processor time)"
    assert axes.get_ylabel() == "word error rate (%), with 95 % interval"
    assert axes.get_xscale() == "log"
    [[x, y]] = axes.containers[0].lines[0].get_xydata()
    assert (x, y) == (pytest.approx(60 / trial.cpu_seconds), 50.0)
    assert [text.get_text() for text in axes.texts] == ["8"]


def test_a_chart_without_matplotlib_is_refused_before_the_work(
    plugins: Run, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    status, _, err = plugins("bench=m.jsonl", "plot=chart.png")
    assert (status, err) == (1, "error: charts need matplotlib: pip install 'speechlstm[plots]'\n")
    assert not bundle.batches


def test_the_clock_runs_while_decoding_only() -> None:
    class Busy(Decoder):
        def decode(self, log_probs: Tensor) -> list[Hypothesis]:
            self.calls = getattr(self, "calls", 0) + 1
            best, ids = log_probs.max(-1)
            return [collapse(best.numpy(), ids.numpy())]

    decoder = Busy(TOKENS)
    rows = [spoken(TOKENS, text) for text in ("a", "abc", "ab")]
    trial = benchmark.measure(decoder, rows, ["a", "abc", "ab"], 3.0, "busy", "")
    assert decoder.calls == 4, "one to warm up"
    assert (trial.score.wer, trial.utterances) == (0.0, 3) and trial.cpu_seconds > 0
