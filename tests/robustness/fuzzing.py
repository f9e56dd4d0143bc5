"""Changed files for every reader: what it makes of them is a result or one line that names the file, in bounded memory.

The changes follow from a seed, so that a case can be had again. Run as a program, `fuzzing.py SECONDS [READER ...]`
tries seeds of each reader for that many seconds of CPU, and prints how many files were tried.
"""

from __future__ import annotations

import atexit
import json
import os
import resource
import shutil
import signal
import sys
import tarfile
import tempfile
import time
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random
from typing import NamedTuple

import numpy as np
import torch
from small_arpa import ARPA, CHARACTERS, scores
from speech_files import CODED, RATE, mux
from tiny_bundle import checkpoint, make

import speechlstm
from speechlstm.configs import files
from speechlstm.data.audio import load_audio
from speechlstm.data.manifest import read_manifest
from speechlstm.decoders import create
from speechlstm.decoders.beam.hotwords import read_hotwords
from speechlstm.decoders.lm import load, read_arpa
from speechlstm.decoders.lm.corpus import read_corpus, splitter
from speechlstm.decoders.lm.lstm import MARKS, LstmLM, load_lstm
from speechlstm.model.bundle import load_bundle
from speechlstm.model.selftest import save_bundle, verify
from speechlstm.model.tokenizer import Phones
from speechlstm.training.warmstart import read
from speechlstm.types import SpeechlstmError

MEMORY = 400e6  # bytes that a file of some kilobytes may take
SECONDS = 20  # that it may take
WORDS = (
    b'"',
    b"{",
    b"[",
    b"\\",
    b"\n",
    b"\t",
    b"\0",
    b"-1",
    b"1e999",
    b"nan",
    b"null",
    b"99999999999",
    b"\xff\xfe",
)
NUMBERS = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 1 << 40, (1 << 64) - 1)


class Reader(NamedTuple):
    """Makes a good file in a folder, and reads a changed one."""

    make: Callable[[Path], Path]
    read: Callable[[Path], object]
    mend: Callable[[bytes], bytes] = bytes  # puts right what would hide the change, as a checksum does
    named: bool = True  # messages name the file


def audio(ending: str) -> Reader:
    def make_file(folder: Path) -> Path:
        if ending == "wav":
            return mux(folder / "a.wav", "wav", "pcm_s16le")
        form, codec, rate, _ = CODED[ending]
        return mux(folder / f"a.{ending}", form, codec, rate)

    return Reader(make_file, lambda path: load_audio(path, RATE, strict=False))


def text(name: str, content: str, reads: Callable[[Path], object]) -> Reader:
    def make_file(folder: Path) -> Path:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content)
        return folder / name

    return Reader(make_file, reads)


def part(name: str) -> Reader:
    """Return the reader of a file of a bundle."""

    def make_file(folder: Path) -> Path:
        save_bundle(make(), folder / "tiny", "")
        decoder = "beam" if name == "decoder.json" else "greedy"
        (folder / "tiny/decoder.json").write_text(json.dumps({"name": decoder}))
        return folder / "tiny" / name

    def reads(path: Path) -> None:
        speechlstm.load(path.parent).create_decoder()
        verify(load_bundle(path.parent))

    return Reader(make_file, reads, named=name != "decoder.json")  # a command line may change its settings


def archive(folder: Path) -> Path:
    mux(folder / "x.wav", "wav", "pcm_s16le")
    with tarfile.open(folder / "a.tar", "w", format=tarfile.GNU_FORMAT) as tar:
        tar.add(folder / "x.wav", "x.wav")
    return folder / "a.tar"


def trained(folder: Path) -> Path:
    torch.save(checkpoint(), folder / "a.ckpt")
    return folder / "a.ckpt"


def cached(folder: Path) -> Path:
    os.environ["SPEECHLSTM_CACHE"] = str(folder / "user")
    (folder / "lm.arpa").write_text(ARPA)
    load(folder / "lm.arpa")
    return next((folder / "user").iterdir())


def lstm(folder: Path) -> Path:
    LstmLM([*MARKS, "a", "bad", "café"], 4, 6).save(folder / "lm.safetensors")
    return folder / "lm.safetensors"


def signed(content: bytes) -> bytes:
    """Return a cache with the checksum of its content, if it has the line for it."""
    fields = content[:64].split()
    if len(fields) != 3:
        return content
    return b"%s %08x %s".ljust(63) % (fields[0], zlib.crc32(content[64:]), fields[2]) + b"\n" + content[64:]


def cache_read(path: Path) -> None:
    scores(load(path.parent.parent / "lm.arpa"))


LINES = "".join(
    json.dumps({"audio_filepath": f"{n}.wav", "duration": 1.5, "text": "a bad café", "speaker": n}) + "\n"
    for n in range(5)
)
YAML = "name: greedy\nlist: [1, 2, {a: b}]\nanchor: &x {deep: 'text'}\nalso: *x\nblock: |\n  some\n  lines\n"
READERS: dict[str, Reader] = {
    **{ending: audio(ending) for ending in ("wav", "flac", "mp3", "m4a", "webm", "opus", "aac", "wma", "avi", "caf")},
    "tar": Reader(archive, lambda path: load_audio(f"{path}@0/x.wav", RATE, strict=False)),
    "manifest": text("m.jsonl", LINES, lambda path: read_manifest(path, [])),
    "text": text("text.txt", "one two three\ntwo three\n" * 9, lambda path: read_corpus(splitter("word"), [path])),
    "lexicon": text("l.dic", "BAD B AE D\nA AH\nA(2) EY\n", lambda path: Phones.from_texts([], path)),
    "words": text("w.txt", "ab\nb\nca\n", lambda path: create("beam", CHARACTERS, words=path, lexicon="strict")),
    "hotwords": text("h.txt", "ab\t3\nb\n", lambda path: read_hotwords(path, 5.0)),
    "arpa": text("lm.arpa", ARPA, read_arpa),
    "arpa cache": Reader(cached, cache_read, signed),
    "lstm": Reader(lstm, lambda path: load_lstm(path).score([["a", "bad"], ["a", "café"]])),
    "settings": text("c/mine.yaml", YAML, lambda path: files.check([f"--config-dir={path.parent}"])),
    "weights": part("model.safetensors"),
    "self-test": part("selftest.safetensors"),
    "config": part("config.json"),
    "tokens": part("tokens.txt"),
    "decoder": part("decoder.json"),
    "checkpoint": Reader(trained, read),
}  # fmt: skip


def changed(content: bytes, random: Random) -> bytes:
    """Return a file's content with one to five changes, half of them near its beginning."""
    data = bytearray(content)
    for _ in range(random.randint(1, 5)):
        size = max(1, min(len(data), random.choice((64, 512, len(data)))))
        at, length = random.randrange(size), random.choice((1, 2, 4, 8, 100))
        number = random.choice(NUMBERS) & (1 << 8 * min(length, 8)) - 1
        match random.randrange(8):
            case 0:
                data[at : at + 1] = bytes([random.randrange(256)])
            case 1:
                data[at : at + length] = random.randbytes(length)
            case 2:
                data[at : at + length] = number.to_bytes(min(length, 8), random.choice(("little", "big")))
            case 3:
                data[at:at] = random.choice(WORDS) * random.choice((1, 1, 2, 999))
            case 4:
                del data[at : at + length]
            case 5:
                data[at:at] = data[at : at + 10 * length]
            case 6:
                other = random.randrange(size)
                data[at : at + length] = data[other : other + length]
            case 7:
                del data[random.randrange(len(data) + 1) if random.random() < 0.3 else len(data) - at :]
    return bytes(data)


def attempt(reader: Reader, path: Path, content: bytes) -> None:
    """Read a changed file.

    Raises:
        AssertionError: the message is not one line that names the file, or it took too much memory.
        Exception: any other than the package's own.
    """
    path.write_bytes(content)
    Path("/proc/self/clear_refs").write_text("5")
    before = peak()
    try:
        reader.read(path)
    except SpeechlstmError as error:
        message = str(error)
        assert not reader.named or path.name in message or path.parent.name in message, message
        assert len(message) < 2500 and message.count("\n") <= 10, message
        message.encode()
    assert peak() - before < MEMORY, f"{peak() - before:,} bytes"


def peak() -> int:
    """Return the most memory that this process has used since it last forgot that, in bytes."""
    return 1024 * int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])


@cache
def made(name: str) -> tuple[Path, bytes]:
    """Return a good file of a reader and its content."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = READERS[name].make(folder)
    content = path.read_bytes()
    READERS[name].read(path)
    return path, content


def fuzz(name: str, seeds: range, seconds: float = 1e9) -> int:
    """Try the seeds of a reader in a process of its own, as compiled code may end it, and return how many were tried.

    Raises:
        AssertionError: one of them ended in anything but a result or a proper error.
    """
    reader, (path, content) = READERS[name], made(name)
    with tempfile.NamedTemporaryFile() as file:
        log = Path(file.name)
        child = os.fork()
        if not child:
            _try_all(reader, path, content, seeds, seconds, log)
        ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        tried = log.read_text().split("\n")
    assert ended == 0, f"{name}, seed {tried[-1] if ended < 0 else ''}: status {ended} {chr(10).join(tried)}"
    return int(tried[0])


def _try_all(reader: Reader, path: Path, content: bytes, seeds: range, seconds: float, log: Path) -> None:
    import traceback

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    torch.set_num_threads(1)  # those of the parent are not here
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libraries complain there
    begun, seed, status = time.process_time(), seeds.start, 0
    try:
        for seed in seeds:
            log.write_text(f"{seed}")
            signal.alarm(SECONDS)
            attempt(reader, path, reader.mend(changed(content, Random(seed))))
            if time.process_time() - begun > seconds:
                break
        log.write_text(f"{seed - seeds.start + 1}")
    except BaseException:
        log.write_text(f"{seed}\n{traceback.format_exc()}")
        status = 1
    os._exit(status)


if __name__ == "__main__":
    np.seterr(all="ignore")
    total = 0
    for each in sys.argv[2:] or READERS:
        count = fuzz(each, range(10**6, 2 * 10**6), float(sys.argv[1]))
        print(f"{each:<12} {count:>8,} files", flush=True)
        total += count
    print(f"{'all':<12} {total:>8,} files")
