"""Manifests that are wrong in some line: it is named with file and line, and everything else goes on."""

from __future__ import annotations

import codecs
import gzip
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from spelling import SpellingBundle, write

import speechlstm
from speechlstm.cli import align, evaluate, listen, lm, validate
from speechlstm.data.manifest import read_manifest
from speechlstm.training.parts import read
from speechlstm.types import ManifestError

Run = Callable[..., tuple[int, str, str]]

GOOD = {"audio_filepath": "audio/yes.wav", "duration": 0.5, "text": "yes"}
HALVES = ("\ud83d", "\udc00", "ok \udfff", "\ud800\ud800")
NO_NAMES: tuple[object, ...] = ("", [], {}, True, ["x"], *HALVES)
NO_SECONDS: tuple[object, ...] = ("1", "", True, False, -1, -1e-9, [], {}, 1e9, 10**400)
VALUES: dict[str, tuple[object, ...]] = {
    "audio_filepath": (5, None, "", ".", "/", [], {}, True, "a\0b", "\ud83d.wav", "x\udc00\ud83d"),
    "duration": (None, *NO_SECONDS),
    "offset": NO_SECONDS,
    "text": (5, True, [], {}, ["yes"], "a\0", "x" * 1_000_001, *HALVES),
    "id": NO_NAMES,
    "speaker": NO_NAMES,
    "lang": NO_NAMES,
    "more": (*HALVES, ["\ud83d"], {"x": {"y": "\udc00"}}, {"\ud83d": 1}),
    "\ud83d": (1,),
}
RAW: dict[str, bytes] = {
    "nothing closed": b"{",
    "a list": b"[]",
    "a list of objects": b'[{"audio_filepath": "a", "duration": 1}]',
    "a number": b"5",
    "a text": b'"yes"',
    "null": b"null",
    "no JSON": b"audio/yes.wav,0.5,yes",
    "Python": b"{'audio_filepath': 'a', 'duration': 1}",
    "comma at the end": b'{"audio_filepath": "a", "duration": 1,}',
    "two objects": b'{"audio_filepath": "a", "duration": 1} {"audio_filepath": "b", "duration": 1}',
    "no keys": b"{}",
    "other keys": b'{"path": "a.wav", "sentence": "yes"}',
    "no duration": b'{"audio_filepath": "a.wav"}',
    "NaN": b'{"audio_filepath": "a", "duration": NaN}',
    "infinity": b'{"audio_filepath": "a", "duration": -Infinity}',
    "deep": b"[" * 100_000,
    "deep objects": b'{"a":' * 50_000,
    "digits": b"9" * 5000,
    "Latin-1": b'{"audio_filepath": "caf\xe9.wav", "duration": 1}',
    "a cut letter": b'{"audio_filepath": "caf\xc3"',
    "an overlong letter": b'{"audio_filepath": "\xc0\xaf", "duration": 1}',
    "half a pair in UTF-8": b'{"audio_filepath": "a", "duration": 1, "text": "\xed\xa0\xbd"}',
    "NUL": b'{"audio_filepath": "a\0", "duration": 1}',
    "UTF-16 without its mark": json.dumps(GOOD).encode("utf-16-le"),
    "control characters": b'{"audio_filepath": "a\x01\x1b[2J", "duration": 1}',
    "gzip": gzip.compress(b"x").replace(b"\n", b""),
    "12 MB": b'{"text": "' + b"x" * 12_000_000 + b'"}',
    "no text file": b'{"audio_filepath": "a", "duration": 1, "text_filepath": "gone.txt"}',
    "a folder of text": b'{"audio_filepath": "a", "duration": 1, "text_filepath": "."}',
    "text in Latin-1": b'{"audio_filepath": "a", "duration": 1, "text_filepath": "latin.txt"}',
    "NUL in the text's name": b'{"audio_filepath": "a", "duration": 1, "text_filepath": "a\\u0000"}',
    "a line twice": b'{"audio_filepath": "audio/no.wav", "duration": 0.5, "text": "no"}',
}
CUT = json.dumps(GOOD).encode()


def cases() -> Iterator[tuple[str, bytes]]:
    yield from RAW.items()
    for key, values in VALUES.items():
        for number, value in enumerate(values):
            yield f"{key!a} {number}", json.dumps(GOOD | {"audio_filepath": "x.wav", key: value}).encode()
    for length in range(1, len(CUT), 2):
        yield f"cut after {length}", CUT[:length]


CASES = dict(cases())


def test_there_are_many() -> None:
    assert len(CASES) >= 120


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the recordings of the good lines."""
    folder = tmp_path_factory.mktemp("manifests")
    for text in ("yes", "no", "go"):
        write(folder / "audio" / f"{text}.wav", text, 0.5)
    (folder / "latin.txt").write_bytes(b"caf\xe9")
    return folder


def manifest(path: Path, *bad: bytes) -> Path:
    """Write good lines around bad ones."""
    first, *others = (
        {**GOOD, "audio_filepath": f"audio/{text}.wav", "text": text} for text in ("no", "yes", "go")
    )
    lines = [json.dumps(first).encode(), *bad, *(json.dumps(line).encode() for line in others)]
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


@pytest.mark.parametrize("name", CASES)
def test_a_bad_line_is_named_and_the_others_are_read(name: str, folder: Path) -> None:
    path = manifest(folder / "m.jsonl", CASES[name])
    problems: list[ManifestError] = []
    assert [utterance.text for utterance in read_manifest(path, problems)] == ["no", "yes", "go"]
    (message,) = map(str, problems)
    assert message.startswith(f"{path}:2: ")
    assert len(message) < len(str(path)) + 250 and message.isprintable() and message.encode()
    with pytest.raises(ManifestError) as refused:
        read_manifest(path)
    assert str(refused.value) == message


WHOLE: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "no utterances"),
    "blank": (b"\n \r\n\t\n", "no utterances"),
    "only a mark": (codecs.BOM_UTF8, "no utterances"),
    "only a mark of UTF-16": (codecs.BOM_UTF16_LE, "no utterances"),
    "cut UTF-16": (codecs.BOM_UTF16_LE + b"{\0}", "damaged UTF-16"),
    "sound": (b"RIFF\x24\x00\x00\x00WAVEfmt \x10\x00" + bytes(range(256)), "not"),
    "one endless line": (b"x" * 9_000_000, "a line of more than 4 MB"),
    "UTF-32": ("{}".encode("utf-32"), "not"),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_file_that_is_no_manifest(name: str, tmp_path: Path) -> None:
    content, message = WHOLE[name]
    (tmp_path / "m.jsonl").write_bytes(content)
    with pytest.raises(ManifestError, match=message) as refused:
        read_manifest(tmp_path / "m.jsonl", [])
    assert str(refused.value).startswith(str(tmp_path / "m.jsonl"))


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("gone", "No such file"),
        (".", "directory"),
        ("/dev/zero", "a device"),
        ("a\0b", "null"),
        ("\ud83d", "surrogate"),
    ],
)
def test_what_is_no_file(path: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ManifestError, match=f"cannot read the manifest: .*{message}"):
        read_manifest(path)


@pytest.fixture
def work(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with a manifest of all bad lines and three good ones, on the spelling bundle."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(speechlstm, "load", lambda path, **where: SpellingBundle())
    (tmp_path / "audio").symlink_to(folder / "audio")
    manifest(tmp_path / "m.jsonl", *CASES.values())
    return tmp_path


COMMANDS: dict[str, tuple[object, list[str], Callable[[Path], list[str]], list[str]]] = {
    "align": (align, ["out=o"], lambda o: sorted(path.stem for path in o.iterdir()), ["go", "no", "yes"]),
    "evaluate": (
        evaluate,
        ["out=o"],
        lambda o: [u.extra["pred_text"] for u in read_manifest(o)],
        ["no", "yes", "go"],
    ),
    "listen": (
        *(listen, ["out=o", "augment=none"]),
        *(lambda o: sorted(path.stem for path in o.glob("*.wav")), ["go", "no", "yes"]),
    ),
    "lm": (
        lm,
        ["out=o", "order=1"],
        lambda o: [w for w in ("no", "yes", "go") if w in o.read_text()],
        ["no", "yes", "go"],
    ),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_names_them_all_and_does_the_rest(name: str, work: Path, run_command: Run) -> None:
    command, arguments, done, wanted = COMMANDS[name]
    manifest_setting = f"manifest={work / 'm.jsonl'}"
    status, _, err = partial(run_command, command)(manifest_setting, *arguments)
    assert status == 3 and "Traceback" not in err
    assert done(work / "o") == wanted
    named = {line.split(": ")[1] for line in err.splitlines() if line.startswith(("failed: ", "left out: "))}
    shown = len(CASES) if name != "lm" else 10
    assert len(named) == shown and named <= {f"{work}/m.jsonl:{2 + number}" for number in range(len(CASES))}
    assert {path.name for path in work.iterdir()} == {"m.jsonl", "audio", "o"}


def test_training_leaves_them_out(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert [utterance.text for utterance in read(str(work / "m.jsonl"))] == ["no", "yes", "go"]
    assert capsys.readouterr().err.count("left out: ") == len(CASES)


def test_the_doctor_names_them_all(work: Path, run_command: Run) -> None:
    status, out, _ = run_command(validate, f"manifest={work / 'm.jsonl'}", "format=json")
    problems = json.loads(out)["problems"]
    bad = {problem["line"] for problem in problems if problem["kind"] in ("bad line", "duplicate id")}
    assert status == 3 and bad == {2 + number for number in range(len(CASES))}


BINARY = {
    "noise": bytes(k * 7919 % 256 for k in range(100_000)),
    "numbers": b"".join(k.to_bytes(4, "little") for k in range(3000)),
    "NULs": bytes(3000),
    "a sound": b"RIFF\0\0\1\0WAVEfmt \x10\0\0\0\1\0\1\0" + bytes(range(256)) * 20,
}


@pytest.mark.parametrize("name", BINARY)
def test_a_file_that_is_no_text_is_named_once(name: str, tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    for content in (BINARY[name], gzip.compress(BINARY[name])):
        path.write_bytes(content)
        with pytest.raises(ManifestError) as raised:
            read_manifest(path)
        assert str(raised.value) == f"{path}: not text but binary data; is this the right file?"


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1", "shift-jis", "iso2022_jp"])
def test_texts_in_other_encodings_are_no_data(encoding: str, tmp_path: Path) -> None:
    words = "\u65e5\u672c\u8a9e" if "j" in encoding else "gr\xfc\xdfe"
    line = json.dumps(GOOD | {"text": words}, ensure_ascii=False) + "\n"
    path = tmp_path / "in.jsonl"
    path.write_bytes((line * 50).encode(encoding))
    with pytest.raises(ManifestError) as raised:
        read_manifest(path)
    assert "binary" not in str(raised.value) and str(raised.value).startswith(f"{path}:")


@pytest.mark.parametrize("name", ["a\nb", "a\r", "a\x1b[2J", "a\u2028b", "a\x9b1m", "a\u202eb", "\tb"])
def test_control_characters_of_an_id_break_no_table(name: str, run_command: Run, work: Path) -> None:
    escaped = name.encode("unicode_escape").decode()
    for command, audio in ((evaluate, "audio/yes.wav"), (validate, "audio/gone.wav")):
        entry = GOOD | {"audio_filepath": audio, "text": "no", "id": name}
        (work / "in.jsonl").write_text(json.dumps(entry) + "\n")
        _, out, err = run_command(command, "manifest=in.jsonl")
        assert any(escaped in line for line in out.splitlines()), out + err
        assert name not in out and not {each for each in name if not each.isprintable()} & set(out) - {"\n"}
