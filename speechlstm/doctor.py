"""The data doctor: everything that is wrong with a manifest, found in one pass, each with its file and line."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from speechlstm.tokenizer import Tokenizer
from speechlstm.types import Utterance

SILENCE = 1e-3  # peak below -60 dB of full scale: nobody speaks that softly into a working microphone
CLIPPED = 1e-3  # share of samples at full scale from which it can be heard
OUTLIER = (
    5.0  # robust standard deviations; 1 in 1.7 million of normally distributed speaking rates lies outside
)
DURATION_TOLERANCE = 0.1  # seconds; encoders pad to whole frames, people round


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        kind: what sort of thing, the same words for all of its sort.
        severity: `"error"` when the utterance teaches or measures nothing, or something wrong; else `"warning"`.
        message: what was got and what was wanted.
        utterance: the utterance's id, if it is about one.
        file: the manifest.
        line: line in it, from 1.
        numbers: the figures in the message, for programs.
    """

    kind: str
    severity: Literal["error", "warning"]
    message: str
    utterance: str | None = None
    file: str | None = None
    line: int | None = None
    numbers: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Report:
    """What `examine` found.

    Attributes:
        manifest: its path.
        utterances: how many lines could be read.
        seconds: their total duration.
        speakers: how many speakers are named.
        characters: how often each character occurs in the texts.
        problems: in the order of the lines, then those about the whole.
    """

    manifest: str
    utterances: int
    seconds: float
    speakers: int
    characters: dict[str, int]
    problems: list[Problem]

    @property
    def wrong(self) -> bool:
        """Whether there is an error; warnings alone are for a person to judge."""
        return any(problem.severity == "error" for problem in self.problems)

    def to_json(self) -> str:
        """Return everything as JSON, indented."""
        return json.dumps({**asdict(self), "wrong": self.wrong}, ensure_ascii=False, indent=1)

    def table(self, examples: int = 5) -> str:
        """Return what a person wants to read: a line for each kind, with its first `examples`."""
        lines = [
            f"{self.manifest}: {self.utterances} utterances, {self.seconds / 3600:.2f} hours, "
            f"{self.speakers or 'no'} speakers named, {len(self.characters)} different characters"
        ]
        groups: dict[tuple[str, str], list[Problem]] = {}
        for problem in self.problems:
            groups.setdefault((problem.severity, problem.kind), []).append(problem)
        for (severity, kind), problems in sorted(groups.items()):
            lines.append(f"\n{severity}: {kind}: {len(problems)}")
            for problem in problems[:examples]:
                where = f"{problem.file}:{problem.line}: " if problem.line is not None else ""
                name = f"{problem.utterance}: " if problem.utterance is not None else ""
                lines.append(f"  {where}{name}{problem.message}")
            if len(problems) > examples:
                lines.append(f"  ... and {len(problems) - examples} more (format=json names all)")
        counts = Counter(problem.severity for problem in self.problems)
        lines.append(f"\n{counts['error']} errors, {counts['warning']} warnings")
        return "\n".join(lines)


def cheap_checks(
    utterances: Iterable[Utterance],
    tokenizer: Tokenizer | None = None,
    num_encoder_frames: Callable[[float], int] | None = None,
) -> list[Problem]:
    """Find what is wrong without opening any audio; training runs this first and leaves out what has an error.

    Args:
        utterances: the lines of a manifest.
        tokenizer: finds characters (or words) that have no token.
        num_encoder_frames: seconds -> encoder frames; finds texts too long for their audio: CTC needs a frame for
            each token and one more between two equal ones (Graves et al. 2006, section 3).
    """
    return [
        problem
        for utterance in utterances
        for problem in _check_line(utterance, tokenizer, num_encoder_frames)
    ]


def _check_line(
    utterance: Utterance, tokenizer: Tokenizer | None, num_encoder_frames: Callable[[float], int] | None
) -> Iterator[Problem]:
    def error(kind: str, message: str, **numbers: Any) -> Problem:
        return Problem(kind, "error", message, utterance.id, numbers=numbers)

    if not Path(utterance.audio_filepath).is_file():
        yield error("missing audio", f"no file {utterance.audio_filepath}")
    if utterance.duration <= 0:
        yield error("duration", "lasts 0 s in the manifest")
    if not utterance.text.strip():
        yield error("empty text", "there is no text")
    elif tokenizer is not None:
        unknown = tokenizer.unknown(tokenizer.normalize(utterance.text))
        if unknown:
            listed = ", ".join(f"{name!r} ({count})" for name, count in unknown.items())
            yield error("unknown text", f"{tokenizer.unit}s without a token: {listed}", **unknown)
        elif num_encoder_frames is not None and utterance.duration > 0:
            ids = tokenizer.encode(utterance.text)
            needed = len(ids) + sum(first == second for first, second in pairwise(ids))
            frames = num_encoder_frames(utterance.duration)
            if frames < needed:
                message = (
                    f"{utterance.duration:.2f} s are {frames} encoder frames, but the text of {len(ids)} tokens "
                    f"needs {needed}; lower encoder.subsampling or correct the text"
                )
                yield error("too short for its text", message, frames=frames, needed=needed, tokens=len(ids))
