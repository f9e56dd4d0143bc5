"""Which part of which recording to read, and its length."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from speechlstm.data.audio import AudioInput, audio_info, audio_name, kept, load_audio, stream_audio
from speechlstm.types import AudioError, Utterance

MAX_SECONDS = 600.0  # longest recording that the encoder sees whole where it must

Read = tuple[NDArray[np.float32], list[str]]  # a waveform, and warnings


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a recording, whose times count from the recording's beginning.

    Attributes:
        audio: the recording.
        offset: where the part begins, in seconds.
        duration: its length in seconds, at most to the end; None: to the end.
        channel: to take; None mixes all.
        track: of a container, counted from 0.
    """

    audio: AudioInput
    offset: float = 0.0
    duration: float | None = None
    channel: int | None = None
    track: int = 0


@dataclass(frozen=True, slots=True)
class Job:
    """What to read of which recording; `seconds` is its length for sorting, `exact` says that it must have it."""

    index: int
    part: Part
    seconds: float
    exact: bool = False

    @property
    def name(self) -> str:
        """What the recording is called."""
        return audio_name(self.part.audio)

    @property
    def origin(self) -> float:
        """Second of the recording that the transcript's times count from."""
        return 0.0 if self.exact else self.part.offset

    def stream(self, sample_rate: int, strict: bool, warnings: list[str]) -> Iterator[NDArray[np.float32]]:
        """Yield the samples, as `speechlstm.data.audio.stream_audio` does."""
        part = self.part
        return stream_audio(
            part.audio, sample_rate, part.offset, part.duration, part.channel,
            track=part.track, clip=not self.exact, strict=strict, warnings=warnings,
        )  # fmt: skip

    def read(self, sample_rate: int, strict: bool) -> Read:
        """Return all samples, as `speechlstm.data.audio.load_audio` does, and warnings."""
        part, warnings = self.part, list[str]()
        audio = load_audio(
            part.audio, sample_rate, part.offset, part.duration, part.channel,
            track=part.track, clip=not self.exact, strict=strict, warnings=warnings,
        )  # fmt: skip
        return audio, warnings


def find_job(index: int, given: AudioInput | Part | Utterance) -> Job | AudioError:
    """Learn the length of a recording."""
    if isinstance(given, Utterance):
        part = Part(given.audio_filepath, given.offset, given.duration or None, given.channel)
    else:
        part = given if isinstance(given, Part) else Part(given)
    if isinstance(given, Utterance) and part.duration is not None:
        return Job(index, part, part.duration, exact=True)
    try:
        part = replace(part, audio=kept(part.audio))  # it is opened for its length, and again for its samples
        seconds = audio_info(part.audio, exact=False, track=part.track).duration - part.offset
        if seconds > MAX_SECONDS and part.duration is None:  # that is what the header says
            seconds = audio_info(part.audio, strict=False, track=part.track).duration - part.offset
    except AudioError as error:
        return error
    return Job(index, part, min(seconds, part.duration or seconds), exact=isinstance(given, Utterance))
