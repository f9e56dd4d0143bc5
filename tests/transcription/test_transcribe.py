"""The command line of `transcribe`: any file name, any order, any broken file."""

from __future__ import annotations

import itertools
import json
import os
import re
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import example, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from spelling import FRAME, RATE, TOKENS, SpellingBundle, spell, write

import speechlstm
from speechlstm.cli import transcribe as command
from speechlstm.configs.arguments import quoted, split
from speechlstm.decoders.greedy import GreedyDecoder
from speechlstm.transcription import batches as transcriber
from speechlstm.transcription import lookup
from speechlstm.transcription.batches import in_order, recognize
from speechlstm.transcription.inputs import Recording, find, output_paths, parse_time
from speechlstm.transcription.jobs import Part
from speechlstm.transcription.recognizer import transcribe
from speechlstm.transcription.transcript import Transcript
from speechlstm.types import AudioError, UsageError, Utterance

NAMES = st.text(
    st.sampled_from("\\'\"${}[],=: ()~+?\n\tab0é日") | st.characters(exclude_characters="\0/"), min_size=1
)
ODD = [
    "an odd, name=1.wav",
    "${x} \\${y}'\".wav",
    "é€ 日本=[a].wav",
    "weird=name.wav",
    "~tilde",
    "-dash.wav",
    "???",
]

THERE = "transcripts there already; overwrite=true writes them again\n"


@pytest.fixture
def bundle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SpellingBundle:
    """Put the spelling bundle where the shipped one is loaded, and work in an empty folder."""
    made = SpellingBundle()
    monkeypatch.setattr(speechlstm, "load", lambda path, **where: made)
    monkeypatch.chdir(tmp_path)
    return made


@pytest.fixture
def run(
    bundle: SpellingBundle, run_command: Callable[..., tuple[int, str, str]]
) -> Callable[..., tuple[int, str, str]]:
    """Return a function that runs the command and gives exit status, stdout and stderr."""
    return partial(run_command, command)


def all_of(paths: list[str], **settings: float) -> list[tuple[int, Transcript | AudioError]]:
    return list(transcribe(SpellingBundle(), GreedyDecoder(tokenizer=TOKENS), paths, **settings))


# Arguments


@given(NAMES)
@example("\\${a}")
@example("a\\")
@example("\udcff")
@example("'")
@example("\\'")
def test_any_value_comes_through_hydra_unchanged_if_it_must_be_quoted(value: str) -> None:
    text = quoted(f"out={value}")
    if text != f"out={value}":
        cfg = OmegaConf.create({"out": ""})
        OmegaConf.update(cfg, "out", OverridesParser.create().parse_override(text).value())
        assert cfg.out == value


@pytest.mark.parametrize(
    ("arguments", "settings", "files"),
    [
        ([], [], []),
        (["format=srt"], ["format=srt"], []),
        (["a.wav", "format=srt", "b c.wav"], ["format=srt"], ["a.wav", "b c.wav"]),
        (["no, name=1.wav"], [], ["no, name=1.wav"]),
        (["+x=1", "++x.y=2", "~z", "decoder@d=greedy"], ["+x=1", "++x.y=2", "~z", "decoder@d=greedy"], []),
        (["x.wav", "--cfg", "job", "-m"], ["--cfg", "job", "-m"], ["x.wav"]),
        (["--", "format=srt", "--help"], [], ["format=srt", "--help"]),
        (["out=été", "bundle=a b"], ["out='été'", "bundle=a b"], []),
        (["inputs=[a]"], ["inputs=[a]"], []),
        (["x" * 5000, "\0"], [], ["x" * 5000, "\0"]),
    ],
)
def test_files_are_distinguished_from_settings(
    arguments: list[str], settings: list[str], files: list[str]
) -> None:
    assert split(arguments) == (settings, files)
    assert split([*settings, "--", *files]) == (settings, files)  # the command line of another rank


def test_what_exists_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("format=srt", "-m", "~z"):
        Path(name).touch()
    assert split(["-m", "format=srt", "~z", "out=x"]) == (["out=x"], ["-m", "format=srt", "~z"])


def test_files_both_ways_are_refused() -> None:
    with pytest.raises(UsageError, match="one way only"):
        split(["inputs=[a]", "b.wav"])


def test_only_what_hydra_cannot_read_is_quoted() -> None:
    assert quoted("out=${oc.env:HOME}/x") == "out=${oc.env:HOME}/x"
    assert quoted("out=модель/x") == "out='модель/x'"
    assert quoted("~out") == "~out"
    assert (
        quoted("format=srt,json") == "format='srt,json'"
        and quoted("lr=interval(1,2)") == "lr='interval(1,2)'"
    )
    assert quoted("format=srt,json", sweeps=True) == "format=srt,json"
    assert split(["-m", "lr=1,2"]) == (["-m", "lr=1,2"], [])


# Finding recordings and naming outputs


def test_folders_are_searched_through_sorted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("t/b.WAV", "t/a.mp3", "t/c/d.flac", "t/notes.txt", "t/.hidden.wav", "t/.git/x.wav", "z.wav"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    recordings, problems, _ = find(
        ["z.wav", "t/", "t/a.mp3", "./z.wav", str(tmp_path / "t/c"), "missing.wav"]
    )
    assert [r.path for r in recordings] == ["z.wav", "t/a.mp3", "t/b.WAV", "t/c/d.flac", "missing.wav"]
    assert problems == []


def test_names_keep_relative_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t/u").mkdir(parents=True)
    (tmp_path / "t/u/a.wav").touch()
    monkeypatch.chdir(tmp_path / "t")

    def names(*paths: str) -> list[str]:
        return [recording.name for recording in find(paths)[0]]

    assert names("u/a.wav") == names("./u/a.wav") == names("u") == names(".") == ["u/a.wav"]
    assert names(str(tmp_path / "t/u/a.wav")) == names("../t/u/a.wav") == ["a.wav"]
    assert names(str(tmp_path / "t")) == ["t/u/a.wav"]


def test_an_empty_folder_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    recordings, (problem,), _ = find([str(tmp_path)])
    assert recordings == []
    assert str(problem).startswith(f"{tmp_path}: no audio files in this folder")
    assert ".wav" in str(problem)


def outputs(*names: str) -> list[str]:
    recordings = [Recording(name, name) for name in names]
    return [str(path) for path in output_paths(recordings, Path("o"), "srt")]


def test_outputs_never_collide() -> None:
    assert outputs("a.wav", "b/a.wav", "c.tar.wav") == ["o/a.srt", "o/b/a.srt", "o/c.tar.srt"]
    assert outputs("a.wav", "a.mp3", "b.wav") == ["o/a.wav.srt", "o/a.mp3.srt", "o/b.srt"]
    assert outputs("a.wav", "A.mp3") == ["o/a.wav.srt", "o/A.mp3.srt"]
    with pytest.raises(UsageError, match=r"x/a\.wav and y/a\.wav would both become o/a\.wav\.srt"):
        output_paths([Recording("x/a.wav", "a.wav"), Recording("y/a.wav", "a.wav")], Path("o"), "srt")


# Batches


def test_batches_are_bounded_and_lose_nothing(tmp_path: Path) -> None:
    seconds = [3.0, 1.0, 2.0, 9.0, 1.5, 2.5, 1.0]
    paths = [str(write(tmp_path / f"{i}.wav", "abcdefg"[i], s)) for i, s in enumerate(seconds)]
    bundle = SpellingBundle()
    results = dict(transcribe(bundle, GreedyDecoder(tokenizer=TOKENS), paths, batch_seconds=5, threads=1))
    assert [results[i].text for i in range(7)] == list("abcdefg")
    assert [results[i].duration for i in range(7)] == seconds
    assert [rows for rows, _ in bundle.batches] == [3, 2, 1, 1]
    assert all(rows * samples <= 5 * RATE or rows == 1 for rows, samples in bundle.batches)


def test_results_come_in_order_across_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "_WINDOW", 3)
    texts = ["one", "a", "three", "be", "four", "", "no"]
    paths = [str(write(tmp_path / f"{i}.wav", text)) for i, text in enumerate(texts)]
    paths.insert(2, "missing.wav")
    results = list(in_order(transcribe(SpellingBundle(), GreedyDecoder(tokenizer=TOKENS), paths, 0.5)))
    assert isinstance(results.pop(2), AudioError)
    assert [result.text for result in results] == texts


def test_words_have_the_times_that_were_spelled(tmp_path: Path) -> None:
    path = str(write(tmp_path / "a.wav", "no go"))
    ((_, result),) = all_of([path])
    assert [(w.text, round(w.start, 3), round(w.end, 3)) for w in result.words] == [
        ("no", 0.0, 0.13),
        ("go", 0.13, 0.3),
    ]
    assert result.audio == path


def test_only_the_stretch_of_an_utterance_is_read(tmp_path: Path) -> None:
    path = str(write(tmp_path / "a.wav", "abcdef"))
    stretches = [Utterance(path, 0.12, "", "x", offset=0.12), Utterance(path, 0.06, "", "y", offset=0.0)]
    assert [result.text for _, result in sorted(all_of(stretches))] == ["cd", "a"]


@pytest.mark.parametrize("cut", [60.0, 0.1])
def test_times_of_a_part_count_from_the_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: float
) -> None:
    monkeypatch.setattr(transcriber, "CUT_SECONDS", cut)  # also in windows
    path = str(write(tmp_path / "a.wav", "no go on"))
    ((_, whole),) = all_of([path])
    ((_, part),) = all_of([Part(path, 0.18, 0.12)])
    assert (part.text, part.duration) == ("go", pytest.approx(0.3))
    assert part.words[0].start == pytest.approx(0.18, abs=0.03)
    assert part.words[0].end == pytest.approx(whole.words[1].end, abs=0.03)
    ((_, rest),) = all_of([Part(path, 0.36, 5.0)])
    assert (rest.text, rest.duration) == ("on", pytest.approx(whole.duration))
    ((_, error),) = all_of([Part(path, 5.0)])
    assert str(error) == f"{path}: segment begins at 5 s, but the file ends before"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None), (90, 90.0), ("1.5", 1.5), ("99", 99.0), ("1:30", 90.0), ("90:00", 5400.0), ("99:59.75", 5999.75),
        ("0:59.", 59.0), ("1:02:03.5", 3723.5), ("1:2:3", 3723.0), ("00:00:07", 7.0), ("100:59:59", 363599.0),
    ],
)  # fmt: skip
def test_times_are_numbers_or_clocks(value: object, seconds: float | None) -> None:
    assert parse_time("duration", value) == seconds


@pytest.mark.parametrize(
    "value",
    [
        "", "x", "-1", "1:", ":30", "1:2:3:4", "inf", "nan", True, 0, "0:00", "١", "9" * 400, "1e3", "1:-1", "-1:00",
        "1:99:99", "1:60:00", "1:00:60", "1:60", "0:75.5", "1:060", "1:100", "1:59:060", "1:nan", "inf:00", "1.5:00",
    ],
)  # fmt: skip
def test_other_times_are_refused(value: object) -> None:
    with pytest.raises(
        UsageError,
        match=f"duration={value}, but must be seconds, above 0 and written as in 12.5, or a time such as 1:30",
    ):
        parse_time("duration", value)
    assert parse_time("start", 0) == 0.0


def test_threads_change_nothing_but_the_time(tmp_path: Path) -> None:
    paths = [str(write(tmp_path / f"{text}.wav", text, 1.0)) for text in "abcdefghijk"]
    before = torch.get_num_threads()
    results = [sorted(all_of(paths, batch_seconds=2, threads=threads)) for threads in (1, 3)]
    assert results[0] == results[1]
    assert torch.get_num_threads() == before


@settings(max_examples=15)
@given(st.lists(st.integers(0, 2), max_size=40))
def test_processes_that_claim_batches_do_together_what_one_does(turns: list[int]) -> None:
    """Whichever is fast: each batch is one process's, and holds what it holds in one process."""
    with tempfile.TemporaryDirectory() as folder:
        names = "abcdefghijk"
        paths = [str(write(Path(folder, f"{name}.wav"), name, 1.0 + 0.1 * i)) for i, name in enumerate(names)]
        paths.insert(4, "missing.wav")
        claim = itertools.count().__next__
        bundles = [SpellingBundle() for _ in range(4)]
        decoder = GreedyDecoder(tokenizer=TOKENS)
        shares = [transcribe(bundle, decoder, paths, 3.0, 1, claim) for bundle in bundles[:3]]
        found = [next(shares[turn], None) for turn in turns]
        found += [result for share in shares for result in share]
        done = sorted((each for each in found if each is not None), key=lambda each: each[0])
        whole = sorted(transcribe(bundles[3], decoder, paths, 3.0, 1), key=lambda each: each[0])
    assert [index for index, _ in done] == list(range(len(paths)))
    assert list(map(repr, done)) == list(map(repr, whole))
    batches = [shape for bundle in bundles[:3] for shape in bundle.batches]
    assert sorted(batches) == sorted(bundles[3].batches)


def test_any_length_is_transcribed_in_windows(tmp_path: Path) -> None:
    sentence = spell("the quick brown fox jumps over the lazy dog")
    waveform = np.tile(np.pad(sentence, (0, 2 * RATE)), 180)
    soundfile.write(tmp_path / "long.flac", waveform, RATE)
    write(tmp_path / "short.flac", "short")
    bundle = SpellingBundle()
    paths = [str(tmp_path / "long.flac"), str(tmp_path / "short.flac"), str(tmp_path / "none.flac")]
    results = dict(transcribe(bundle, GreedyDecoder(tokenizer=TOKENS), paths, threads=2))
    long = results[0]
    assert (
        long.text.replace(" ", "") == "thequickbrownfoxjumpsoverthelazydog" * 180
    )  # the pauses are no spaces
    assert long.duration == pytest.approx(len(waveform) / RATE) and long.duration > 600
    quick = [word.start for word in long.words if word.text == "quick"]
    expected = [(each * (len(sentence) + 2 * RATE) + 12 * FRAME) / RATE for each in range(180)]
    assert quick == pytest.approx(expected, abs=0.2)
    assert max(rows * samples for rows, samples in bundle.batches) <= 120 * RATE
    assert results[1].text == "short" and isinstance(results[2], AudioError)


def test_recordings_are_taken_whole_up_to_a_limit(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "long.wav", np.zeros(601 * 1000, np.int16), 1000)
    (batch,) = recognize(SpellingBundle(), [str(tmp_path / "long.wav")])
    ((_, error),) = batch.failures
    assert str(error) == (
        f"{tmp_path / 'long.wav'}: 601 s long, but at most 600 s are taken whole; cut it into shorter files"
    )


@pytest.mark.parametrize("seconds", [0, -1, "many", True, float("nan")])
def test_batch_seconds_must_be_positive(seconds: float) -> None:
    with pytest.raises(UsageError, match="batch_seconds is"):
        all_of([], batch_seconds=seconds)


# The command


def test_one_file_prints_its_text(run: Callable[..., tuple[int, str, str]]) -> None:
    write(Path("a.wav"), "hello there")
    assert run("a.wav") == (0, "hello there\n", "")


@pytest.mark.parametrize("name", ODD)
def test_odd_names_are_transcribed(name: str, run: Callable[..., tuple[int, str, str]]) -> None:
    write(Path("a.wav"), "yes").rename(name)
    assert run("threads=1", name, "format=json", "out=o") == (0, "", "")
    (document,) = Path("o").rglob("*.json")
    assert document.name == name.removesuffix(".wav") + ".json"
    assert json.loads(document.read_text())["audio"] == name
    assert not list(Path().glob("*.log"))


def test_a_name_that_is_not_unicode(run: Callable[..., tuple[int, str, str]]) -> None:
    name = os.fsdecode(b"bad\xff.wav")
    try:
        write(Path("a.wav"), "yes").rename(name)
    except OSError:
        pytest.skip("this file system takes Unicode names only")
    assert run(name, "format=json")[0] == 0
    assert run(name, "out=o") == (0, "", "")
    assert Path(os.fsdecode(b"o/bad\xff.txt")).read_text() == "yes\n"


def test_several_files_are_printed_in_the_order_given(run: Callable[..., tuple[int, str, str]]) -> None:
    for name, seconds in (("t/b.wav", 3), ("t/a.wav", 2), ("z.wav", 4), ("y.wav", 1)):
        write(Path(name), Path(name).stem, seconds)
    status, out, err = run("z.wav", "batch_seconds=2", "t", "decoder=greedy", "y.wav")
    assert (status, out, err) == (0, "z.wav: z\nt/a.wav: a\nt/b.wav: b\ny.wav: y\n", "")


def test_other_formats_follow_each_other(run: Callable[..., tuple[int, str, str]]) -> None:
    for name in "ab":
        write(Path(f"{name}.wav"), name)
    assert run("a.wav", "b.wav", "format=ctm")[1].split("\n")[:2] == [
        "a 1 0.000 0.060 a 0.9034",
        "b 1 0.000 0.060 b 0.9034",
    ]
    assert [json.loads(line)["text"] for line in run("a.wav", "b.wav", "format=JSON")[1].splitlines()] == [
        "a",
        "b",
    ]


@pytest.mark.parametrize("name", ["x.srt", "x.VTT", "deep/x.TextGrid", "x.json", "x.labels"])
def test_a_name_that_ends_in_a_format_is_a_file(name: str, run: Callable[..., tuple[int, str, str]]) -> None:
    write(Path("a.wav"), "no go")
    kind = Path(name).suffix[1:].lower().replace("textgrid", "TextGrid")
    for _ in range(2):  # the second time the file is there
        assert run("a.wav", f"out={name}") == (0, "", "")
        assert Path(name).read_text() == run("a.wav", f"format={kind}")[1]


def test_one_file_holds_several_recordings_in_their_order(run: Callable[..., tuple[int, str, str]]) -> None:
    for text, seconds in (("one", 3), ("so", 1), ("three", 2)):
        write(Path(f"{text}.wav"), text, seconds)
    given = ("one.wav", "so.wav", "missing.wav", "three.wav", "batch_seconds=1")
    assert run(*given, "out=all.txt")[0] == 3
    assert Path("all.txt").read_text() == "one.wav: one\nso.wav: so\nthree.wav: three\n"
    assert run(*given, "out=all.json")[0] == 3
    lines = Path("all.json").read_text().splitlines()
    assert [json.loads(line)["text"] for line in lines] == ["one", "so", "three"]
    assert run(*given, "out=all.trn")[0] == 3
    assert Path("all.trn").read_text() == "one (one)\nso (so)\nthree (three)\n"
    assert run("missing.wav", "out=none.txt")[0] == 1 and not Path("none.txt").exists()


def test_a_folder_of_that_name_stays_a_folder(run: Callable[..., tuple[int, str, str]]) -> None:
    write(Path("a.wav"), "a")
    Path("x.srt").mkdir()
    assert run("a.wav", "out=x.srt") == (0, "", "")
    assert [path.name for path in Path("x.srt").iterdir()] == ["a.txt"]


def test_several_formats_at_once(run: Callable[..., tuple[int, str, str]]) -> None:
    for name in "ab":
        write(Path(f"t/{name}.wav"), name)
    assert run("t", "format=srt,json,srt", "out=o") == (0, "", "")
    assert sorted(path.name for path in Path("o/t").iterdir()) == ["a.json", "a.srt", "b.json", "b.srt"]
    Path("o/t/a.srt").unlink()
    assert run("t", "format=[srt,json]", "out=o") == (
        0,
        "",
        f"1 of 2 {THERE}",
    )
    assert Path("o/t/a.srt").exists()


def test_a_part_is_transcribed(run: Callable[..., tuple[int, str, str]]) -> None:
    write(Path("a.wav"), "no go on")
    assert run("a.wav", "start=0:00.18", "duration=0.12")[:2] == (0, "go\n")
    assert run("a.wav", "start=0:00.18", "format=labels")[1].startswith("0.180\t")
    status, _, err = run("a.wav", "start=1:x")
    wanted = "seconds, 0 or more and written as in 12.5, or a time such as 1:30 or 1:02:03.5, with minutes and seconds"
    assert (status, err) == (2, f"error: start=1:x, but must be {wanted} below 60 after a colon\n")
    assert "a.wav: segment begins at 3600 s, but the file ends before" in run("a.wav", "start=1:00:00")[2]
    assert "a.wav: no track 1; its audio tracks are 0 to 0" in run("a.wav", "track=1")[2]
    assert run("a.wav", "duration=5", "channel=each")[:2] == (0, "no go on\n")


def test_subtitles_have_the_limits_that_are_set(run: Callable[..., tuple[int, str, str]]) -> None:
    write(Path("a.wav"), "one two three")
    arguments = ("a.wav", "format=vtt", "subtitles.max_words=2", "subtitles.karaoke=true")
    assert re.sub(r"\d\d:\d\d:\d\d\.\d{3}", "T", run(*arguments)[1]) == (
        "WEBVTT\n\nT --> T\none <T>two\n\nT --> T\nthree\n"
    )
    status, _, err = run("a.wav", "subtitles.max_width=0")
    assert status == 2 and "subtitles.max_width is 0, but must be" in err


@pytest.mark.parametrize("kind", ["srt", "vtt", "TextGrid"])
def test_formats_that_do_not_name_the_recording_get_a_heading(
    kind: str, run: Callable[..., tuple[int, str, str]]
) -> None:
    for name in "ab":
        write(Path(f"{name}.wav"), name)
    first, second = (run(f"{name}.wav", f"format={kind}")[1] for name in "ab")
    assert run("a.wav", "b.wav", f"format={kind}") == (
        0,
        f"==> a.wav <==\n{first}\n==> b.wav <==\n{second}\n",
        "",
    )


def test_an_output_that_cannot_be_written_fails_alone(run: Callable[..., tuple[int, str, str]]) -> None:
    for name in "abc":
        write(Path(f"{name}.wav"), name)
    Path("o/b.txt").mkdir(parents=True)
    status, out, err = run("a.wav", "b.wav", "c.wav", "out=o")
    assert (status, out) == (3, "")
    assert err == "failed: o/b.txt: a folder, but must be a file\n1 of 3 failed, named above\n"
    assert Path("o/a.txt").read_text() == "a\n" and Path("o/c.txt").read_text() == "c\n"


def test_outputs_keep_relative_paths(run: Callable[..., tuple[int, str, str]]) -> None:
    for name in ("t/u/b.wav", "t/a.wav", "t/a.flac"):
        write(Path(name), "so")
    assert run("t", "out=deep/o", "format=textgrid") == (0, "", "")
    written = sorted(str(path) for path in Path("deep").rglob("*") if path.is_file())
    assert written == ["deep/o/t/a.flac.TextGrid", "deep/o/t/a.wav.TextGrid", "deep/o/t/u/b.TextGrid"]


def test_one_broken_file_stops_nothing(run: Callable[..., tuple[int, str, str]]) -> None:
    write(Path("good.wav"), "good")
    Path("broken.wav").write_bytes(b"RIFF then nothing")
    Path("empty").mkdir()
    status, out, err = run("broken.wav", "good.wav", "missing.wav", "empty")
    assert (status, out) == (3, "good.wav: good\n")
    assert "failed: broken.wav: " in err
    assert "failed: missing.wav: " in err
    assert "failed: empty: no audio files" in err
    assert err.endswith("3 of 4 failed, named above\n")
    assert "Traceback" not in err


def test_nothing_but_broken_files_is_a_failure(run: Callable[..., tuple[int, str, str]]) -> None:
    assert run("missing.wav")[0] == 1
    Path("empty").mkdir()
    assert run("empty")[0] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "error: no audio given; usage: speechlstm transcribe FILE|FOLDER ... [KEY=VALUE ...]"),
        (["", "a.wav"], "error: one of the files is '', an empty name; was a variable of the shell not set?"),
        (["a.wav", "format=str"], "error: no format 'str'; did you mean 'srt'?; there are: txt, json,"),
        (["a.wav", "formt=srt"], "did you mean 'format'?"),
        (["a.wav", "decoder=gready"], "greedy"),
        (["a.wav", "out=a.wav"], "error: out=a.wav is a file, but must be a folder, or end in .txt, .json,"),
        (
            ["a.wav", "out=x.srt", "format=json"],
            "out=x.srt is a file in the format srt by its name, but format=json",
        ),
        (
            ["a.wav", "b.wav", "out=x.srt"],
            "error: out=x.srt is one file, but 2 recordings are given: name a folder",
        ),
        (["a.wav", "format=srt,json"], "error: several formats are for files: add out=FOLDER"),
        (["a.wav", "format=srt,jsn", "out=o"], "error: no format 'jsn'; did you mean 'json'?"),
        (["a.wav", "threads=0"], "error: threads is 0, but must be"),
        (["a.wav", "batch_seconds=0"], "error: batch_seconds is 0, but must be"),
        (
            ["a.wav", "device=cpu"],
            "error: no setting 'device'; devices are chosen by trainer=cpu, trainer=gpu",
        ),
        (["a.wav", "inputs=[b.wav]"], "error: files are given both by name and as inputs=[...]"),
    ],
)
def test_wrong_usage_is_explained(
    arguments: list[str], message: str, run: Callable[..., tuple[int, str, str]]
) -> None:
    write(Path("a.wav"), "a")
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert message in err
    assert "Traceback" not in err


def test_finished_outputs_can_be_left(run: Callable[..., tuple[int, str, str]]) -> None:
    for name in "abc":
        write(Path(f"{name}.wav"), name)
    Path("o").mkdir()
    Path("o/b.txt").write_text("by hand\n")
    assert run("a.wav", "b.wav", "c.wav", "out=o") == (0, "", f"1 of 3 {THERE}")
    assert [Path(f"o/{name}.txt").read_text() for name in "abc"] == ["a\n", "by hand\n", "c\n"]
    assert run("a.wav", "b.wav", "out=o") == (0, "", f"2 of 2 {THERE}")
    assert run("b.wav", "out=o", "overwrite=true")[0] == 0
    assert Path("o/b.txt").read_text() == "b\n"


def test_what_is_done_is_on_disk_before_the_next_begins(
    run: Callable[..., tuple[int, str, str]], bundle: SpellingBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in (("a", 2), ("b", 1), ("c", 3)):
        write(Path(f"{name}.wav"), name, seconds)
    log_probs = bundle.log_probs

    def power_cut(waveforms: object, lengths: object) -> object:
        if len(bundle.batches) == 2:
            raise KeyboardInterrupt
        return log_probs(waveforms, lengths)

    monkeypatch.setattr(bundle, "log_probs", power_cut)
    assert run("a.wav", "b.wav", "c.wav", "out=o", "batch_seconds=1", "threads=1")[0] == 130
    assert sorted(path.name for path in Path("o").iterdir()) == ["a.txt", "b.txt"]


def test_an_interrupted_recording_goes_on_unless_something_changed(
    run: Callable[..., tuple[int, str, str]], bundle: SpellingBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    sentence = spell("the quick brown fox jumps over the lazy dog")
    soundfile.write("a.wav", np.tile(np.pad(sentence, (0, 2 * RATE)), 90), RATE)
    arguments = ("a.wav", "format=json", "batch_seconds=30", "threads=1")
    assert run(*arguments, "out=whole")[0] == 0
    batches, log_probs = len(bundle.batches), bundle.log_probs

    def interrupted(*more: str, change: Callable[[], object] = lambda: None) -> int:
        """Interrupt in mid-recording, change something, run it again, and return how many batches that took."""
        bundle.batches.clear()
        with monkeypatch.context() as patch:

            def power_cut(waveforms: object, lengths: object) -> object:
                if len(bundle.batches) == batches // 2:
                    raise KeyboardInterrupt
                return log_probs(waveforms, lengths)

            patch.setattr(bundle, "log_probs", power_cut)
            assert run(*arguments, "out=o")[0] == 130
        change()
        bundle.batches.clear()
        status, _, err = run(*arguments, "out=o", *more)
        assert status == 0 and ("a.wav: goes on at 0:0" in err) == (len(bundle.batches) < batches)
        (written,) = Path("o").iterdir()  # and no journal
        assert written.read_text() == Path("whole/a.json").read_text()
        written.unlink()
        return len(bundle.batches)

    assert interrupted() <= batches // 2 + 2
    assert interrupted("overwrite=true") <= batches // 2 + 2
    assert interrupted("strict_audio=true") == batches
    assert interrupted("duration=9999") == batches
    content = Path("a.wav").read_bytes()
    assert interrupted(change=lambda: Path("a.wav").write_bytes(content)) == batches
    Path("model").mkdir()
    monkeypatch.setattr(bundle, "path", Path("model"))
    assert interrupted() < batches
    assert interrupted(change=lambda: Path("model/weights").write_text("other")) == batches


def test_a_full_disk_is_named(
    run: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(Path("a.wav"), "a")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    named = "o/a.txt: No space left on device\n"
    assert run("a.wav", "out=o") == (1, "", f"failed: {named}1 of 1 failed, named above\n")
    assert run("a.wav", "out=o/a.txt") == (1, "", f"error: {named}")
