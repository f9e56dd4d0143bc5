"""Transcripts as files that people and programs read.

Every format is a function `Transcript -> str` in `FORMATS`; its name there is also the file suffix.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rapidfuzz import process
from rapidfuzz.distance import OSA

from speechlstm.data.audio import AUDIO_SUFFIXES
from speechlstm.data.files import folder_path, is_folder, is_stdout
from speechlstm.data.names import expanded
from speechlstm.data.remote import is_url
from speechlstm.transcription.segments import segments
from speechlstm.transcription.subtitles import Style, flat, parts, timed, to_ass, to_srt, to_vtt
from speechlstm.transcription.textgrid import textgrid
from speechlstm.types import UsageError

if TYPE_CHECKING:
    from speechlstm.transcription.transcript import Alternative, Transcript, Word


def to_txt(transcript: Transcript) -> str:
    """Return the text on a line of its own, or a line for each segment of a channel."""
    if not transcript.channels:
        return flat(transcript.text) + "\n"
    return "".join(f"channel {each.channel}: {flat(each.text)}\n" for each in segments(transcript))


def to_json(transcript: Transcript) -> str:
    """Return everything as one line of JSON: seconds, scores in natural log (null if infinite)."""
    document = {"audio": transcript.audio, "duration": round(transcript.duration, 3), **_contents(transcript)}
    document["segments"] = [
        {"id": each.id, "start": round(each.start, 3), "end": round(each.end, 3), "text": each.text}
        | {"channel": each.channel, "words": [as_entry(word) for word in each.words]}
        for each in segments(transcript)
    ]
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


def _scores(found: Transcript | Alternative) -> dict[str, Any]:
    """Return the score and, if the decoder tells, its parts."""
    parts = {name: finite(value) for name, value in found.parts.items()}
    return {"score": finite(found.score)} | ({"parts": parts} if parts else {})


def as_entry(word: Word) -> dict[str, Any]:
    """Return a word, or another stretch with a text, as plain JSON: times in whole milliseconds."""
    times = {"start": round(word.start, 3), "end": round(word.end, 3)}
    spoken = {} if word.spoken is None else {"spoken": word.spoken}
    return {"text": word.text, **spoken, **times, "confidence": round(word.confidence, 4)}


def to_ctm(transcript: Transcript) -> str:
    """Return NIST's time-marked words: `file channel start duration word confidence`.

    Without words there is one comment.
    """
    name = recording_name(transcript.audio)
    lines = []
    channels = [(str(number), words) for number, (_, words) in enumerate(parts(transcript), 1)]
    for channel, words in sorted(channels, key=lambda pair: pair[0]):  # as text, as scorers demand
        for word, start, end in timed(words):
            times = f"{start / 1000:.3f} {(end - start) / 1000:.3f}"
            text = re.sub(r"\s+", "_", word.text.strip())
            lines.append(f"{name} {channel} {times} {text} {word.confidence:.4f}\n")
    return "".join(lines) or f";; {name}: no words\n"


def to_stm(transcript: Transcript) -> str:
    """Return NIST's segment time marks: `file channel speaker start end text`; speakers are named after channels.

    They are sorted by channel, then by time. Left out are brackets, which mark alternatives there, and `<` at the
    beginning of a text, which would begin a label.
    """
    name = recording_name(transcript.audio)
    lines = []
    found = [(str(1 + (each.channel or 0)), each) for each in segments(transcript)]
    for channel, each in sorted(found, key=lambda pair: pair[0]):
        times = f"{each.start:.3f} {max(each.end, each.start + 1e-3):.3f}"
        text = _without_brackets(each.text).lstrip("< ")
        lines.append(f"{name} {channel} {name}-{channel} {times} {text}\n")
    return "".join(lines) or f";; {name}: no words\n"


def to_trn(transcript: Transcript) -> str:
    """Return NIST's transcript: `text (file)` on a line, or `text (file-channel)` for each channel.

    Brackets, which mark alternatives there, and a semicolon that would begin a comment are left out.
    """
    name = recording_name(transcript.audio)
    named = [(f"{name}-{number}", each) for number, each in enumerate(transcript.channels, 1)]
    return "".join(
        flat(f"{_without_brackets(each.text).lstrip('; ')} ({label})") + "\n"
        for label, each in named or [(name, transcript)]
    )


def _without_brackets(text: str) -> str:
    return flat(re.sub(r"[(){}]", " ", text))


def to_tsv(transcript: Transcript) -> str:
    """Return a table of the segments: start and end in milliseconds, text, and the channel if there are several."""
    several = bool(transcript.channels)
    rows = [["start", "end", "text", *["channel"] * several]]
    rows += [
        [
            str(round(each.start * 1000)),
            str(round(each.end * 1000)),
            flat(each.text),
            *[str(each.channel)] * several,
        ]
        for each in segments(transcript)
    ]
    return "".join("\t".join(row) + "\n" for row in rows)


def to_labels(transcript: Transcript) -> str:
    """Return a label track of Audacity: start and end in seconds, and text, of each word."""
    lines = [
        (start, end, f"{label}: {flat(word.text)}" if label else flat(word.text))
        for label, words in parts(transcript)
        for word, start, end in timed(words)
    ]
    return "".join(f"{start / 1000:.3f}\t{end / 1000:.3f}\t{text}\n" for start, end, text in sorted(lines))


def recording_name(audio: str) -> str:
    """Return the name of a recording as scorers expect it: without folder and suffix, and with `_` for spaces."""
    return re.sub(r"\s|^;", "_", Path(audio).stem) or "_"


def to_textgrid(transcript: Transcript) -> str:
    """Return a Praat TextGrid with one tier, `words`, or one for each channel."""
    return textgrid(transcript.duration, {label or "words": words for label, words in parts(transcript)})


FORMATS: dict[str, Callable[[Transcript], str]] = {
    "txt": to_txt,
    "json": to_json,
    "srt": to_srt,
    "vtt": to_vtt,
    "ass": to_ass,
    "tsv": to_tsv,
    "ctm": to_ctm,
    "stm": to_stm,
    "trn": to_trn,
    "labels": to_labels,
    "TextGrid": to_textgrid,
}


def styled(style: Style) -> dict[str, Callable[[Transcript], str]]:
    """Return the formats, with subtitles in a style."""
    made = {"srt": to_srt, "vtt": to_vtt, "ass": to_ass}
    return FORMATS | {name: partial(make, style=style) for name, make in made.items()}


# Names that nobody gives to a folder.
_OTHER_FILES = {*AUDIO_SUFFIXES, ".csv", ".doc", ".docx", ".htm", ".html", ".md", ".odt", ".pdf", ".rtf"}


def find_formats(
    given: Any, out: str | None, formats: Collection[str], default: str
) -> tuple[list[str], bool]:
    """Return the formats that a command writes, and whether `out` is one file in that format.

    Args:
        given: a format, or several in a list or with commas between them; None takes that of the ending of `out`.
        out: where to; a name that ends in a format, and is no folder, is a file, and so is the standard output.
        formats: those there are.
        default: what is written if nothing says a format.

    Raises:
        UsageError: there is no such format, or `out` does not fit it, or is a file of another kind by its name.
    """
    known = {each.lower(): each for each in formats}
    path = None if out is None or is_folder(out) else expanded(out)
    ending = None if path is None else known.get(path.suffix.removeprefix(".").lower())
    if given is None:
        names = [ending or default]
    else:
        names = str(given).split(",") if isinstance(given, str | int | float) else list(given) or [""]
    kinds = list(dict.fromkeys(find_format(name, formats) for name in names))
    if ending and kinds != [ending]:
        raise UsageError(
            f"out={out} is a file in the format {ending} by its name, but format={','.join(kinds)}: "
            "give one of them, or out=FOLDER"
        )
    if len(kinds) > 1 and (out is None or is_stdout(out)):
        raise UsageError(f"several formats are for files: add out=FOLDER to format={','.join(kinds)}")
    if path is not None and not ending and not is_stdout(out) and not is_url(out):
        wanted = f"a folder, or end in .{', .'.join(formats)}"
        folder_path(path, wanted)
        if path.suffix.lower() in _OTHER_FILES:
            raise UsageError(f"out={out} is a {path.suffix} file by its name, but must be {wanted}")
    return kinds, ending is not None or is_stdout(out)


def find_format(name: Any, formats: Collection[str]) -> str:
    """Return the format of this name, whatever its case.

    Raises:
        UsageError: there is none; a similar one is named.
    """
    known = {each.lower(): each for each in formats}
    if str(name).lower() not in known:
        close = process.extractOne(
            str(name).lower(), list(known), scorer=OSA.normalized_similarity, score_cutoff=0.6
        )
        hint = f"; did you mean {known[close[0]]!r}?" if close else ""
        raise UsageError(f"no format {str(name)!r}{hint}; there are: {', '.join(formats)}")
    return known[str(name).lower()]


def finite(score: float) -> float | None:
    """Return a score as JSON can hold it: rounded, null if it is infinite or not a number."""
    return round(score, 4) if math.isfinite(score) else None
