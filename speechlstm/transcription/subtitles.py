"""Subtitles: words as cues within limits of time and width, also in scripts without spaces; srt, vtt, and ass."""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from speechlstm.transcription.transcript import Transcript, Word

MAX_PAUSE = 0.8  # seconds of silence that begin a new cue
_SPACELESS = (
    ("\u0e00", "\u0eff"),
    ("\u0f00", "\u109f"),
    ("\u1780", "\u17ff"),
)  # Thai, Lao, Tibetan, Burmese, Khmer
_ASS = (
    "[Script Info]\nScriptType: v4.00+\nWrapStyle: 2\n\n[V4+ Styles]\n"
    "Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, "
    "Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, "
    "MarginV, Encoding\n"
    "Style: Default,Arial,16,&H00FFFFFF,&H00A0A0A0,&H00000000,&H80000000,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,1\n\n"
    "[Events]\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
)


@dataclass(frozen=True, slots=True)
class Style:
    """The limits of a cue. The defaults are Netflix's: seven seconds, two lines of 42 characters.

    Attributes:
        max_width: columns of a line; a wide character takes two.
        max_lines: of a cue.
        max_words: of a cue; None sets no limit.
        max_seconds: that a cue may last.
        karaoke: each word lights up when it is spoken, in vtt and ass.
    """

    max_width: int = 42
    max_lines: int = 2
    max_words: int | None = None
    max_seconds: float = 7.0
    karaoke: bool = False


DEFAULT = Style()


@dataclass(frozen=True, slots=True)
class Unit:
    """What a line may be broken between: a word, or characters of a script that has no spaces.

    Attributes:
        text: on one line.
        start, end: its share of the time, in milliseconds.
        joined: whether it follows the one before without a space.
    """

    text: str
    start: int
    end: int
    joined: bool = False


@dataclass(frozen=True, slots=True)
class Cue:
    """A subtitle: start and end in milliseconds, its lines, and the channel if there are several."""

    start: int
    end: int
    lines: list[list[Unit]]
    channel: str = ""

    def text(self, show: Callable[[Unit], str] = lambda unit: unit.text, newline: str = "\n") -> str:
        """Return the lines, each unit as `show` writes it."""
        return newline.join(
            "".join(("" if unit.joined or not at else " ") + show(unit) for at, unit in enumerate(line))
            for line in self.lines
        )


def cues(words: Sequence[Word], style: Style = DEFAULT, channel: str = "", mark: str = "") -> Iterator[Cue]:
    """Yield subtitles, split at pauses and where a limit is reached.

    Args:
        words: in order.
        style: the limits.
        channel: that is spoken on.
        mark: what each cue begins with.
    """
    most = round(style.max_seconds * 1000)
    lines: list[list[Unit]] = []
    begin = last = count = 0
    for unit in (unit for word, start, end in timed(words) for unit in _units(word.text, start, end)):
        first = [[Unit(mark, unit.start, unit.start)]] if mark else []
        grown = _appended(lines or first, unit, style.max_width)
        late = unit.start - last > MAX_PAUSE * 1000 or unit.end - begin > most
        many = style.max_words is not None and count >= style.max_words and not unit.joined
        if lines and (late or many or len(grown) > style.max_lines):
            last = max(last, begin + 1)
            yield Cue(begin, last, lines, channel)
            lines, grown, count = [], _appended(first, unit, style.max_width), 0
        begin = begin if lines else max(unit.start, last)
        lines, count = grown, count + (not unit.joined)
        last = max(min(unit.end, begin + most), begin)  # of a word that is too long by itself
    if lines:
        yield Cue(begin, max(last, begin + 1), lines, channel)


def _units(text: str, start: int, end: int) -> Iterator[Unit]:
    parts: list[str] = []
    for char in flat(text):
        if parts and not _breaks(parts[-1][-1], char):
            parts[-1] += char
        else:
            parts.append(char)
    total, before = max(_columns(flat(text)), 1), 0
    for number, part in enumerate(parts):
        after = before + _columns(part)
        begin, stop = (start + (end - start) * columns // total for columns in (before, after))
        yield Unit(part, begin, stop if number + 1 < len(parts) else end, number > 0)
        before = after


def _breaks(before: str, after: str) -> bool:
    """Return whether a line may be broken between two characters without a space."""
    if unicodedata.category(after)[0] == "M" or unicodedata.category(after) in ("Pe", "Pf", "Po"):
        return False  # belongs to the letter before, or closes what stands before
    return unicodedata.category(before) not in ("Ps", "Pi", "Cf") and (
        _spaceless(before) or _spaceless(after)
    )


def _spaceless(char: str) -> bool:
    """Return whether a character is of a script that does not separate words: Chinese, Japanese, Thai, ..."""
    return _columns(char) == 2 or any(first <= char <= last for first, last in _SPACELESS)


def _columns(text: str) -> int:
    """Return the columns that a text takes: wide characters two, marks above or below a letter none."""
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + wide - sum(unicodedata.category(char) in ("Mn", "Me") for char in text)


def _appended(lines: list[list[Unit]], unit: Unit, width: int) -> list[list[Unit]]:
    """Return lines with a unit after them, on the last line if there is room."""
    if lines:
        line = [*lines[-1], unit]
        gaps = sum(not each.joined for each in line[1:])
        if gaps + sum(_columns(each.text) for each in line) <= width:
            return [*lines[:-1], line]
    return [*lines, [unit]]


def timed(words: Sequence[Word]) -> Iterator[tuple[Word, int, int]]:
    """Yield words with start and end in milliseconds; as the formats demand, none overlap or are empty."""
    cursor = 0
    for word in words:
        start = max(round(word.start * 1000), cursor)
        cursor = max(round(word.end * 1000), start + 1)
        yield word, start, cursor


def flat(text: str) -> str:
    """Return a text on one line."""
    return " ".join(text.split())  # a line break in a word would end the cue, the line or the label


def parts(transcript: Transcript) -> list[tuple[str, Sequence[Word]]]:
    """Return the words of each channel with its name, or all of them with an empty one."""
    if not transcript.channels:
        return [("", transcript.words)]
    return [(f"channel {number}", each.words) for number, each in enumerate(transcript.channels)]


def _cues(transcript: Transcript, style: Style, mark: str = "") -> list[Cue]:
    """Return the cues by their start; `mark` is how one of several channels begins, such as `[{}]`."""
    found = [
        cue
        for label, words in parts(transcript)
        for cue in cues(words, style, label, mark.format(label) if label else "")
    ]
    return sorted(found, key=lambda cue: cue.start)


def to_srt(transcript: Transcript, style: Style = DEFAULT) -> str:
    """Return SubRip subtitles, in brackets the channel if there are several; without words the file is empty."""
    # The format has no escapes; an arrow in the text would be taken for a time line.
    return "".join(
        f"{number}\n{clock(cue.start, ',')} --> {clock(cue.end, ',')}\n{cue.text().replace('-->', '-- >')}\n\n"
        for number, cue in enumerate(_cues(transcript, style, "[{}]"), 1)
    )


def to_vtt(transcript: Transcript, style: Style = DEFAULT) -> str:
    """Return WebVTT subtitles, with `&`, `<` and `>` escaped; channels are voices, karaoke is times inside of cues."""

    def shown(cue: Cue) -> str:
        lit = cue.start

        def timed_unit(unit: Unit) -> str:
            nonlocal lit
            inside = style.karaoke and lit < unit.start < cue.end  # times must grow, also within a short word
            lit = max(lit, unit.start)
            return (f"<{clock(unit.start, '.')}>" if inside else "") + html.escape(unit.text, quote=False)

        voice = f"<v {cue.channel}>" if cue.channel else ""
        return f"\n{clock(cue.start, '.')} --> {clock(cue.end, '.')}\n{voice}{cue.text(timed_unit)}\n"

    return "WEBVTT\n" + "".join(map(shown, _cues(transcript, style)))


def to_ass(transcript: Transcript, style: Style = DEFAULT) -> str:
    """Return Advanced SubStation subtitles; channels are names of speakers, karaoke is how long each word lasts."""

    def shown(cue: Cue) -> str:
        units = [unit for line in cue.lines for unit in line]
        ends = [*(after.start for after in units[1:]), cue.end]
        lasts = {
            id(unit): max(end // 10 - unit.start // 10, 0) for unit, end in zip(units, ends, strict=True)
        }

        def tagged(unit: Unit) -> str:
            # A word joiner after a backslash keeps it from being a command, as in ffmpeg.
            text = unit.text.replace("\\", "\\\u2060").replace("{", "\\{").replace("}", "\\}")
            return (f"{{\\k{lasts[id(unit)]}}}" if style.karaoke else "") + text

        start = cue.start // 10 * 10
        times = (clock(time, ".")[:-1] for time in (start, max(cue.end, start + 10)))
        return (
            f"Dialogue: 0,{','.join(times)},Default,{cue.channel},0,0,0,,{cue.text(tagged, chr(92) + 'N')}\n"
        )

    return _ASS + "".join(map(shown, _cues(transcript, style)))


def clock(milliseconds: int, separator: str) -> str:
    """Return a time as `hours:minutes:seconds` and, after the separator, milliseconds."""
    seconds, milliseconds = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{separator}{milliseconds:03}"
