"""Transcripts as files that people and programs read.

Every format is a function `Transcript -> str` in `FORMATS`; its name there is also the file suffix.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speechlstm.transcription.subtitles import MAX_PAUSE, cues, flat, timed
from speechlstm.types import UsageError

if TYPE_CHECKING:
    from speechlstm.transcription.transcript import Alternative, Transcript, Word


def to_txt(transcript: Transcript) -> str:
    """Return the text on a line of its own, or a line for each turn of a channel."""
    if not transcript.channels:
        return flat(transcript.text) + "\n"
    turns: list[tuple[str, list[Word]]] = []
    for label, words in _parts(transcript):
        for before, word in zip([None, *words], words, strict=False):
            if before is None or word.start - before.end > MAX_PAUSE:
                turns.append((label, []))
            turns[-1][1].append(word)
    turns.sort(key=lambda turn: turn[1][0].start)
    return "".join(f"{label}: {flat(' '.join(word.text for word in words))}\n" for label, words in turns)


def to_json(transcript: Transcript) -> str:
    """Return everything as one line of JSON: seconds, scores in natural log (null if infinite)."""
    document = {"audio": transcript.audio, "duration": round(transcript.duration, 3), **_contents(transcript)}
    if transcript.warnings:
        document["warnings"] = transcript.warnings
    if transcript.channels:
        document["channels"] = [
            {"channel": number, **_contents(each)} for number, each in enumerate(transcript.channels)
        ]
    return json.dumps(document, ensure_ascii=False, allow_nan=False) + "\n"


def _contents(transcript: Transcript) -> dict[str, Any]:
    return {
        "text": transcript.text,
        **_scores(transcript),
        "words": [as_entry(word) for word in transcript.words],
        "alternatives": [{"text": other.text, **_scores(other)} for other in transcript.alternatives],
    }


def _parts(transcript: Transcript) -> list[tuple[str, Sequence[Word]]]:
    """Return the words of each channel with its name, or all of them with an empty one."""
    if not transcript.channels:
        return [("", transcript.words)]
    return [(f"channel {number}", each.words) for number, each in enumerate(transcript.channels)]


def _labeled(transcript: Transcript, mark: str) -> list[tuple[int, int, str, str]]:
    """Return `(start, end, channel, text)` of subtitles in milliseconds, by their start.

    Args:
        transcript: of one channel or several.
        mark: how a cue of several channels begins, such as `[{}]`.
    """
    found = []
    for label, words in _parts(transcript):
        for start, end, text in cues(words, mark.format(label) if label else ""):
            found.append((start, end, label, text))
    return sorted(found, key=lambda cue: cue[0])


def _scores(found: Transcript | Alternative) -> dict[str, Any]:
    """Return the score and, if the decoder tells, its parts."""
    parts = {name: finite(value) for name, value in found.parts.items()}
    return {"score": finite(found.score)} | ({"parts": parts} if parts else {})


def as_entry(word: Word) -> dict[str, Any]:
    """Return a word, or another stretch with a text, as plain JSON: times in whole milliseconds."""
    times = {"start": round(word.start, 3), "end": round(word.end, 3)}
    return {"text": word.text, **times, "confidence": round(word.confidence, 4)}


def to_srt(transcript: Transcript) -> str:
    """Return SubRip subtitles, in brackets the channel if there are several; without words the file is empty."""
    # The format has no escapes; an arrow in the text would be taken for a time line.
    return "".join(
        f"{number}\n{_clock(start, ',')} --> {_clock(end, ',')}\n{text.replace('-->', '-- >')}\n\n"
        for number, (start, end, _, text) in enumerate(_labeled(transcript, "[{}]"), 1)
    )


def to_vtt(transcript: Transcript) -> str:
    """Return WebVTT subtitles, with `&`, `<` and `>` escaped; channels are voices."""
    shown = "".join(
        f"\n{_clock(start, '.')} --> {_clock(end, '.')}\n"
        + (f"<v {label}>" if label else "")
        + text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        + "\n"
        for start, end, label, text in _labeled(transcript, "")
    )
    return "WEBVTT\n" + shown


def to_ctm(transcript: Transcript) -> str:
    """Return NIST's time-marked words: `file channel start duration word confidence`.

    The file is named without folder and suffix, as scorers expect, and with `_` for spaces. Without words
    there is one comment.
    """
    name = re.sub(r"\s|^;", "_", Path(transcript.audio).stem) or "_"
    lines = []
    for channel, (_, words) in enumerate(_parts(transcript), 1):
        for word, start, end in timed(words):
            times = f"{start / 1000:.3f} {(end - start) / 1000:.3f}"
            text = re.sub(r"\s+", "_", word.text.strip())
            lines.append(f"{name} {channel} {times} {text} {word.confidence:.4f}\n")
    return "".join(lines) or f";; {name}: no words\n"


def to_textgrid(transcript: Transcript) -> str:
    """Return a Praat TextGrid with one tier, `words`, or one for each channel."""
    return textgrid(transcript.duration, {label or "words": words for label, words in _parts(transcript)})


def textgrid(duration: float, tiers: Mapping[str, Sequence[Word]]) -> str:
    """Return a Praat TextGrid whose intervals tile the audio in each tier; quotes are doubled.

    Args:
        duration: seconds of audio.
        tiers: names, and the words of each in order.
    """
    total = max(round(duration * 1000), 1, *map(len, tiers.values()))
    placed = {name: _within(list(timed(words)), total) for name, words in tiers.items()}
    lines = [
        'File type = "ooTextFile"',
        'Object class = "TextGrid"',
        "",
        "xmin = 0",
        f"xmax = {total / 1000:.3f}",
        "tiers? <exists>",
        f"size = {len(placed)}",
        "item []:",
    ]
    for tier, (name, words) in enumerate(placed.items(), 1):
        intervals = list(_tiled(words, total))
        lines += [
            f"    item [{tier}]:",
            '        class = "IntervalTier"',
            f'        name = "{name}"',
            "        xmin = 0",
            f"        xmax = {total / 1000:.3f}",
            f"        intervals: size = {len(intervals)}",
        ]
        for number, (start, end, text) in enumerate(intervals, 1):
            lines += [
                f"        intervals [{number}]:",
                f"            xmin = {start / 1000:.3f}",
                f"            xmax = {end / 1000:.3f}",
                '            text = "{}"'.format(text.replace('"', '""')),
            ]
    return "\n".join(lines) + "\n"


FORMATS: dict[str, Callable[[Transcript], str]] = {
    "txt": to_txt,
    "json": to_json,
    "srt": to_srt,
    "vtt": to_vtt,
    "ctm": to_ctm,
    "TextGrid": to_textgrid,
}


def _within(placed: list[tuple[Word, int, int]], limit: int) -> list[tuple[Word, int, int]]:
    """Move words that end after a limit before it, a millisecond each at least."""
    moved = []
    for word, start, end in reversed(placed):
        end = min(end, limit)
        limit = min(start, end - 1)
        moved.append((word, limit, end))
    return moved[::-1]


def _tiled(placed: Sequence[tuple[Word, int, int]], total: int) -> Iterator[tuple[int, int, str]]:
    """Yield intervals from 0 to `total` milliseconds: the words, and empty texts between them."""
    cursor = 0
    for word, start, end in placed:
        if start > cursor:
            yield cursor, start, ""
        yield start, end, flat(word.text)
        cursor = end
    if cursor < total:
        yield cursor, total, ""


def _clock(milliseconds: int, separator: str) -> str:
    seconds, milliseconds = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{separator}{milliseconds:03}"


def find_formats(
    given: Any, out: Path | None, formats: Collection[str], default: str
) -> tuple[list[str], bool]:
    """Return the formats that a command writes, and whether `out` is one file in that format.

    Args:
        given: a format, or several in a list or with commas between them; None takes that of the ending of `out`.
        out: where to; a name that ends in a format, and is no folder, is a file.
        formats: those there are.
        default: what is written if nothing says a format.

    Raises:
        UsageError: there is no such format, or `out` does not fit it.
    """
    known = {each.lower(): each for each in formats}
    is_folder = out is None or out.is_dir()
    ending = None if out is None or is_folder else known.get(out.suffix.removeprefix(".").lower())
    names = (
        str(given).split(",") if isinstance(given, str | int | float) else list(given or [ending or default])
    )
    kinds = list(dict.fromkeys(find_format(name, formats) for name in names))
    if ending and kinds != [ending]:
        raise UsageError(
            f"out={out} is a file in the format {ending} by its name, but format={','.join(kinds)}: "
            "give one of them, or out=FOLDER"
        )
    if out is not None and out.exists() and not is_folder and not ending:
        raise UsageError(f"out={out} is a file, but must be a folder, or end in .{', .'.join(formats)}")
    return kinds, ending is not None


def find_format(name: Any, formats: Collection[str]) -> str:
    """Return the format of this name, whatever its case.

    Raises:
        UsageError: there is none; a similar one is named.
    """
    known = {each.lower(): each for each in formats}
    if str(name).lower() not in known:
        close = difflib.get_close_matches(str(name), formats, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise UsageError(f"no format {str(name)!r}{hint}; there are: {', '.join(formats)}")
    return known[str(name).lower()]


def finite(score: float) -> float | None:
    """Return a score as JSON can hold it: rounded, null if it is infinite or not a number."""
    return round(score, 4) if math.isfinite(score) else None
