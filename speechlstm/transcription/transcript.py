"""The transcript of a recording: text, and words with times in seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from speechlstm.data.files import write_atomically
from speechlstm.model.settings import FileName, check_argument
from speechlstm.model.tokenizer import Tokenizer, Words
from speechlstm.transcription import formats, subtitles
from speechlstm.transcription.boundaries import at_least, spike, word_times
from speechlstm.transcription.segments import Segment, segments
from speechlstm.transcription.subtitles import DEFAULT, Style
from speechlstm.types import DecoderError, Hypothesis


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a transcript: its text, start and end in seconds, and a confidence in [0, 1].

    `spoken` is what was said, if the text is a number in digits.
    """

    text: str
    start: float
    end: float
    confidence: float
    spoken: str | None = None


@dataclass(frozen=True, slots=True)
class Alternative:
    """Another text that the decoder found, its score, and what the score is made of: see `Hypothesis`."""

    text: str
    score: float
    parts: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was spoken in one recording.

    Attributes:
        audio: the path as it was given.
        text: the best text.
        words: its words with times in seconds and confidences.
        score: the decoder's score of the best text, natural log.
        duration: seconds of audio, or of a part of it, from the beginning of the recording to the end of the part.
        parts: what the score is made of, if the decoder provides it, by name: see `Hypothesis`.
        alternatives: further texts, best first, without the best one.
        tokens: what the best text was made of, such as phones.
        warnings: what of the audio is missing and when, such as `1.02 s missing at 12.4 s`.
        channels: the transcripts of the channels, if each was transcribed; the words are those of all, by their start.

    Examples:
        >>> word = Word("stop", start=0.2, end=0.75, confidence=0.9)
        >>> transcript = Transcript("call.wav", "stop", [word], score=-0.1, duration=1.0)
        >>> print(transcript.to_srt().strip())
        1
        00:00:00,200 --> 00:00:00,750
        stop
        >>> transcript.save("call.vtt")
    """

    audio: str
    text: str
    words: list[Word]
    score: float
    duration: float
    parts: dict[str, float] = field(default_factory=dict)
    alternatives: list[Alternative] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    channels: list[Transcript] = field(default_factory=list)

    def shifted(self, seconds: float) -> Transcript:
        """Return the transcript as that of a recording in which it begins later."""
        if not seconds:
            return self
        words = [replace(word, start=word.start + seconds, end=word.end + seconds) for word in self.words]
        return replace(self, words=words, duration=self.duration + seconds)

    def to_txt(self) -> str:
        """Return the text on a line of its own."""
        return formats.to_txt(self)

    @property
    def segments(self) -> list[Segment]:
        """The words between pauses, by their start; those of all channels if each was transcribed."""
        return segments(self)

    def to_srt(self, style: Style = DEFAULT) -> str:
        """Return SubRip subtitles."""
        return subtitles.to_srt(self, style)

    def to_vtt(self, style: Style = DEFAULT) -> str:
        """Return WebVTT subtitles."""
        return subtitles.to_vtt(self, style)

    def to_json(self) -> str:
        """Return everything as one line of JSON: times in seconds, scores in natural log."""
        return formats.to_json(self)

    def save(self, path: str | Path) -> None:
        """Write the transcript as a file in the format that its ending names: txt, json, srt, and so on.

        Raises:
            UsageError: there is no such format, or the path is none.
            OSError: the file cannot be written; what was there is still there.
        """
        check_argument("path", path, FileName)
        kind = formats.find_format(Path(path).suffix.removeprefix("."), formats.FORMATS)
        write_atomically(path, formats.FORMATS[kind](self))


def to_transcript(
    hypotheses: Sequence[Hypothesis],
    tokenizer: Tokenizer,
    frame_shift: float,
    audio: str,
    duration: float,
    pauses: Sequence[tuple[float, float]] = (),
) -> Transcript:
    """Give the best hypothesis its words, times and confidences.

    A word begins before the first frame of its first token and ends after the last frame of its last, as
    in `speechlstm.transcription.boundaries`. Its confidence is that of its least certain token: unlike a product or
    a mean this depends neither on the word's length nor on how certain its other letters are.

    Args:
        hypotheses: what the decoder found, best first, at least one.
        tokenizer: turns the tokens into text and words.
        frame_shift: seconds per encoder frame.
        audio: path of the audio, as it was given.
        duration: seconds of audio.
        pauses: stretches of it without speech, in seconds; see `speechlstm.transcription.boundaries.find_pauses`.

    Raises:
        DecoderError: there is no hypothesis.
    """
    if not hypotheses:
        raise DecoderError(
            f"{audio}: the decoder returned no hypothesis; it must return at least an empty one"
        )
    texts = [tokenizer.decode(h.tokens) if h.text is None else h.text for h in hypotheses]
    best = hypotheses[0]
    spelled = tokenizer.words(best.tokens)
    spikes = [spike(best.starts[first], best.ends[end - 1], frame_shift) for _, first, end in spelled]
    letters = [len(text) / (end - first) for text, first, end in spelled]
    times = word_times(spikes, letters, isinstance(tokenizer, Words), duration, pauses)
    times = at_least(times, frame_shift, duration)
    words = [
        Word(text, *span, min(best.confidences[first:end]))
        for (text, first, end), span in zip(spelled, times, strict=True)
    ]
    if best.text is not None:
        words = _named(best.text.split(), words, duration)
    others = [Alternative(text, h.score, h.parts) for text, h in zip(texts[1:], hypotheses[1:], strict=True)]
    tokens = [tokenizer.tokens[token] for token in best.tokens]
    return Transcript(audio, texts[0], words, best.score, duration, best.parts, others, tokens)


def _named(texts: list[str], words: list[Word], duration: float) -> list[Word]:
    """Give a decoder's own words the times of the tokens' words, or else shares in proportion to length."""
    if len(texts) == len(words):
        return [Word(text, w.start, w.end, w.confidence) for text, w in zip(texts, words, strict=True)]
    begin, end = (words[0].start, words[-1].end) if words else (0.0, duration)
    confidence = min((w.confidence for w in words), default=0.0)
    rate = (end - begin) / max(sum(map(len, texts)), 1)  # seconds per character
    spread, length = [], 0
    for text in texts:
        start, length = length, length + len(text)
        spread.append(Word(text, begin + start * rate, min(begin + length * rate, end), confidence))
    return spread
