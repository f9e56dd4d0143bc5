"""What of a recording could not be read, gathered while it is read."""

from __future__ import annotations

import copy

from speechlstm.types import AudioError

GAP = 0.1  # seconds; what is closer together is one hole with crumbs in it
_MOST = 10  # messages about one recording


class Losses:
    """Stretches of a recording that are missing.

    Args:
        name: of the recording, for messages.
        strict: the first loss is an `AudioError`.
        begin: seconds; what is missing before is of no interest.
        end: seconds; likewise after.
    """

    def __init__(self, name: str, strict: bool, begin: float = 0.0, end: float = float("inf")) -> None:
        self.name, self.strict, self.begin, self.end = name, strict, begin, end
        self.stretches: list[tuple[float, float]] = []
        self._base = 0.0  # seconds of the recording from which those that are added count

    def of_part(self, start: float) -> Losses:
        """Return the same losses for what reads a part of the recording and counts from its start."""
        part = copy.copy(self)  # with the same list
        part._base = start
        return part

    def add(self, start: float, seconds: float | None, reason: str = "damaged or truncated") -> None:
        """Note that `seconds` are missing at `start`, in seconds of the recording or part; None: nobody knows how much.

        Raises:
            AudioError: losses are not allowed.
        """
        start, length = self._base + start, 0.0 if seconds is None else seconds
        if start > self.end or start + length < self.begin:
            return
        if self.strict:
            raise AudioError(
                f"{self.name}: {reason}, {_text(start, length)}; copy or download it again, or set strict_audio=false "
                "to use what can be read"
            )
        later: list[tuple[float, float]] = []  # told by the reader, which is ahead of who looks at values
        while self.stretches and start + length + GAP <= self.stretches[-1][0]:
            later.append(self.stretches.pop())
        while self.stretches and start - sum(self.stretches[-1]) < GAP:
            before = self.stretches.pop()
            end = max(start + length, sum(before))
            start = min(start, before[0])
            length = end - start
        self.stretches += [(start, length), *reversed(later)]

    def messages(self) -> list[str]:
        """Return one line for each stretch, such as `1.02 s missing at 12.4 s`, and one for those beyond the tenth."""
        lines = [_text(*stretch) for stretch in self.stretches[:_MOST]]
        if rest := self.stretches[_MOST:]:
            lines.append(
                f"{len(rest)} more stretches missing, {sum(length for _, length in rest):.2f} s in all"
            )
        return lines


def _text(start: float, seconds: float) -> str:
    if not seconds:
        return f"cut off at {start:.1f} s"
    length = f"{seconds:.2f} s" if seconds >= 0.005 else f"{1000 * seconds:.2g} ms"
    return f"{length} missing at {start:.1f} s"
