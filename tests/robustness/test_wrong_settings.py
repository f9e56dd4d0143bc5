"""Settings of a wrong kind or out of range: one line that names the setting, before a command does anything."""

from __future__ import annotations

from pathlib import Path

import pytest
from warm import Server

from speechlstm import configs
from speechlstm.configs import arguments, folders
from speechlstm.configs.composing import register_plugins
from speechlstm.configs.help import read
from speechlstm.configs.limits import accepts, limits
from speechlstm.types import UsageError

# command and the beginning of its command line -> wrong settings
CASES: dict[tuple[str, str], list[str]] = {
    ("transcribe", "number.flac"): [
        "threads=0", "threads=-1", "threads=1.5", "threads=many", "threads=nan", "threads=inf", "threads=[1]",
        "threads=true", "threads=", "threads=1e30", "batch_seconds=0", "batch_seconds=-inf", "batch_seconds=nan",
        "batch_seconds=inf", "batch_seconds=null", "batch_seconds='120'", "batch_seconds={a:1}", "batch_seconds=",
        "subtitles=null", "subtitles=5", "subtitles=[]", "subtitles=[a]", "text=[]", "inputs={a:1}",
        "+subtitles.new=1", "++subtitles.new=1", "+new=1", "+new.key=1", "~format",
    ],
    ("evaluate", "manifest=samples.jsonl"): [
        "format=xml", "format=null", "report_audio=-1", "report_audio=nan", "report_audio=much", "manifest=null",
        "manifest=[samples.jsonl]", "manifest=", "out=[a]", "compare_with={a:1}", "report=[a]",
    ],
    ("evaluate", "manifest=samples.jsonl decoder=beam"): [
        "decoder.beam_size=many", "decoder.lm_weight=heavy", "decoder.lm_weight=nan", "decoder.beam=-1",
        "decoder.nope=1",
    ],
    ("align", "manifest=samples.jsonl out=o"): [
        "threads=0", "batch_seconds=none", "device=", "device=[cpu]", "overwrite=yess", "out=null", "out=",
    ],
    ("tune", "manifest=samples.jsonl decoder=beam on_training_data=true out=t.yaml"): [
        "trials=0", "trials=1.5", "trials=x", "seed=-1", "seed=x", "seed=1e20", "seed=null",
    ],
    ("validate", "manifest=samples.jsonl"): [
        "threads=0", "threads=5000", "examples=-1", "examples=x", "sample_rate=10", "sample_rate=1e9",
        "sample_rate=null", "format=yaml", "tokenizer=none", "against=[a]",
    ],
    ("prepare", "corpus=text_files root=. out=p"): [
        "threads=0", "dev_fraction=1", "dev_fraction=-0.1", "dev_fraction=nan", "dev_fraction=half", "seed=-1",
        "strict_audio=5", "corpus=nope", "root=[a]", "corpus.speaker_from_folder=5", "overwrite=null",
    ],
    ("listen", "manifest=samples.jsonl out=l"): [
        "number=x", "number=0", "number=nan", "epoch=-1", "seed=x", "seed=1e20", "sample_rate=5", "augment=loud",
    ],
    ("lm", "text=text.txt out=x.arpa"): [
        "order=0", "order=7", "order=x", "order=2.5", "order=null", "order=[2]", "prune=x", "prune=5",
        "vocab_size=0", "vocab_size=x", "unit=sound", "unit=5", "unit=null", "case=camel", "case=null", "out=null",
    ],
    ("lexicon", "lexicon=x.dic words=text.txt out=y.dic"): [
        "variants=0", "variants=11", "variants=x", "case=camel", "test=0", "test=1", "test=x", "out=[a]",
        "words={a:1}",
    ],
    ("inspect", "number.flac"): [
        "layer=0", "layer=x", "layer=1.5", "direction=up", "direction=null", "offset=-1", "offset=nan",
        "duration=0", "duration=61", "duration=x", "png=2", "out=[a]", "text=[a]", "out=null",
    ],
    ("verify", ""): [
        "tolerance=0", "tolerance=x", "tolerance=nan", "device=", "bundle=[a]",
    ],
    ("export", "out=e"): [
        "quantize=null", "out=null", "overwrite=2",
    ],
    ("compare", ""): [
        "seeds=5", "seeds=[x]", "seeds=[-1]", "seeds=[]", "speech_seeds=[]", "tasks=[]", "networks=[]",
        "learning_rates=[]", "tasks={a:1}", "tasks=5", "networks=lstm", "parameters=0", "batch_size=0",
        "max_updates=x", "workers=0", "learning_rates.lstm=x", "out=null",
    ],
    ("models", "small"): [
        "format=xml", "format=null", "inputs={a:1}", "inputs=small", "bundle=small",
    ],
    ("plugins", "bench=samples.jsonl"): [
        "beam_sizes=5", "beam_sizes=[]", "beam_sizes=[1.5]", "beam_sizes=[0]", "beams=[]", "beams=[x]", "beams=[0]",
        "beams=[nan]", "beams={a:1}", "only=[]", "format=xml", "settings=5", "threads=0",
    ],
    ("train", "data.train=samples.jsonl data.dev=samples.jsonl out=run"): [
        "seed=-1", "seed=x", "seed=1e20", "seed=1.5", "seed=null", "sample_rate=100", "freeze=5", "name=",
        "name=[a]", "name=null", "out=", "out=null", "data.batch_seconds=0", "data.batch_seconds=nan",
        "data.min_seconds=-1", "data=null", "data=5", "+data.new=1", "bundle=x",
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("command", "begin", "wrong"), [(*line, wrong) for line, cases in CASES.items() for wrong in cases]
)
def test_a_wrong_setting_is_named(command: str, begin: str, wrong: str) -> None:
    register_plugins()
    file = read(folders.CONF / f"{command}.yaml")
    texts = [key for key, limit in limits(file).items() if accepts("text", limit)]
    with pytest.raises(UsageError) as raised:
        overrides, _ = arguments.split([*begin.split(), wrong], "inputs" in file.settings, texts)
        configs.load(command, overrides)
    message, key = str(raised.value), wrong.strip("+~").partition("=")[0]
    assert raised.value.exit_status == 2 and "\n" not in message
    assert any(name in message for name in (key, key.rpartition(".")[2], key.partition(".")[0]))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("out=${out}", "error: out: the ${...} in it leads back to itself; write \\${ for the text itself\n"),
        (
            "format=[srt,${x}]",
            "error: format[1]: the ${...} in it refers to 'x', but there is no such setting;",
        ),
        ("out=${nokey}", "error: out: the ${...} in it refers to 'nokey', but there is no such setting;"),
        (
            "out=${oc.env:NOPE}",
            "out: the ${...} in it cannot be filled in (Environment variable 'NOPE' not found);",
        ),
        ("out=${foo:bar}", "out: the ${...} in it is of kind 'foo', which is not known;"),
        ("format=${${", "no format '${${'; there are: "),
        ("threads=${out", "threads is '${out', but must be a whole number"),
        (
            "hydra.run.dir=${nokey}",
            "hydra.run.dir: the ${...} in it refers to 'nokey', but there is no such setting;",
        ),
        ("batch_seconds=${out}", "batch_seconds is null, but must be a number above 0"),
        ("decoder=${", "no decoder '${'; there are: "),
        ("beam=${", "no setting 'beam'"),
        ("+x=${nokey}", "no setting 'x'"),
        ("+decoder.name=null", "decoder has no name"),
        ("lm=x.arpa", "lm=x.arpa has no effect: decoder greedy uses no language model"),
        ("decoder.beam_size=1000000000 decoder=beam", "decoder.beam_size is 1000000000, but must be"),
        ("--resolve", "--resolve"),
        ("model=small", "no setting 'model'; a trained model is chosen by bundle=FOLDER or bundle=NAME"),
        ("threads=" + "9" * 5000, "a number of 5000 digits, but at most 1000 can be read"),
        ("channel=" + "9" * 900, "must be a number from 0"),
        ("--run --multirun", "Only one of --run"),
    ],
)
def test_a_setting_is_refused_in_one_line(wrong: str, message: str, warm: Server, work: Path) -> None:
    ended = warm.run(work, "transcribe", "number.flac", *wrong.split())
    assert (ended.status, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert message in ended.err


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("${x}=3", "'${x}=3' is not a setting: write KEY=VALUE"),
        ("encoder.${x}=3", "'encoder.${x}=3' is not a setting: write KEY=VALUE"),
        (
            "name=${",
            "name: the ${...} in it cannot be read: a closing brace is missing",
        ),  # `out` has the name in it
        ("seed=${seed}", "seed: the ${...} in it leads back to itself"),
        ("seed=${name}", "seed is '"),
    ],
)
def test_a_training_does_not_begin_with_it(wrong: str, message: str, warm: Server, work: Path) -> None:
    begin = "data.train=samples.jsonl data.dev=samples.jsonl sample_rate=16000 name=run"
    ended = warm.run(work, "train", *begin.split(), wrong)
    assert (ended.status, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert message in ended.err and not (work / "runs").exists()


@pytest.mark.parametrize("report", ["o", "./o", "link/o"])
def test_two_results_are_never_one_file(report: str, warm: Server, work: Path) -> None:
    (work / "link").symlink_to(".")
    ended = warm.run(work, "evaluate", "manifest=samples.jsonl", "out=o", f"report={report}")
    assert ended.status == 2 and "out and report are the same file" in ended.err
    assert not (work / "o").exists()
