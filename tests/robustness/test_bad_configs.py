"""Config files of a user's own that cannot be loaded: status 2, and one line that names the file and the line."""

from __future__ import annotations

from pathlib import Path

import pytest
from warm import Server

from speechlstm.configs import files
from speechlstm.types import UsageError

_BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{own}: &{own} [{','.join([f'*{below}'] * 9)}]\n"
    for below, own in zip("abcdefgh", "bcdefghi", strict=True)
)
FILES: dict[str, tuple[bytes, str]] = {
    "Latin-1": (b"name: greedy\n# \xe9\n", ":2: not UTF-8 text"),
    "UTF-16": ("name: greedy\n".encode("utf-16"), ":1: not UTF-8 text"),
    "NUL": (b"name: greedy\n\0\n", ":2: not text"),
    "control character": (b"name: gr\x07eedy\n", ":1: not text"),
    "tab": (b"name: greedy\n\tbeam: 5\n", ":2: not valid YAML: found"),
    "key twice": (b"name: greedy\nname: beam\n", ":2: name is set twice"),
    "key twice within": (b"name: x\na:\n  b: 1\n  b: 2\n", ":4: b is set twice"),
    "bracket open": (b"name: [greedy\n", ": not valid YAML: "),
    "quote open": (b"name: 'greedy\n", ": not valid YAML: "),
    "alias of nothing": (b"name: *nope\n", ": not valid YAML: "),
    "alias of itself": (b"a: &a [*a]\nname: greedy\n", ":1: holds itself"),
    "two documents": (b"name: greedy\n---\nname: beam\n", ": not valid YAML: "),
    "list": (b"- greedy\n", ":1: must hold settings"),
    "text": (b"greedy\n", ":1: must hold settings"),
    "number": (b"5\n", ":1: must hold settings"),
    "deep": (b"name: " + b"[" * 3000 + b"]" * 3000, ":1: nested too deeply"),
    "aliases of aliases": (f"{_BOMB}name: greedy\n".encode(), "once its aliases are expanded"),
    "large": (b"#" * 200_000, ":1: no file of settings, or of more than 100000 bytes"),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_cannot_be_loaded_is_named(kind: str, tmp_path: Path) -> None:
    content, message = FILES[kind]
    path = tmp_path / "conf/decoder/mine.yaml"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.raises(UsageError) as raised:
        files.check(["--config-dir", str(tmp_path / "conf")])
    assert str(raised.value).startswith(f"{path}:") and message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "content", ["", "name: greedy\n", "\ufeffname: greedy\n", "a: &a [1]\nb: *a\nc: *a\n"]
)
def test_a_file_that_can_be_loaded_is_taken(content: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(content)
    files.check([f"--config-dir={tmp_path}"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "name: greedy\nx: ${nope}\n",
            "decoder.x: the ${...} in it refers to 'nope', but there is no such setting",
        ),
        ("name: ${nope:x}\n", "decoder.name: the ${...} in it is of kind 'nope', which is not known"),
        ("name: greedy\n\tbeam: 5\n", "conf/decoder/mine.yaml:2: not valid YAML"),
        ("defaults: [nope]\nname: greedy\n", "nope"),
        ("name: greedy\nbreadth: 5\n", "breadth"),
    ],
)
def test_a_command_names_what_is_wrong(content: str, message: str, warm: Server, work: Path) -> None:
    (work / "conf/decoder").mkdir(parents=True)
    (work / "conf/decoder/mine.yaml").write_text(content)
    ended = warm.run(work, "transcribe", "stop.flac", "--config-dir", "conf", "decoder=mine")
    assert (ended.status, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert message in ended.err


@pytest.mark.parametrize("folder", ["nope", "stop.flac", "nope/conf"])
def test_a_folder_that_is_not_there_is_named(folder: str, warm: Server, work: Path) -> None:
    ended = warm.run(work, "transcribe", "stop.flac", "--config-dir", folder)
    assert (ended.status, ended.err) == (2, f"error: --config-dir {folder}: no such folder\n")
