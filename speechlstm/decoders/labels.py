"""Tokens of other toolkits: Hugging Face, NeMo, pyctcdecode."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from speechlstm.model.tokenizer.base import BLANK, Tokenizer, split
from speechlstm.types import TokenizerError, UsageError

BEGIN = "▁"  # SentencePiece's mark of a token that begins a word
_BETWEEN = (" ", "|")  # what stands between words, if there is no such mark


class Labels(Tokenizer):
    """The labels of a network that was trained elsewhere, with the blank put first.

    A text is spelled by the longest labels that fit, from the left.

    Args:
        labels: the token of each column.
        blank: column of the blank; `len(labels)` if it comes after the labels.

    Attributes:
        columns: for each id of this tokenizer the column in the other toolkit's order.

    Raises:
        UsageError: labels that are not distinct, or a label that cannot be the blank.
    """

    kind = "labels"
    unit = "character"

    def __init__(self, labels: Sequence[str], blank: int = 0) -> None:
        given = list(labels)
        if isinstance(blank, bool) or not isinstance(blank, int) or not 0 <= blank <= len(given):
            raise UsageError(
                f"blank is {blank!r}, but must be the column of the blank, from 0 to {len(given)}"
            )
        if blank < len(given) and (given[blank] in (*_BETWEEN, BEGIN) or given[blank].isalnum()):
            raise UsageError(
                f"label {blank} is {given[blank]!r}, which is no blank: name the blank's column, with "
                f"blank={len(given)} if it comes after the labels"
            )
        self.columns = [blank, *(column for column in range(len(given)) if column != blank)]
        if blank == len(given):
            given.append(BLANK)
        try:
            super().__init__([BLANK, *(given[column] for column in self.columns[1:])], case="keep")
        except TokenizerError as error:
            raise UsageError(f"labels cannot be used: {error}") from None
        self._pieces = any(token.startswith(BEGIN) for token in self.tokens)
        between = [] if self._pieces else [token for token in _BETWEEN if token in self._ids]
        self.separator = between[0] if between else None
        self._longest = max(map(len, self.tokens[1:]))

    def unknown(self, text: str) -> Counter[str]:
        """Count the characters of the text that are in no label."""
        known = {character for token in self.tokens[1:] for character in token} | {" "}
        return Counter(character for character in self.normalize(text) if character not in known)

    def begins_word(self, token: str) -> bool:
        """Return whether a label begins a word."""
        return self._pieces and token.startswith(BEGIN)

    def words(self, ids: Sequence[int]) -> list[tuple[str, int, int]]:
        """Return the labels joined into words."""
        spelled = self._spelled(ids)
        if not self._pieces:
            separator = self.separator or " "
            return [("".join(word), start, end) for word, start, end in split(spelled, separator)]
        begins = [index for index, token in enumerate(spelled) if token.startswith(BEGIN) or index == 0]
        runs = zip(begins, [*begins[1:], len(spelled)], strict=True)
        joined = (("".join(spelled[start:end]).removeprefix(BEGIN), start, end) for start, end in runs)
        return [word for word in joined if word[0]]

    def _encode(self, text: str) -> list[int]:
        if self._pieces:
            rest = "".join(BEGIN + word for word in text.split())
        else:
            rest = text.replace(" ", self.separator or "")
        ids: list[int] = []
        while rest:
            sizes = range(min(self._longest, len(rest)), 0, -1)
            size = next((size for size in sizes if rest[:size] in self._ids), 0)
            if not size:
                raise TokenizerError(f"{text!r} cannot be spelled: no label begins {rest[:20]!r}")
            ids.append(self._ids[rest[:size]])
            rest = rest[size:]
        return ids
