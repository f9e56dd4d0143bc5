"""What the data doctor found: problems, and the report that lists them for people and for programs."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from speechlstm.data.console import printable
from speechlstm.types import counted


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
            f"{self.manifest}: {counted(self.utterances, 'utterance')}, {self.seconds / 3600:.2f} hours, "
            f"{counted(self.speakers, 'speaker')} named, {counted(len(self.characters), 'different character')}"
        ]
        groups: dict[tuple[str, str], list[Problem]] = {}
        for problem in self.problems:
            groups.setdefault((problem.severity, problem.kind), []).append(problem)
        for (severity, kind), problems in sorted(groups.items()):
            lines.append(f"\n{severity}: {kind}: {len(problems)}")
            for problem in problems[:examples]:
                where = f"{problem.file}:{problem.line}: " if problem.line is not None else ""
                name = f"{problem.utterance}: " if problem.utterance is not None else ""
                lines.append(f"  {printable(f'{where}{name}{problem.message}')}")
            if len(problems) > examples:
                lines.append(f"  ... and {len(problems) - examples} more (format=json names all)")
        counts = Counter(problem.severity for problem in self.problems)
        lines.append(f"\n{counted(counts['error'], 'error')}, {counted(counts['warning'], 'warning')}")
        return "\n".join(lines)
