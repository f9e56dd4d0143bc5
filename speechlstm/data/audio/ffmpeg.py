"""Files read by ffmpeg: mp3, aac, Ogg, containers such as m4a, mp4 and webm, and what libsndfile cannot read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import IO, Any

import av
import numpy as np
from numpy.typing import NDArray

from speechlstm.data.audio.headers import mp3_counted, mp3_frame, tag_size
from speechlstm.data.audio.losses import Losses
from speechlstm.data.audio.ogg import Link
from speechlstm.data.audio.timeline import Timeline
from speechlstm.data.audio.values import as_float32
from speechlstm.types import AudioError

# ffmpeg also reads play lists, which may name other files and addresses: let in only what holds its audio.
CONTAINERS = (
    "mov,mp4,m4a,3gp,matroska,webm,asf,avi,flv,mpegts,mpeg,ogg,flac,wav,w64,aiff,au,caf,mp3,aac,ac3,eac3,dts,truehd,"
    "amr,amrnb,amrwb,wv,tta,ape,tak,mpc,mpc8,voc,mxf,nut,rm,oma,dsf,loas"
)
# Whose headers say how long they are. Of other streams ffmpeg guesses it from the bit rate.
_STATED = (
    "mov",
    "matroska",
    "asf",
    "avi",
    "flv",
    "flac",
    "wav",
    "w64",
    "aiff",
    "caf",
    "wv",
    "tta",
    "ape",
    "au",
    "ogg",
)
# Coded sound of which a wav says no more than a bit rate: its length is guessed, too.
_VARIABLE = ("aac", "aac_latm", "mp2", "mp2float", "mp3", "mp3float", "ac3", "eac3", "dca")
# Streams without time stamps: what is lost shows only as bytes that are no frame.
_BARE = ("mp3", "aac", "ac3", "eac3", "dts", "amr", "loas", "truehd")
_TAGS = (b"ID3", b"TAG", b"APETAGEX", b"Xing", b"Info")  # in the middle of files that were joined
_SEEKABLE = ("mov", "matroska", "asf", "flac")  # and mp3 with a length: time stamps are right after seeking
_DELAYED = ("vorbis", "wmav1", "wmav2")  # codes without a frame for the first packet, which time stamps count
_SLACK = 0.1  # seconds that a header may say too much: encoders pad, and some round
_BLOCK = 1 << 16  # samples at least
_PLANES = 8  # channels apart from each other that PyAV counts rightly; of more it reads beyond the end
_ERRORS = 100  # of a container, after which it is given up

_Frame = tuple[
    NDArray[np.float32], int, float | None
]  # (samples, channels), Hz, and seconds by its time stamp


class Container:
    """A file read by ffmpeg.

    Attributes:
        sample_rate: Hz of the first sound.
        channels: of the first sound.
        samples: how many there are by the header; None if it does not say.
        exact: False: a header may say anything.
    """

    exact = False

    def __init__(self, path: str, container: Any, file: IO[bytes], link: Link | None, track: int = 0) -> None:
        tracks = container.streams.audio
        if not tracks:
            raise AudioError(f"{path}: has no audio track")
        if not 0 <= track < len(tracks):
            there = f"audio tracks are 0 to {len(tracks) - 1}" if len(tracks) > 1 else "only audio track is 0"
            raise AudioError(f"{path}: no track {track}; its {there}")
        self.container, self.stream = container, tracks[track]
        self.codec = self.stream.codec_context
        if self.codec is None:
            raise AudioError(f"{path}: its sound is in a code that cannot be decoded; convert it to wav")
        self.codec.options = {"err_detect": "crccheck+bitstream+buffer+explode"}  # an error, not a guess
        self.sample_rate, self.channels = self.stream.rate or 0, self.stream.channels or 0
        self.kind = container.format.name.split(",")[0]
        self.size = file.seek(0, os.SEEK_END) - tag_size(file)
        self.link = link
        counted = self.kind == "mp3" and mp3_counted(file)
        # Of asf it is the length of the longest stream, which may be the picture.
        beside = self.kind == "asf" and len(container.streams) > 1
        stated = self.kind in _STATED and not beside
        stated = stated and not (self.kind == "wav" and self.codec.name in _VARIABLE)
        # Where players begin: an mp3 after the encoder's delay, mov and Matroska at 0 even if nothing is there.
        start, base = self.stream.start_time, self.stream.time_base
        self.origin = (container.start_time or 0) / av.time_base
        if self.kind == "mp3" and start is not None:
            self.origin = float(start * base)
        elif self.kind in ("mov", "matroska") or (link and link.late):
            self.origin = 0.0
        self.ends: float | None = None  # by the header, in seconds
        if self.stream.duration and (counted or stated):
            begin = 0 if self.kind == "ogg" else start or 0
            self.ends = float((begin + self.stream.duration) * base) - self.origin
        elif container.duration and stated:
            self.ends = container.duration / av.time_base
        self.samples = None if self.ends is None else round(self.ends * self.sample_rate)
        self.seekable = self.ends is not None and (counted or self.kind in _SEEKABLE)
        self.latest = (
            0.0  # seconds at which packets end, those of all streams if nothing else tells the length
        )

    def blocks(
        self, start: int, count: int | None, losses: Losses
    ) -> Iterator[tuple[NDArray[np.float32], int]]:
        """Yield `(samples, channels)` and their rate in Hz from sample `start` of the header's rate on."""
        begin = start / self.sample_rate
        timeline = Timeline(
            begin, losses, None if self._seek(begin) else 0.0, complete=bool(self.link) and self.kind == "ogg"
        )
        pieces: list[NDArray[np.float32]] = []
        held, form = 0, (0, 0)  # samples in `pieces`, and their rate and channels
        for data, rate, time in self._frames(timeline):
            for piece in timeline.place(data, rate, time):
                if pieces and (held > _BLOCK or form != (rate, piece.shape[1])):
                    yield np.concatenate(pieces), form[0]
                    pieces, held = [], 0
                pieces.append(piece)
                held, form = held + len(piece), (rate, piece.shape[1])
        if pieces:
            data, over = (
                np.concatenate(pieces),
                timeline.end - self.ends if self.ends and timeline.end else 0.0,
            )
            padded = (
                self.kind == "mov" and 0 < over < _SLACK
            )  # the last frame, of which the header keeps a part
            yield data[: max(0, len(data) - round(over * form[0]))] if padded else data, form[0]

    def _seek(self, begin: float) -> bool:
        """Go to half a second before `begin`, because lossy decoders need a run-up, if that is worth it and safe."""
        seeks = self.seekable and 0.5 < begin < (self.ends or 0.0)
        if seeks:
            self.container.seek(int((self.origin + begin - 0.5) * av.time_base))
        return seeks

    def _frames(self, timeline: Timeline) -> Iterator[_Frame]:
        """Yield the decoded frames; the timeline and its losses learn of what cannot be decoded."""
        whole, first = timeline.end is not None, None
        seconds, size, failed = 0.0, 0, 0.0  # of good packets, and where the last bad one ends
        last, unread = None, self.size  # bytes
        for packet in self._packets():
            time, length = self._time(packet), float((packet.duration or 0) * packet.time_base)
            unread -= packet.size
            first, last = (
                time if first is None else first,
                packet if self.kind == "mp3" and packet.size else last,
            )
            try:
                frames = [(frame, _samples(frame)) for frame in packet.decode()]
            except (av.FFmpegError, ValueError):
                if self.kind == "wav" and bytes(packet) == b"\0":
                    pass  # not sound: a chunk of an odd size is followed by a byte that makes it even
                elif self.kind not in _BARE:
                    failed = 0.0 if time is None else time + length + timeline.shift
                elif not any(mark in bytes(packet) for mark in _TAGS):  # it is all up to the next frame
                    timeline.gap += packet.size * seconds / max(size, 1)
                continue
            seconds, size = seconds + length, size + packet.size
            for frame, data in frames:
                time = self._time(frame)
                time = None if self.kind in _BARE and timeline.end is not None else time
                if whole and not timeline.started:
                    data = data[self._priming(length, len(data)) :]
                    if self.codec.name in _DELAYED and self.kind != "ogg":
                        timeline.shift = (first or 0.0) - (time or 0.0)
                yield data, frame.sample_rate, time
        end = timeline.end or 0.0
        failed = max(failed, end + timeline.gap)
        stated = self.ends if self.ends is not None and self.ends > max(self.latest, end) + _SLACK else 0.0
        if max(stated, failed) > end + 1e-3:
            timeline.losses.add(end, max(stated, failed) - end)
        elif self.kind == "aac" and unread > 0 and size:  # ffmpeg skips what is no frame
            timeline.losses.add(failed or end, unread * seconds / size)
        elif (self.link and self.link.cut) or (last and mp3_frame(bytes(last)[:4]) > last.size):
            timeline.losses.add(end, None)

    def _packets(self) -> Iterator[Any]:
        streams = [self.stream] if self.stream.duration else list(self.container.streams)
        for _ in range(_ERRORS):
            try:
                for packet in self.container.demux(*streams):
                    if (time := self._time(packet)) is not None:
                        self.latest = max(
                            self.latest, time + float((packet.duration or 0) * packet.time_base)
                        )
                    if packet.stream_index == self.stream.index:
                        yield packet
                return
            except av.FFmpegError:
                continue

    def _time(self, timed: Any) -> float | None:
        return None if timed.pts is None else float(timed.pts * timed.time_base) - self.origin

    def _priming(self, seconds: float, samples: int) -> int:
        """Return how many samples of the encoder's run-up are left in the first frame of Opus in Matroska.

        ffmpeg takes its length for one at the rate of the original sound, but it is one at 48 kHz.
        """
        if self.kind != "matroska" or self.codec.name != "opus" or len(self.codec.extradata or b"") < 12:
            return 0
        skip = int.from_bytes(self.codec.extradata[10:12], "little")
        return max(0, skip - max(0, round(seconds * 48_000) - samples))


def _samples(frame: Any) -> NDArray[np.float32]:
    """Return a frame as `(samples, channels)` with full scale 1."""
    channels = frame.layout.nb_channels
    if channels > _PLANES and frame.format.is_planar:
        packed = av.AudioResampler(
            format=frame.format.packed.name, layout=frame.layout, rate=frame.sample_rate
        )
        return np.concatenate([_samples(each) for each in packed.resample(frame)])
    data: NDArray[Any] = frame.to_ndarray()
    return as_float32(data.T if frame.format.is_planar else data.reshape(-1, channels))
