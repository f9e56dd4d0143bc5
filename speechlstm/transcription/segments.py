"""Words between pauses: the segments of a transcript, and the turns of a conversation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from speechlstm.transcription.subtitles import MAX_PAUSE

if TYPE_CHECKING:
    from speechlstm.transcription.transcript import Transcript, Word

MOST = 30.0  # seconds of a segment, unless one word takes longer


@dataclass(frozen=True, slots=True)
class Segment:
    """Words without a long pause between them.

    Attributes:
        id: its number in the transcript, from 0.
        start, end: seconds.
        words: in order, at least one.
        channel: of the recording, if each was transcribed.
    """

    id: int
    start: float
    end: float
    words: Sequence[Word]
    channel: int | None = None

    @property
    def text(self) -> str:
        """The words, with spaces between them."""
        return " ".join(word.text for word in self.words)


def segments(transcript: Transcript) -> list[Segment]:
    """Return the segments of a transcript by their start, those of all channels together."""
    channels: dict[int | None, Transcript] = dict(enumerate(transcript.channels)) or {None: transcript}
    parts = [(words, channel) for channel, each in channels.items() for words in _split(each.words)]
    parts.sort(key=lambda part: part[0][0].start)
    return [
        Segment(number, words[0].start, words[-1].end, words, channel)
        for number, (words, channel) in enumerate(parts)
    ]


def _split(words: Sequence[Word]) -> Iterator[list[Word]]:
    """Yield words up to a pause of `MAX_PAUSE`; where there is none for `MOST` seconds, up to the longest pause."""
    part: list[Word] = []
    for word in words:
        if part and word.start - part[-1].end > MAX_PAUSE:
            yield part
            part = []
        while part and word.end - part[0].start > MOST:
            late = part[0].start + MOST / 2
            gaps = [
                (after.start - before.end, index)
                for index, (before, after) in enumerate(zip(part, [*part[1:], word], strict=True), 1)
                if after.start >= late
            ]
            cut = max(gaps, default=(0.0, len(part)))[1]
            yield part[:cut]
            part = part[cut:]
        part.append(word)
    if part:
        yield part
