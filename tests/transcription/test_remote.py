"""Recordings and transcripts at URLs: fsspec's store in memory, and a web server on this machine."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import pytest
from spelling import TOKENS, SpellingBundle, write

import speechlstm
from speechlstm.cli import transcribe as command
from speechlstm.data import remote
from speechlstm.data.audio import audio_info, load_audio
from speechlstm.data.remote import is_url, url_name
from speechlstm.decoders.greedy import GreedyDecoder
from speechlstm.transcription import lookup
from speechlstm.transcription.channels import transcribe_each
from speechlstm.transcription.jobs import Part
from speechlstm.transcription.recognizer import transcribe
from speechlstm.types import AudioError

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, run_command: Run) -> Run:
    """Run `transcribe` with the spelling bundle in an empty folder, and without copies of other tests."""
    monkeypatch.setattr(speechlstm, "load", lambda path, **where: SpellingBundle())
    monkeypatch.setattr(remote, "_copies", type(remote._copies)())
    monkeypatch.chdir(tmp_path)
    return partial(run_command, command)


class Shelf(type(fsspec.filesystem("memory"))):
    """The store in memory under another name: commands do not write to `memory://`, which ends with them."""

    protocol = "shelf"

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return super()._strip_protocol(path.replace("shelf://", "memory://"))


fsspec.register_implementation("shelf", Shelf)


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[fsspec.AbstractFileSystem]:
    """Hold `memory://talks/` with a.wav and sub/b.wav, a hidden file, and one that is no audio."""
    store = fsspec.filesystem("memory")
    for name in ("a.wav", "sub/b.wav", ".hidden.wav"):
        store.pipe_file(f"/talks/{name}", write(tmp_path / "made.wav", Path(name).stem[-1]).read_bytes())
    store.pipe_file("/talks/notes.txt", b"no audio")
    yield store
    store.rm("/", recursive=True)


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder; what is named `secret` is refused, `stall` does not go on, `trickle` a byte at a time."""

    def do_GET(self) -> None:
        if "secret" in self.path:
            self.send_error(403)
        elif "stall" in self.path:
            self.send_response(200)
            self.send_header("Content-Length", "100000")
            self.end_headers()
            self.wfile.write(bytes(1000))
            self.server.released.wait()
        elif "trickle" in self.path:
            answer = b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\nContent-Length: 100000\r\n\r\n"
            self.wfile.write(answer[:20] if "head" in self.path else answer)
            with contextlib.suppress(OSError):  # the client has gone
                while not self.server.released.wait(0.05):
                    self.wfile.write(b"x")
        else:
            self.server.paths.append(self.path)
            super().do_GET()

    def log_message(self, format: str, *values: object) -> None:
        """Keep quiet."""


@pytest.fixture
def web(tmp_path: Path) -> Iterator[ThreadingHTTPServer]:
    """Serve a folder `www` on the loopback address."""
    (tmp_path / "www").mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(tmp_path / "www")))
    server.paths, server.url = [], f"http://127.0.0.1:{server.server_port}"
    server.released = threading.Event()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.released.set()
    server.shutdown()
    server.server_close()


def texts(store: fsspec.AbstractFileSystem, folder: str) -> dict[str, str]:
    return {path: store.cat_file(path).decode() for path in store.find(folder)}


def test_a_folder_in_a_store_is_transcribed_into_another(run: Run, memory: fsspec.AbstractFileSystem) -> None:
    assert run("memory://talks/", "out=shelf://texts")[0] == 0
    assert texts(memory, "/texts") == {"/texts/talks/a.txt": "a\n", "/texts/talks/sub/b.txt": "b\n"}


def test_transcripts_are_named_after_their_url(run: Run, memory: fsspec.AbstractFileSystem) -> None:
    assert run("memory://talks/sub", "memory://talks/a.wav") == (
        0,
        "memory://talks/sub/b.wav: b\nmemory://talks/a.wav: a\n",
        "",
    )


def test_what_is_there_is_kept_and_the_rest_goes_on(run: Run, memory: fsspec.AbstractFileSystem) -> None:
    memory.pipe_file("/texts/talks/a.srt", b"mine")
    status, _, err = run("memory://talks", "out=shelf://texts", "format=srt,json")
    assert (status, err) == (0, "")
    found = texts(memory, "/texts")
    assert sorted(found) == [
        f"/texts/talks/{name}" for name in ("a.json", "a.srt", "sub/b.json", "sub/b.srt")
    ]
    assert found["/texts/talks/a.srt"] == "mine"
    _, _, err = run("memory://talks", "out=shelf://texts", "format=srt,json")
    assert err.startswith("2 of 2 transcripts there already")
    assert run("memory://talks", "out=shelf://texts", "format=srt,json", "overwrite=true")[0] == 0
    assert texts(memory, "/texts")["/texts/talks/a.srt"] != "mine"


def test_one_file_in_a_store_holds_all(run: Run, memory: fsspec.AbstractFileSystem) -> None:
    assert run("memory://talks", "out=shelf://all.txt")[0] == 0
    text = memory.cat_file("/all.txt").decode()
    assert text == "memory://talks/a.wav: a\nmemory://talks/sub/b.wav: b\n"
    status, _, err = run("memory://talks", "out=shelf://all.txt")
    assert status == 2 and "shelf://all.txt: exists; choose another name, or add overwrite=true" in err


def test_an_input_is_never_the_output(run: Run, memory: fsspec.AbstractFileSystem) -> None:
    memory.pipe_file("/talk.txt", memory.cat_file("/talks/a.wav"))
    status, _, err = run("shelf://talk.txt", "out=shelf://talk.txt", "overwrite=true")
    assert status == 2 and "is read by this command" in err


def test_names_that_lead_out_of_the_folder_are_left_out(run: Run, memory: fsspec.AbstractFileSystem) -> None:
    memory.store["/talks/../../x.wav"] = memory.store["/talks/a.wav"]
    assert run("memory://talks", "out=o")[0] == 0
    assert sorted(str(path) for path in Path().rglob("*.txt")) == ["o/talks/a.txt", "o/talks/sub/b.txt"]


def test_a_web_address_is_fetched_once(run: Run, web: ThreadingHTTPServer, tmp_path: Path) -> None:
    write(tmp_path / "www/talk.wav", "a")
    url = f"{web.url}/talk.wav?signature=a/b"
    assert run(url, "out=o", "format=json")[0] == 0
    assert f'"{url}"' in Path("o/talk.json").read_text()
    assert len(web.paths) <= 2  # one may be the question for its size
    assert load_audio(url, 16_000).shape == (round(audio_info(url).duration * 16_000),)


def test_a_folder_of_a_web_server_is_listed(run: Run, web: ThreadingHTTPServer, tmp_path: Path) -> None:
    for name in "ab":
        write(tmp_path / f"www/talks/{name}.wav", name)
    assert run(f"{web.url}/talks/")[1] == f"{web.url}/talks/a.wav: a\n{web.url}/talks/b.wav: b\n"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("{web}/missing.wav", "there is no such file"),
        ("{web}/secret.wav", "cannot be fetched: the server refuses (403 Forbidden)"),
        ("{web}/stall.wav", "cannot be fetched: the server has sent nothing, or hardly anything, for "),
        ("{web}/trickle/body.wav", "cannot be fetched: the server has sent only "),
        (
            "{web}/trickle/head.wav",
            "cannot be fetched: the server has sent nothing, or hardly anything, for ",
        ),
        ("{web}/trickle/folder/", "cannot be fetched: the server has sent nothing, or hardly anything, for "),
        ("memory://missing.wav", "there is no such file"),
        ("memory://empty/", "there is no such file"),
        ("dropbox://a.wav", "dropbox:// needs another Python package: "),
    ],
)
def test_what_cannot_be_fetched_fails_alone(
    url: str, reason: str, run: Run, web: ThreadingHTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "SECONDS", 0.5)
    begun = time.monotonic()
    url = url.format(web=web.url)
    write(tmp_path / "a.wav", "a")
    status, out, err = run(url, "a.wav", "out=o")
    assert (status, out, Path("o/a.txt").read_text()) == (3, "", "a\n")
    failure, count = err.splitlines()
    assert failure.startswith(f"failed: {url}: {reason}")
    assert count == "1 of 2 failed, named above"
    assert time.monotonic() - begun < 15


@pytest.mark.parametrize("how", ["one process", "two processes", "each channel"])
def test_a_stalled_server_holds_nothing_back_however_many_recordings_there_are(
    how: str, web: ThreadingHTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "_copies", type(remote._copies)())
    monkeypatch.setattr(remote, "SECONDS", 5)
    monkeypatch.setattr(lookup, "_PATIENCE", 0.2)
    letters = "abcdefghijklmnopqrst"
    for letter in letters:
        write(tmp_path / f"www/{letter}.wav", letter)
    parts = [Part(f"{web.url}/{name}.wav") for name in ("stall", *letters)]
    claim = itertools.count().__next__ if how == "two processes" else None
    function = transcribe_each if how == "each channel" else transcribe
    shares = [function(SpellingBundle(), GreedyDecoder(tokenizer=TOKENS), parts, 3.0, 1, claim)]
    if claim:
        shares.append(transcribe(SpellingBundle(), GreedyDecoder(tokenizer=TOKENS), parts, 3.0, 1, claim))
    results = [[next(share)] for share in shares]
    for of_share, share in zip(results, shares, strict=True):
        of_share += share
        assert all(index for index, _ in of_share[:-1]), "what has stalled comes last"
    found = dict(itertools.chain(*results))
    assert isinstance(found.pop(0), AudioError)
    assert [found[index].text for index in sorted(found)] == list(letters)
    assert sorted(web.paths) == [f"/{letter}.wav" for letter in letters], "each is fetched once"


def test_a_recording_without_an_end_is_refused(
    run: Run, memory: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "MAX_BYTES", 100)
    status, _, err = run("memory://talks/a.wav")
    assert status == 1 and "memory://talks/a.wav: over" in err


def test_a_store_that_cannot_be_written_fails_alone(
    run: Run, memory: fsspec.AbstractFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_file = type(memory).pipe_file

    def refuse(self: object, path: str, value: bytes, **options: object) -> None:
        if "a.txt" in path:
            raise PermissionError(13, "Access Denied")
        write_file(self, path, value, **options)

    monkeypatch.setattr(type(memory), "pipe_file", refuse)
    status, _, err = run("memory://talks", "out=shelf://texts")
    assert status == 3
    assert "failed: shelf://texts/talks/a.txt: cannot be written: Access Denied" in err
    assert list(texts(memory, "/texts")) == ["/texts/talks/sub/b.txt"]


def test_a_web_address_is_no_output(run: Run, tmp_path: Path) -> None:
    write(tmp_path / "a.wav", "a")
    status, _, err = run("a.wav", "out=https://example.org/texts")
    assert status == 2 and "cannot be written to" in err


def test_copies_are_few_and_closed(
    memory: fsspec.AbstractFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "_copies", type(remote._copies)())
    monkeypatch.setattr(remote, "KEPT", 2)
    for index in range(4):
        memory.pipe_file(f"/many/{index}.wav", memory.cat_file("/talks/a.wav"))
        assert audio_info(f"memory://many/{index}.wav").channels == 1
    assert list(remote._copies) == ["memory://many/2.wav", "memory://many/3.wav"]
    with pytest.raises(AudioError, match="no such file"):
        audio_info("memory://many/4.wav")


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://example.org/a%20b.mp3?x=1/2#c", "a b.mp3"),
        ("https://example.org", "audio"),
        ("s3://bucket/talks/what?.wav", "what?.wav"),
        ("https://example.org/x/..%2f..", "audio"),
    ],
)
def test_the_output_is_named_after_the_file(url: str, name: str) -> None:
    assert url_name(url) == name


def test_a_file_that_looks_like_a_url_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert is_url("http://a.wav")
    write(Path("http:/a.wav"), "a")
    assert not is_url("http://a.wav")
