"""Live audio as blocks of samples: from a pipe, raw or as wav, or from a microphone."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Generator
from typing import Any, BinaryIO

import numpy as np
import soxr
from numpy.typing import NDArray

from speechlstm.data import progress
from speechlstm.data.audio.headers import UNKNOWN
from speechlstm.types import AudioError, UsageError

Blocks = Generator[NDArray[np.float32], None, None]

BLOCK = 0.02  # seconds that are read at a time

_PACKED = (  # how other formats begin; matroska and ASF have no letters for it
    b"fLaC", b"OggS", b"ID3", b"\x1aE\xdf\xa3", b"caff", b"FORM", b"RF64", b".snd", b"#!AMR", b"0&\xb2u",
)  # fmt: skip
_MPEG = (b"\xff\xfb", b"\xff\xfa", b"\xff\xf3", b"\xff\xf2")  # layer III without a tag; a bit rate follows
_AAC = (b"\xff\xf1", b"\xff\xf9")

_CONVERT = "convert it with `ffmpeg -i FILE -f s16le -ar 16000 -ac 1 -`"


def from_pipe(file: BinaryIO, rate: int, channels: int, wanted: int) -> Blocks:
    """Yield what a pipe brings as one channel, as soon as it is there.

    Args:
        file: raw PCM in 16 bits, little-endian, or wav with such samples, whose header then counts.
        rate: Hz of raw PCM.
        channels: of raw PCM.
        wanted: Hz of the result.

    Raises:
        AudioError: no samples at all, a wav in another format, or a file of compressed audio.
    """
    head, stated, there = file.read(8), 0, 0
    mpeg = head.startswith(_MPEG) and len(head) == 8 and 0 < head[2] >> 4 < 15
    if head.startswith((*_PACKED, *_AAC)) or mpeg or head[4:] == b"ftyp":  # the last: mp4
        raise AudioError(f"standard input: neither raw PCM nor wav, but begins with {head!r}; {_CONVERT}")
    if head[:4] == b"RIFF":
        rate, channels, stated = _wav_header(file)
        head = b""
    resampler = soxr.ResampleStream(rate, wanted, 1)
    size = 2 * channels
    held, any_samples = head, False
    while block := _read(file, size * max(1, round(BLOCK * rate))):
        if stated:  # other chunks may follow, such as one with a picture
            block = block[: stated - there]
        held, there = held + block, there + len(block)
        whole = len(held) // size * size
        samples = np.frombuffer(held[:whole], "<i2").reshape(-1, channels)
        held, any_samples = held[whole:], any_samples or whole > 0
        made = resampler.resample_chunk(samples.mean(1, dtype=np.float32) / np.float32(2**15))
        if len(made):
            yield made
    if not any_samples and len(held) < size:
        raise AudioError("standard input: no samples; check the program that feeds the pipe")
    if there < stated:
        lost = (stated - there) / size / rate
        progress.warn("standard input", [f"{lost:.2f} s missing at {there / size / rate:.1f} s"])
    rest = np.frombuffer(held[: len(held) // size * size], "<i2").reshape(-1, channels)
    yield resampler.resample_chunk(rest.mean(1, dtype=np.float32) / np.float32(2**15), last=True)


def _read(file: BinaryIO, size: int) -> bytes:
    """Return what is there, at most so many bytes, or wait for it; nothing at the end."""
    read = getattr(file, "read1", file.read)
    return bytes(read(size))


def _wav_header(file: BinaryIO) -> tuple[int, int, int]:
    """Read a wav, whose first eight bytes are read, up to its samples.

    Returns:
        its rate and channels, and how many bytes of samples follow; 0 if nobody knew.
    """
    if file.read(4) != b"WAVE":
        raise AudioError(f"standard input: RIFF, but not wav; {_CONVERT}")
    form, size = b"", 0
    while len(head := file.read(8)) == 8:
        kind, size = head[:4], int.from_bytes(head[4:], "little")
        if kind == b"data":
            break
        if size > 1 << 20:
            raise AudioError(f"standard input: a wav with a damaged header; {_CONVERT}")
        content = file.read(size + size % 2)
        form = content if kind == b"fmt " else form
    code, channels, rate, bits = (
        int.from_bytes(form[start:end], "little") for start, end in ((0, 2), (2, 4), (4, 8), (14, 16))
    )
    if code == 0xFFFE:  # extensible
        code = int.from_bytes(form[24:26], "little")
    if (code, bits) != (1, 16) or not 1 <= channels <= 64 or not 1000 <= rate <= 768_000:
        raise AudioError(f"standard input: a wav that is not PCM in 16 bits; {_CONVERT}")
    return rate, channels, size if size < UNKNOWN else 0


def _sounddevice() -> Any:
    try:
        import sounddevice
    except ImportError:
        raise UsageError("a microphone needs the extra live: pip install 'speechlstm[live]'") from None
    except OSError as error:
        raise UsageError(f"a microphone needs the PortAudio library: {error}") from None
    return sounddevice


def list_microphones() -> list[str]:
    """Return a line for each device that can record: its number, name, and channels."""
    return [
        f"{number}  {device['name']}, {device['max_input_channels']} channels, {device['default_samplerate']:.0f} Hz"
        for number, device in enumerate(_sounddevice().query_devices())
        if device["max_input_channels"] > 0
    ]


def from_microphone(device: int | str | None, wanted: int) -> Blocks:
    """Begin to record, and return blocks from a microphone at its own rate, resampled to `wanted` Hz.

    Raises:
        UsageError: there is no such device, or none at all.
        AudioError: from the iterator, when the microphone has gone away.
    """
    sounddevice = _sounddevice()
    blocks: queue.SimpleQueue[NDArray[np.float32]] = queue.SimpleQueue()
    try:
        rate = int(sounddevice.query_devices(device, "input")["default_samplerate"])
        stream = sounddevice.InputStream(
            rate, round(BLOCK * rate), device, 1, "float32",
            callback=lambda samples, *_: blocks.put(samples[:, 0].copy()),
        )  # fmt: skip
        stream.start()
    except (ValueError, sounddevice.PortAudioError) as error:
        name = "a microphone" if device is None else f"device={device}"
        raise UsageError(f"{name} cannot be opened ({error}); devices=true lists what there is") from None
    return _recorded(stream, blocks, soxr.ResampleStream(rate, wanted, 1))


def _recorded(
    stream: Any, blocks: queue.SimpleQueue[NDArray[np.float32]], resampler: soxr.ResampleStream
) -> Blocks:
    """Yield what a started stream puts into the queue, until it stops."""
    with stream:
        while True:
            with contextlib.suppress(queue.Empty):
                yield resampler.resample_chunk(blocks.get(timeout=2.0))
                continue
            if not stream.active:
                raise AudioError("the microphone has gone away")
