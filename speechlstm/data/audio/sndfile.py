"""Files read by libsndfile: wav, flac, ogg, opus, NIST sphere, raw."""

from __future__ import annotations

import os
import re
from typing import IO, Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from speechlstm.types import AudioError

# What `.raw` means, as in AN4's big-endian release: a file without a header cannot say.
_RAW: dict[str, Any] = {
    "format": "RAW",
    "subtype": "PCM_16",
    "endian": "BIG",
    "samplerate": 16_000,
    "channels": 1,
}
_SIZES = re.compile(r"^\s*(?:data|SSND|Data Size|riff|Riff size)\s*: (\d+) \(should be (\d+)\)", re.MULTILINE)


class Sndfile:
    """A file read by libsndfile, which opens it by its name or is given it open."""

    slack = 0

    def __init__(self, path: str, content: bytes | IO[bytes]) -> None:
        options = _RAW if path.lower().endswith(".raw") else {}
        self.file = soundfile.SoundFile(content, **options)
        self.sample_rate, self.channels = self.file.samplerate, self.file.channels
        self.samples: int | None = self.file.frames

    def read(self, start: int, count: int | None) -> NDArray[np.float32]:
        """Return `(samples, channels)` from sample `start` on; `count` None reads to the end."""
        if start:
            self.file.seek(start)
        data: NDArray[np.float32] = self.file.read(-1 if count is None else count, "float32", always_2d=True)
        return data

    def check(self, path: str, file: IO[bytes]) -> None:
        """Compare what the header says with what is there, which libsndfile only notes in its log."""
        said, there, unit = 0, 0, "bytes"
        if self.file.format == "OGG" and not _ogg_ends(file):
            raise AudioError(
                f"{path}: truncated, no end mark; copy it again, or convert it to keep what is left"
            )
        if self.file.format == "NIST":
            file.seek(0)
            count = re.search(rb"^sample_count -i (\d+)", file.read(1024), re.MULTILINE)
            said, there, unit = int(count[1]) if count else 0, self.file.frames, "samples"
        elif self.file.format == "RAW":
            there = file.seek(0, os.SEEK_END)
            said = there + there % 2
        elif found := _SIZES.search(self.file.extra_info):
            said, there = int(found[1]), int(found[2])
            if 0x7FFF_0000 <= said <= 0xFFFF_FFFF:
                return  # written to a pipe: the length was not known when the header was
        if said > there:
            raise AudioError(
                f"{path}: truncated, {there} of {said} {unit} are there; copy or download it again"
            )


class UnrecognisedError(Exception):
    """libsndfile does not know the format."""


def open_sndfile(path: str, content: bytes | IO[bytes]) -> Sndfile:
    """Open a file.

    Raises:
        UnrecognisedError: no format of libsndfile's; another error says that the file is damaged.
    """
    try:
        return Sndfile(path, content)
    except soundfile.LibsndfileError as error:
        if "not recognised" in error.error_string or "unknown format" in error.error_string:
            raise UnrecognisedError from None
        raise


def _ogg_ends(file: IO[bytes]) -> bool:
    """Whether the last Ogg page is whole and marked as the end (RFC 3533, section 6)."""
    file.seek(max(0, file.seek(0, os.SEEK_END) - 0x1_0000))  # a page is at most 65,307 bytes
    tail = file.read()
    page = tail[max(0, tail.rfind(b"OggS\0")) :]
    return len(page) > 27 and bool(page[5] & 4) and len(page) >= 27 + page[26] + sum(page[27 : 27 + page[26]])
