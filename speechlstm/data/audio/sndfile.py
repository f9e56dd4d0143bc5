"""Files read by libsndfile: wav, flac, aiff, au, NIST sphere, raw and the like."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from speechlstm.data.audio.headers import flac_end, wav_sizes
from speechlstm.data.audio.losses import Losses
from speechlstm.data.audio.values import as_float32

# What `.raw` means, as in AN4's big-endian release: a file without a header cannot say.
_RAW: dict[str, Any] = {
    "format": "RAW",
    "subtype": "PCM_16",
    "endian": "BIG",
    "samplerate": 16_000,
    "channels": 1,
}
_SIZES = re.compile(r"^\s*(?:data|SSND|Data Size)\s*: (\d+) \(should be (\d+)\)", re.MULTILINE)
_PLAIN = ("PCM_", "FLOAT", "DOUBLE", "ULAW", "ALAW")  # every sample has its bytes
_BLOCK = 1 << 20  # values at a time


class Sndfile:
    """A file read by libsndfile, which opens it by its name or is given it open.

    Attributes:
        sample_rate: Hz.
        channels: how many.
        samples: how many there are by the header and by the size of the file.
        exact: that is how many can be read, because each has its bytes.
        missing: seconds that should be there by the header.
    """

    def __init__(self, path: str, content: bytes | IO[bytes], file: IO[bytes]) -> None:
        self.file = soundfile.SoundFile(content, **(_RAW if path.lower().endswith(".raw") else {}))
        self.sample_rate, self.channels = self.file.samplerate, self.file.channels
        self.samples: int | None = self.file.frames
        self.exact = self.file.format != "FLAC" and self.file.subtype.startswith(_PLAIN)
        stated, there = self._sizes(file)
        self.missing = max(0, stated - there) / max(there, 1) * self.file.frames / max(self.sample_rate, 1)
        # libsndfile reads no further than the header says, cannot read a FLAC from a pipe, and guesses at mp3.
        self.misread = there > stated or self.file.format in ("MP3", "MPEG") or self.samples > 1 << 48

    def blocks(
        self, start: int, count: int | None, losses: Losses
    ) -> Iterator[tuple[NDArray[np.float32], int]]:
        """Yield `(samples, channels)` and their rate in Hz from sample `start` on, `count` samples or to the end.

        Raises:
            soundfile.SoundFileError: it is damaged after what was yielded.
        """
        if start:
            self.file.seek(min(start, self.file.frames))
        end = self.file.frames if count is None else min(start + count, self.file.frames)
        read, kind = start, "float64" if self.file.subtype == "DOUBLE" else "float32"
        while read < end:
            size = min(end - read, max(1, _BLOCK // self.channels))
            data = self.file.read(size, kind, always_2d=True)
            read += len(data)
            yield as_float32(data), self.sample_rate
            if len(data) < size:
                break
        if read < end:
            raise soundfile.SoundFileRuntimeError("ends early")
        if self.missing and end == self.file.frames:
            losses.add(self.file.frames / self.sample_rate, self.missing)

    def _sizes(self, file: IO[bytes]) -> tuple[int, int]:
        """Return how many bytes or samples the header says there are, and how many there are."""
        size = file.seek(0, os.SEEK_END)
        if self.file.format in ("WAV", "WAVEX", "RF64"):
            return wav_sizes(file, size)
        if self.file.format == "FLAC":
            return self.file.frames, max(self.file.frames, flac_end(file, size))
        if self.file.format == "RAW":
            return size + size % 2, size
        if self.file.format == "NIST":
            file.seek(0)
            count = re.search(rb"^sample_count -i (\d+)", file.read(1024), re.MULTILINE)
            return int(count[1]) if count else 0, self.file.frames
        if found := _SIZES.search(self.file.extra_info):
            return int(found[1]), int(found[2])
        return 0, 0
