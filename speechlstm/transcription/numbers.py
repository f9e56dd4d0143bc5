"""Spoken numbers as digits (inverse text normalization), by the package text2num."""

from __future__ import annotations

from dataclasses import dataclass, replace

from speechlstm.transcription.channels import with_channels
from speechlstm.transcription.transcript import Transcript, Word
from speechlstm.types import UsageError

PAUSE = 0.5  # seconds of silence that separate two numbers


@dataclass(frozen=True, slots=True)
class _Token:
    """A word as text2num asks about it."""

    word: Word

    def text(self) -> str:
        return self.word.text

    def text_lowercase(self) -> str:
        return self.word.text.lower()

    def nt_separated(self, previous: _Token) -> bool:
        return self.word.start - previous.word.end > PAUSE

    def not_a_number_part(self) -> bool:
        return False


def with_digits(transcript: Transcript, language: str) -> Transcript:
    """Return a transcript whose spoken numbers are digits: "twenty one" becomes "21", "third" "3rd".

    The words of a number become one word from the start of the first to the end of the last, as certain as the least
    certain of them; `Word.spoken` keeps what was said. Small numbers alone, as in "one of them", stay words.

    Args:
        transcript: as it was recognized.
        language: ISO 639-1 code, such as `en`.

    Raises:
        UsageError: text2num is not installed.
    """
    try:
        from text_to_num import find_numbers
    except ImportError:
        raise UsageError("text.itn needs the extra numbers: pip install 'speechlstm[numbers]'") from None
    if transcript.channels:  # of what two people say at once, no number is made
        return with_channels(transcript, [with_digits(channel, language) for channel in transcript.channels])
    words, text, done = list[Word](), transcript.text, 0
    for number in find_numbers([_Token(word) for word in transcript.words], language):
        parts = transcript.words[number.start : number.end]
        words += transcript.words[done : number.start]
        spoken = " ".join(part.text for part in parts)
        confidence = min(part.confidence for part in parts)
        words.append(Word(number.text, parts[0].start, parts[-1].end, confidence, spoken))
        done = number.end
    words += transcript.words[done:]
    if done:
        text = " ".join(word.text for word in words)
    return replace(transcript, text=text, words=words)
