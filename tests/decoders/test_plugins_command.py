"""`speechlstm plugins`: what it lists, checks and measures, and that a bad plugin harms nobody else."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from spelling import TOKENS, SpellingBundle, write
from torch import Tensor

import speechlstm
from speechlstm import configs
from speechlstm.cli import plugins as command
from speechlstm.data.manifest import read_manifest
from speechlstm.decoders import Decoder
from speechlstm.decoders.base import collapse
from speechlstm.decoders.contract import DecoderContract
from speechlstm.decoders.greedy import GreedyDecoder
from speechlstm.decoders.posteriors import spoken
from speechlstm.evaluation import benchmark, logprobs
from speechlstm.types import DecoderError, Hypothesis, UsageError

Run = Callable[..., tuple[int, str, str]]

CONFIG = "name: {name}\n"
SAID = {
    "one": ("yes no", "yes no"),
    "two": ("yes no no", "yes now no"),
    "three": ("oh", ""),
}  # said, and spelled
HEARS_ALL = '''
from speechlstm.decoders import Decoder
from speechlstm.decoders.base import collapse

class Mine(Decoder):
    """Takes the best path.

    And keeps quiet about the rest.
    """

    def __init__(self, tokenizer, beam_size: int = 4, lm=None):
        super().__init__(tokenizer)
        self.lm, self.beam_size = lm, beam_size

    def decode(self, log_probs):
        best, ids = log_probs.max(-1)
        if self.lm or self.beam_size > 100:
            ids = ids * 0
        return [collapse(best.numpy(), ids.numpy())]
'''
FAULTS = {  # body of `decode` -> how it is told
    "raise RuntimeError('no memory left')": "failed: RuntimeError: no memory left",
    "return None": "returned for utterance 0 of the batch a NoneType, but must return a list",
    "return []": "returned for utterance 0 of the batch no hypothesis",
    "return ['yes']": "a str, but must return a Hypothesis",
    "return [Hypothesis([3], [0], [10**6], 0.0, [1.0])]": r"start at frames \[0\] and end at \[1000000\]",
    "return [Hypothesis([], [], [], float('nan'), [])]": "the score nan, but it must be a number",
}


def plugin(folder: Path, name: str, source: str, config: str | None = None, package: str = "") -> None:
    """Install a package with one decoder, `name = name:Mine`."""
    (folder / name / "conf" / "decoder").mkdir(parents=True)
    (folder / name / "__init__.py").write_text(source)
    (folder / name / "conf" / "decoder" / f"{name}.yaml").write_text(config or CONFIG.format(name=name))
    info = folder / f"{package or name}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package or name}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[speechlstm.decoders]\n{name} = {name}:Mine\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Make a folder that packages can be installed into, and forget them afterwards."""
    (tmp_path / "site").mkdir()
    monkeypatch.syspath_prepend(tmp_path / "site")
    yield tmp_path / "site"
    for path in (tmp_path / "site").iterdir():
        sys.modules.pop(path.name, None)


class Bundle(SpellingBundle):
    """A spelling bundle with files, as those that are loaded have."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    (tmp_path / "bundle").mkdir()
    for name in ("config.json", "model.safetensors"):
        (tmp_path / "bundle" / name).write_text(name)
    return Bundle(tmp_path / "bundle")


@pytest.fixture
def run(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Return a function that runs the command in a folder with a manifest."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPEECHLSTM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(speechlstm, "load", lambda path, device: bundle)
    lines = []
    for name, (said, spelled) in SAID.items():
        write(Path(f"audio/{name}.wav"), spelled, 1.0)
        lines.append({"audio_filepath": f"audio/{name}.wav", "duration": 1.0, "text": said})
    Path("m.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["plugins.py", *arguments])
        try:
            command.main()
            status: int | str | None = 0
        except SystemExit as stop:
            status = stop.code
        assert isinstance(status, int)
        return status, *capsys.readouterr()

    return call


# what is installed


def test_the_list_shows_package_summary_and_parameters(site: Path, run: Run) -> None:
    config = "# Takes the best path.\nname: hears\nbeam_size: 4\nlm: null\n"
    plugin(site, "hears", HEARS_ALL, config, package="hears-all")
    status, out, err = run()
    assert (status, err) == (0, "")
    assert re.search(
        r"^  hears +hears-all 1\.2\n +Takes the best path\.\n +beam_size=4 lm=null$", out, re.MULTILINE
    )
    assert re.search(
        rf"^  greedy +speechlstm {speechlstm.__version__}\n +Best path: the most likely token of each frame",
        out,
        re.MULTILINE,
    )


def test_the_list_as_json(site: Path, run: Run) -> None:
    config = "# Takes the best path.\ndefaults: [base, _self_]\nname: hears\nbeam_size: 5\n"
    plugin(site, "hears", HEARS_ALL, config, package="hears-all")
    (site / "hears/conf/decoder/base.yaml").write_text("name: base\nbeam_size: 4\nlm: ???\n")
    listed = json.loads(run("format=json")[1])
    content = {(each["stage"], each["name"]): each for each in listed}
    assert content["decoder", "hears"] == {
        "stage": "decoder", "name": "hears", "package": "hears-all", "version": "1.2",
        "summary": "Takes the best path.", "parameters": {"beam_size": 5, "lm": "???"}, "problem": "",
    }  # fmt: skip
    assert content["decoder", "greedy"]["parameters"] == {}
    wanted = {"features": "logmel", "encoder": "blstm", "tokenizer": "phones", "bundle": "small"}
    assert set(wanted.items()) <= content.keys()
    assert content["bundle", "small"]["summary"] == (
        "A trained recognizer; `speechlstm models small` describes it."
    )


def test_what_cannot_be_used_is_named_and_the_others_are_listed(site: Path, run: Run) -> None:
    plugin(site, "torn", HEARS_ALL, package="torn-off")
    (site / "torn/conf/decoder/torn.yaml").unlink()
    plugin(site, "needy", HEARS_ALL)
    with (site / "needy-1.2.dist-info/METADATA").open("a") as metadata:
        metadata.write("Requires-Dist: no-such-package>=3\nRequires-Dist: numpy\n")
    plugin(site, "greedy", HEARS_ALL, package="also-greedy")
    status, out, err = run()
    assert status == 1
    assert (
        "decoder 'torn' of torn-off 1.2 has no settings: conf/decoder/torn.yaml is missing in its package torn"
        in err
    )
    assert "decoder 'needy' of needy 1.2 needs no-such-package>=3, which is not installed" in err
    assert "decoder 'greedy' of also-greedy 1.2 is not used: speechlstm has one" in err
    assert "Traceback" not in err and err.count("failed: ") == 3
    assert len(re.findall(r"^  greedy +", out, re.MULTILINE)) == 2


def test_a_command_names_the_settings_that_a_plugin_lacks(site: Path) -> None:
    plugin(site, "torn", HEARS_ALL, package="torn-off")
    (site / "torn/conf/decoder/torn.yaml").unlink()
    with pytest.raises(UsageError, match=r"conf/decoder/torn\.yaml is missing in its package torn$"):
        configs.load("transcribe", ["decoder=torn"])


def test_the_list_imports_no_plugin_and_no_torch(site: Path) -> None:
    plugin(site, "hears", HEARS_ALL)
    code = (
        f"import sys; sys.path.insert(0, {str(site)!r}); sys.argv = ['speechlstm', 'plugins']\n"
        "import speechlstm.cli.main as c; c.main()\n"
        "early = {'hears', 'torch', 'numba', 'speechlstm.decoders.greedy'} & set(sys.modules); assert not early, early"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "  hears " in done.stdout


def test_names_and_help_import_no_plugin_and_no_torch(site: Path) -> None:
    plugin(site, "hears", HEARS_ALL)
    code = (
        f"import sys; sys.path.insert(0, {str(site)!r})\n"
        "import speechlstm.decoders as d; assert {'hears', 'greedy'} <= set(d.names())\n"
        "sys.argv = ['speechlstm', '--help']; import speechlstm.cli.main as c; c.main()\n"
        "early = {'hears', 'torch', 'numba', 'speechlstm.decoders.greedy'} & set(sys.modules); assert not early, early"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "plugins      List the installed plugins and parts" in done.stdout


# check=


def spare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the clause that starts a process."""
    monkeypatch.setattr(DecoderContract, "test_a_spawned_process_gives_the_same", lambda self: None)


def test_check_prints_each_clause(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    spare(monkeypatch)
    status, out, err = run("check=greedy")
    assert (status, err) == (0, "")
    assert "passed   certain posteriors give the certain text\n" in out
    assert "skipped  a wider beam finds no less: the decoder has no beam_size\n" in out
    assert out.endswith("decoder 'greedy' keeps the contract: 0 of 20 clauses failed\n")


def test_a_failed_check_is_exit_status_1_with_the_reason(
    site: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    spare(monkeypatch)
    plugin(site, "hears", HEARS_ALL)
    status, out, _ = run("check=hears")
    assert status == 1
    assert "failed   the yaml names it and has its settings: the YAML lacks beam_size, lm: add each" in out
    assert out.endswith("decoder 'hears' does NOT keep the contract: 1 of 20 clauses failed\n")
    status, out, _ = run("check=hears", "format=json", "+settings.hears.beam_size=200")
    failed = {each["clause"]: each["reason"] for each in json.loads(out) if each["outcome"] == "failed"}
    assert status == 1 and "is decoded as ''" in failed["certain posteriors give the certain text"]


def test_what_cannot_be_made_is_one_error_not_a_failed_contract(site: Path, run: Run) -> None:
    plugin(site, "torn", "import no_such_module")
    status, out, err = run("check=torn")
    assert (status, out) == (1, "") and err.startswith(
        "error: decoder 'torn' of torn 1.2 cannot be imported: "
    )


# bench=


def test_bench_measures_each_decoder_and_width(site: Path, run: Run) -> None:
    plugin(site, "hears", HEARS_ALL, CONFIG.format(name="hears") + "beam_size: 4\nlm: null\n")
    status, out, err = run("bench=m.jsonl", "only=[greedy,hears]", "beam_sizes=[4,101]", "format=json")
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


def test_bench_prints_a_table(site: Path, run: Run) -> None:
    status, out, _ = run("bench=m.jsonl", "only=[greedy]")
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


def test_a_language_model_and_settings_reach_those_that_take_them(site: Path, run: Run) -> None:
    plugin(site, "hears", HEARS_ALL, CONFIG.format(name="hears") + "beam_size: 4\nlm: null\n")
    arguments = ("bench=m.jsonl", "only=[greedy,hears]", "format=json")
    assert [each["wer"] for each in json.loads(run(*arguments, "lm=some.arpa")[1])["trials"]][1:] == [1.0] * 3
    trials = json.loads(run(*arguments, "+settings.hears.beam_size=200")[1])["trials"]
    assert [(each["setting"], each["wer"]) for each in trials][1:] == [("beam_size=200", 1.0)]


@pytest.mark.parametrize(("fault", "message"), FAULTS.items())
def test_a_decoder_that_fails_is_named_and_the_others_are_measured(
    fault: str, message: str, site: Path, run: Run
) -> None:
    source = "from speechlstm.decoders import Decoder\nfrom speechlstm.types import Hypothesis\n"
    source += f"class Mine(Decoder):\n    def decode(self, log_probs):\n        {fault}\n"
    plugin(site, "bad", source, package="bad-luck")
    plugin(site, "torn", "import no_such_module")
    status, out, err = run("bench=m.jsonl", "only=[bad,torn,greedy]", "format=json")
    report = json.loads(out)
    assert status == 1
    assert [each["decoder"] for each in report["trials"]] == ["greedy"]
    assert re.match(rf"decoder 'bad' of bad-luck 1\.2 .*{message}", report["failed"]["bad"])
    assert "decoder 'torn' of torn 1.2 cannot be imported" in report["failed"]["torn"]
    assert "Traceback" not in err and f"failed: {report['failed']['bad']}\n" in err
    with pytest.raises(DecoderError, match=message):
        run("bench=m.jsonl", "only=[bad]", "debug=true")


def test_a_decoder_that_refuses_its_settings_is_named_with_its_package(site: Path, run: Run) -> None:
    source = HEARS_ALL.replace(
        "super().__init__(tokenizer)", "from speechlstm.types import UsageError; raise UsageError('no lm')"
    )
    plugin(site, "hears", source)
    status, _, err = run("bench=m.jsonl", "only=[hears]")
    assert (status, err) == (1, "failed: decoder 'hears' of hears 1.2: no lm\n")


def test_log_probs_are_computed_once(run: Run, bundle: Bundle, tmp_path: Path) -> None:
    first = run("bench=m.jsonl", "only=[greedy]", "format=json")
    heard = len(bundle.batches)
    [kept] = (tmp_path / "cache" / "log-probs").iterdir()
    again = run("bench=m.jsonl", "only=[greedy]", "format=json")
    assert heard > 0 and len(bundle.batches) == heard
    assert [json.loads(out)["trials"][0]["cer"] for _, out, _ in (first, again)] == [
        pytest.approx(3 / 17)
    ] * 2
    kept.write_bytes(kept.read_bytes()[:50])
    assert run("bench=m.jsonl", "only=[greedy]")[0] == 0 and len(bundle.batches) == 2 * heard, "damaged"


def test_another_bundle_or_audio_is_computed_anew(run: Run, bundle: Bundle, tmp_path: Path) -> None:
    utterances = read_manifest("m.jsonl")
    before = logprobs.compute(bundle, utterances, tmp_path / "c").rows
    write(Path("audio/three.wav"), "oh", 1.0)
    after = logprobs.compute(bundle, utterances, tmp_path / "c").rows
    assert [torch.equal(a, b) for a, b in zip(before, after, strict=True)] == [True, True, False]
    (bundle.path / "model.safetensors").write_text("other weights")
    logprobs.compute(bundle, utterances, tmp_path / "c")
    logprobs.compute(bundle, utterances[:1], tmp_path / "c")
    assert len(list((tmp_path / "c").iterdir())) == 4


def test_broken_audio_is_named_and_nothing_is_kept(run: Run, tmp_path: Path) -> None:
    Path("audio/two.wav").write_bytes(b"nothing")
    status, out, err = run("bench=m.jsonl", "only=[greedy]", "format=json")
    assert status == 3 and re.search(r"failed: \S*two\.wav: ", err)
    assert json.loads(out)["utterances"] == 2
    assert not (tmp_path / "cache").exists()


def test_a_cache_that_cannot_be_written_is_said(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    status, _, err = run("bench=m.jsonl", "only=[greedy]", "cache=file")
    assert status == 0 and re.search(r"file/\w+\.safetensors: not kept: (File exists|Not a directory)", err)


def test_the_chart_is_drawn(site: Path, run: Run) -> None:
    pytest.importorskip("matplotlib")
    plugin(site, "hears", HEARS_ALL, CONFIG.format(name="hears") + "beam_size: 4\nlm: null\n")
    assert run("bench=m.jsonl", "only=[greedy,hears]", "plot=deep/chart.png")[0] == 0
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
    run: Run, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    status, _, err = run("bench=m.jsonl", "plot=chart.png")
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


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["format=xml"], 2, "error: format is 'xml', but must be one of table, json, as in format=table"),
        (["check=greedy", "bench=m.jsonl"], 2, "error: new, check= and bench= are three commands"),
        (["check=gredy"], 2, "error: no part 'gredy'; did you mean 'greedy'?"),
        (["bench=gone.jsonl"], 1, "error: gone.jsonl: cannot read the manifest"),
        (["bench=m.jsonl", "only=[greedy,bim]"], 2, "error: no decoder 'bim'"),
        (["bench=m.jsonl", "+settings.gredy.x=1"], 2, "error: no decoder 'gredy'"),
        (["bench=m.jsonl", "++settings.greedy=3"], 2, "error: settings are of single parts"),
        (["bench=silent.jsonl"], 1, "error: silent.jsonl: no texts"),
    ],
)
def test_wrong_usage_is_explained(arguments: list[str], status: int, message: str, run: Run) -> None:
    Path("silent.jsonl").write_text('{"audio_filepath": "audio/one.wav", "duration": 1.0}\n')
    got, out, err = run(*arguments)
    assert (got, out) == (status, "")
    assert message in err and "Traceback" not in err


# new


def test_each_stage_has_a_package_to_start_from_that_keeps_its_contract(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Write all four, register them as pip would, and run their own tests in one process."""
    monkeypatch.chdir(tmp_path)
    stages = ["decoder", "encoder", "features", "tokenizer"]
    for stage in stages:
        monkeypatch.setattr(sys, "argv", ["plugins.py", "new", stage, f"my_{stage}"])
        command.main()
        project = tomllib.loads(Path(f"my_{stage}/pyproject.toml").read_text())["project"]
        info = tmp_path / f"my_{stage}" / f"speechlstm_my_{stage}-0.1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 0.1.0\n")
        [(group, points)] = project["entry-points"].items()
        lines = "".join(f"{name} = {value}\n" for name, value in points.items())
        (info / "entry_points.txt").write_text(f"[{group}]\n{lines}")
    assert "pip install -e my_decoder\n  pytest my_decoder\n" in capsys.readouterr().out
    paths = [*(f"my_{stage}" for stage in stages), os.environ["PYTHONPATH"]]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    tests = [f"my_{stage}" for stage in stages]
    pytest_here = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*pytest_here, *tests], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["new", "decoder"], "write: speechlstm plugins new "),
        (["new", "decodr", "mine"], "no stage 'decodr'; there are: features, encoder, tokenizer, decoder"),
        (["new", "decoder", "My-Own"], "name is 'My-Own', but must be lowercase letters, digits, and _"),
        (["new", "decoder", "greedy"], "already has decoder 'greedy'"),
        (["new", "decoder", "mine", "out=audio"], "audio: already exists"),
        (["check=grady"], "no part 'grady'; did you mean 'greedy'"),
        (["check=decodr/greedy"], "no stage 'decodr'"),
    ],
)
def test_what_cannot_be_written_or_checked_is_wrong_usage(
    run: Run, arguments: list[str], message: str
) -> None:
    status, out, err = run(*arguments)
    assert (status, out) == (2, "") and message in err
