"""Files read by ffmpeg: mp3, aac, and containers such as m4a, mp4 and webm."""

from __future__ import annotations

from typing import IO, Any

import av
import numpy as np
from numpy.typing import NDArray

from speechlstm.types import AudioError

# ffmpeg also reads play lists, which may name other files and addresses: let in only what holds its audio.
CONTAINERS = "mov,mp4,m4a,3gp,matroska,webm,aac,asf,amr,avi,flv,mpegts,ac3,eac3,wav,ogg,flac,mp3,caf"


class Container:
    """A file read by ffmpeg."""

    def __init__(self, path: str, container: Any, file: IO[bytes]) -> None:
        self.container = container
        if not container.streams.audio:
            raise AudioError(f"{path}: has no audio track")
        self.stream = container.streams.audio[0]
        self.sample_rate, self.channels = self.stream.rate, self.stream.channels
        self.samples: int | None = None
        kind = container.format.name
        # Encoders may or may not count an mp3's first frame; others round times and keep the decoder's delay.
        self.slack = 1152 if kind == "mp3" else round(0.1 * self.sample_rate)
        if kind == "aac" or (kind == "mp3" and not _mp3_tells_length(file)):
            return  # no header says how long it is, and ffmpeg guesses from the bit rate
        if self.stream.duration:
            self.samples = round(float(self.stream.duration * self.stream.time_base) * self.sample_rate)
        elif container.duration:
            self.samples = round(container.duration / av.time_base * self.sample_rate)

    def read(self, start: int, count: int | None) -> NDArray[np.float32]:
        """Return `(samples, channels)` from sample `start` on; `count` None reads to the end."""
        rate, seekable = self.sample_rate, self.samples is not None
        origin = float((self.stream.start_time or 0) * self.stream.time_base)  # mp3: the encoder's delay
        if start > rate / 2 and seekable:  # half a second early: lossy decoders need a run-up
            self.container.seek(int((origin + start / rate - 0.5) * av.time_base))
        resampler = av.AudioResampler(format="fltp", layout=self.stream.layout, rate=rate)
        pieces: list[NDArray[Any]] = []
        begin, have = (
            0,
            0,
        )  # where decoding began (below 0: in the encoder's delay), and samples decoded since
        for frame in self.container.decode(self.stream):
            if not pieces and seekable and frame.pts is not None:
                begin = round((float(frame.pts * frame.time_base) - origin) * rate)
            for piece in resampler.resample(frame):
                pieces.append(piece.to_ndarray())
                have += piece.samples
            if count is not None and begin + have >= start + count:
                break
        if not pieces:
            return np.zeros((0, self.channels), np.float32)
        data: NDArray[np.float32] = np.concatenate(pieces, axis=1).T[max(0, start - begin) :]
        return data if count is None else data[:count]


def _mp3_tells_length(file: IO[bytes]) -> bool:
    """Whether the first frame of an mp3 is a header with the number of frames (Xing, Info or VBRI)."""
    file.seek(0)
    head = file.read(10)
    if head.startswith(b"ID3"):  # 28-bit size of the tag, seven bits in a byte
        file.seek(10 + sum(byte << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True)))
    else:
        file.seek(0)
    frame = file.read(2048)
    return any(mark in frame for mark in (b"Xing", b"Info", b"VBRI"))
