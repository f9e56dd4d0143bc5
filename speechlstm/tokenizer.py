"""Text to token ids and back: characters, words, subwords, phones. Id 0 is the CTC blank everywhere."""

from __future__ import annotations

import base64
import io
import re
import unicodedata
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

from speechlstm.errors import TokenizerError
from speechlstm.lexicon import Lexicon, Pronunciations, read_lexicon

BLANK = "<blank>"
SPACE = "<space>"  # longer than a character, so it is never mistaken for one
BOUNDARY = "|"  # between the phones of two words
CASES = ("lower", "upper", "keep")


class Tokenizer(ABC):
    """Turns text into token ids and token ids into words.

    `decode(encode(text)) == normalize(text)` for every text that can be encoded (by `Phones`: up to words
    that sound the same).

    Args:
        tokens: the token of each id; `tokens[0]` is `"<blank>"`.
        case: `"lower"` or `"upper"` to fold the text's case, `"keep"` to leave it.

    Raises:
        TokenizerError: the tokens are not distinct strings after a blank, or there is no such case policy.
    """

    kind: ClassVar[str]
    unit: ClassVar[str]  # what `encode` looks up, for messages

    def __init__(self, tokens: Sequence[str], case: str = "lower") -> None:
        if case not in CASES:
            raise TokenizerError(f"tokenizer case is {case!r}, but must be one of {', '.join(CASES)}")
        strings = all(isinstance(token, str) and token for token in tokens)
        if not strings or len(set(tokens)) != len(tokens) or list(tokens[:1]) != [BLANK]:
            raise TokenizerError(f"tokens must be distinct, the first {BLANK!r}, but are {str(tokens)[:60]}")
        if len(tokens) < 2:
            raise TokenizerError(f"no tokens but {BLANK!r}: the training text is empty")
        self.tokens = list(tokens)
        self.case = case
        self._ids = {token: index for index, token in enumerate(self.tokens)}

    def __len__(self) -> int:
        return len(self.tokens)

    def normalize(self, text: str) -> str:
        """Return the text as it is trained and scored: Unicode NFC, case folded, single spaces."""
        return normalize(text, self.case)

    @abstractmethod
    def unknown(self, text: str) -> Counter[str]:
        """Count what the text has and the tokens have not: characters, or words."""

    @abstractmethod
    def words(self, ids: Sequence[int]) -> list[tuple[str, int, int]]:
        """Return the words that ids spell, each as `(word, index of its first id, index after its last)`.

        Raises:
            TokenizerError: an id is the blank or not below `len(self)`.
        """

    @abstractmethod
    def _encode(self, text: str) -> list[int]:
        """Encode text that is normalised and has nothing unknown."""

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, without blanks.

        Raises:
            TokenizerError: characters (or words) that are not among the tokens, with their counts.
        """
        text = self.normalize(text)
        if unknown := self.unknown(text):
            first = re.escape(next(iter(unknown)))  # counted in the order of the text
            match = re.search(first if self.unit == "character" else rf"(?<!\S){first}(?!\S)", text)
            at = match.start() if match else 0
            where = f"{text[max(0, at - 30) : at + 30]!r} at character {at + 1}"
            raise TokenizerError(f"{_listed(unknown)} not in the tokenizer's {self.unit}s, in {where}")
        return self._encode(text)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text that ids spell: the words of `words`, one space between them."""
        return " ".join(word for word, _, _ in self.words(ids))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON from which `from_dict` makes the tokenizer again."""
        return {"kind": self.kind, "case": self.case, "tokens": self.tokens}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Tokenizer:
        """Make the tokenizer that `to_dict` described."""
        return cls(content["tokens"], content["case"])

    def _spelled(self, ids: Sequence[int]) -> list[str]:
        wrong = [index for index in ids if not 0 < index < len(self.tokens)]
        if wrong:
            raise TokenizerError(
                f"id {wrong[0]} is no token's: they go from 1 to {len(self) - 1}, 0 is the blank"
            )
        return [self.tokens[index] for index in ids]


class Characters(Tokenizer):
    """One token per Unicode character, and one for the space between words."""

    kind = "characters"
    unit = "character"

    @classmethod
    def from_texts(cls, texts: Iterable[str], case: str = "lower") -> Characters:
        """Collect the characters of the training texts, in code point order."""
        found = sorted({character for text in texts for character in normalize(text, case)} - {" "})
        return cls([BLANK, SPACE, *found] if found else [BLANK], case)

    def unknown(self, text: str) -> Counter[str]:
        """Count the characters of the text that are not among the tokens."""
        return Counter(c for c in self.normalize(text) if c not in self._ids and c != " ")

    def words(self, ids: Sequence[int]) -> list[tuple[str, int, int]]:
        """Return the runs of characters between spaces."""
        return [("".join(word), start, end) for word, start, end in _split(self._spelled(ids), SPACE)]

    def _encode(self, text: str) -> list[int]:
        return [self._ids[SPACE if character == " " else character] for character in text]


class Words(Tokenizer):
    """One token per word: for commands and digits, where every word is known."""

    kind = "words"
    unit = "word"

    @classmethod
    def from_texts(cls, texts: Iterable[str], case: str = "lower") -> Words:
        """Collect the words of the training texts, in code point order."""
        found = {word for text in texts for word in normalize(text, case).split()}
        return cls([BLANK, *sorted(found - {BLANK})], case)

    def unknown(self, text: str) -> Counter[str]:
        """Count the words of the text that are not among the tokens."""
        return Counter(word for word in self.normalize(text).split() if not self._ids.get(word))

    def words(self, ids: Sequence[int]) -> list[tuple[str, int, int]]:
        """Return each token as a word."""
        return [(word, index, index + 1) for index, word in enumerate(self._spelled(ids))]

    def _encode(self, text: str) -> list[int]:
        return [self._ids[word] for word in text.split()]


class Subwords(Tokenizer):
    """Pieces of words by SentencePiece's unigram model (Kudo 2018); `▁` begins a word.

    Only encoding needs the `sentencepiece` package: a bundle with subwords transcribes without it.

    Args:
        tokens: the pieces; SentencePiece's id 0, its unknown piece, has the blank's place.
        model: the trained SentencePiece model.
        case: as in `Tokenizer`.
    """

    kind = "subwords"
    unit = "character"

    def __init__(self, tokens: Sequence[str], model: bytes, case: str = "lower") -> None:
        super().__init__(tokens, case)
        self.model = model
        self._characters = {character for token in self.tokens[1:] for character in token}
        self._processor: Any = None

    @classmethod
    def from_texts(cls, texts: Iterable[str], vocab_size: int = 256, case: str = "lower") -> Subwords:
        """Train the pieces on the training texts.

        Args:
            texts: the training texts.
            vocab_size: tokens, the blank included; at least one for each character that occurs.
            case: as in `Tokenizer`.

        Raises:
            TokenizerError: sentencepiece is not installed, or cannot make that many pieces of these texts.
        """
        lines = [line for line in (normalize(text.replace("▁", " "), case) for text in texts) if line]
        if not lines:
            raise TokenizerError("no text to train subwords on")
        model = io.BytesIO()
        try:
            _sentencepiece().SentencePieceTrainer.train(
                sentence_iterator=iter(lines), model_writer=model, vocab_size=vocab_size,
                model_type="unigram", character_coverage=1.0, normalization_rule_name="identity",
                max_sentence_length=1 << 30, num_threads=1, minloglevel=2,
                unk_id=0, bos_id=-1, eos_id=-1, pad_id=-1,
            )  # fmt: skip
        except (RuntimeError, OSError) as error:
            reason = str(error).rpartition("] ")[2].strip() or str(error).strip()
            raise TokenizerError(
                f"cannot make {vocab_size} subwords (tokenizer.vocab_size): {reason}"
            ) from None
        processor = _sentencepiece().SentencePieceProcessor(model_proto=model.getvalue())
        pieces = [processor.id_to_piece(index) for index in range(1, processor.get_piece_size())]
        return cls([BLANK, *pieces], model.getvalue(), case)

    def normalize(self, text: str) -> str:
        """As `Tokenizer.normalize`; SentencePiece's own sign for a space is a space."""
        return super().normalize(text.replace("▁", " "))

    def unknown(self, text: str) -> Counter[str]:
        """Count the characters of the text that are in no piece."""
        return Counter(c for c in self.normalize(text) if c not in self._characters and c != " ")

    def words(self, ids: Sequence[int]) -> list[tuple[str, int, int]]:
        """Return the pieces joined into words; a word begins with `▁`."""
        found: list[tuple[str, int, int]] = []
        begins = True
        for index, piece in enumerate(self._spelled(ids)):
            begins |= piece.startswith("▁")
            if text := piece.removeprefix("▁"):
                if begins:
                    found.append((text, index, index + 1))
                else:
                    word, start, _ = found[-1]
                    found[-1] = (word + text, start, index + 1)
                begins = False
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON; the model is in it as base64."""
        return super().to_dict() | {"model": base64.b64encode(self.model).decode("ascii")}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Subwords:
        """Make the tokenizer that `to_dict` described."""
        return cls(content["tokens"], base64.b64decode(content["model"], validate=True), content["case"])

    def _encode(self, text: str) -> list[int]:
        if self._processor is None:
            self._processor = _sentencepiece().SentencePieceProcessor(model_proto=self.model)
        return list(self._processor.encode(text))


class Phones(Tokenizer):
    """Phones by a pronunciation lexicon, with `|` between words.

    A text is encoded by each word's first pronunciation. Phones between two boundaries are read back as the
    word that is pronounced so, else as the fewest words that together are, else they stay as phones joined by
    `-`. So a word comes back as the one it sounds like that is the most frequent in the training text.

    Args:
        tokens: the blank, the boundary, the phones.
        lexicon: the pronunciations of each word, as `Lexicon` takes them.
        case: as in `Tokenizer`; folds the words, never the phones.
    """

    kind = "phones"
    unit = "word"

    def __init__(self, tokens: Sequence[str], lexicon: Pronunciations, case: str = "lower") -> None:
        super().__init__(tokens, case)
        self.lexicon = Lexicon(lexicon)
        if not {BOUNDARY, *self.lexicon.phones()} <= self._ids.keys():
            raise TokenizerError(f"the lexicon's phones and {BOUNDARY!r} must be among the tokens")

    @classmethod
    def from_texts(cls, texts: Iterable[str], lexicon: str | Path, case: str = "lower") -> Phones:
        """Read the lexicon; the texts tell which of the words that sound the same is the most frequent.

        Raises:
            TokenizerError: a bad line in the lexicon, or words of the texts that it has not.
        """
        entries = read_lexicon(lexicon, lambda word: normalize(word, case))
        counts = Counter(word for text in texts for word in normalize(text, case).split())
        if missing := Counter({word: count for word, count in counts.items() if word not in entries}):
            raise TokenizerError(f"{_listed(missing)} of the training text not in the lexicon {lexicon}")
        phones = Lexicon(entries).phones()
        if clash := phones & {BLANK, BOUNDARY}:
            raise TokenizerError(f"{lexicon}: {min(clash)!r} must not be a phone, it has a meaning here")
        ordered = sorted(entries, key=lambda word: -counts[word])  # sorting is stable: then as in the file
        return cls([BLANK, BOUNDARY, *sorted(phones)], {word: entries[word] for word in ordered}, case)

    def unknown(self, text: str) -> Counter[str]:
        """Count the words of the text that have no pronunciation."""
        return Counter(word for word in self.normalize(text).split() if word not in self.lexicon.entries)

    def words(self, ids: Sequence[int]) -> list[tuple[str, int, int]]:
        """Return the words pronounced between boundaries, as the class describes."""
        found: list[tuple[str, int, int]] = []
        for phones, start, end in _split(self._spelled(ids), BOUNDARY):
            words = self.lexicon.words(phones) or [("-".join(phones), 0, end - start)]
            found += [(word, start + first, start + after) for word, first, after in words]
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON; the lexicon is in it."""
        return super().to_dict() | {"lexicon": self.lexicon.entries}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Phones:
        """Make the tokenizer that `to_dict` described."""
        return cls(content["tokens"], content["lexicon"], content["case"])

    def _encode(self, text: str) -> list[int]:
        spelled = [[self._ids[phone] for phone in self.lexicon.entries[word][0]] for word in text.split()]
        return [index for word in spelled for index in (self._ids[BOUNDARY], *word)][1:]


_KINDS: dict[str, type[Tokenizer]] = {kind.kind: kind for kind in (Characters, Words, Subwords, Phones)}


def from_dict(content: dict[str, Any]) -> Tokenizer:
    """Make the tokenizer that some tokenizer's `to_dict` described.

    Raises:
        TokenizerError: not such a description.
    """
    kind = content.get("kind") if isinstance(content, dict) else None
    if kind not in _KINDS:
        raise TokenizerError(f"tokenizer kind is {kind!r}, but must be one of {', '.join(_KINDS)}")
    try:
        return _KINDS[kind].from_dict(content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise TokenizerError(
            f"damaged description of a {kind} tokenizer: {type(error).__name__} {error}"
        ) from None


def normalize(text: str, case: str = "lower") -> str:
    """Return the text in Unicode NFC with the case folded and single spaces between words."""
    text = unicodedata.normalize("NFC", text)
    folded = text.lower() if case == "lower" else text.upper() if case == "upper" else text
    return " ".join(unicodedata.normalize("NFC", folded).split())


def _split(tokens: Sequence[str], separator: str) -> list[tuple[list[str], int, int]]:
    """Return the runs between separators, each with its first index and the one after its last."""
    cuts = [-1, *(index for index, token in enumerate(tokens) if token == separator), len(tokens)]
    runs = ((before + 1, after) for before, after in pairwise(cuts))
    return [(list(tokens[start:end]), start, end) for start, end in runs if start < end]


def _listed(counts: Counter[str]) -> str:
    shown = [f"{name!r} ({count})" for name, count in counts.most_common(10)]
    return ", ".join(shown) + (f" and {len(counts) - 10} more" if len(counts) > 10 else "")


def _sentencepiece() -> Any:
    try:
        import sentencepiece
    except ImportError:
        raise TokenizerError("subwords need sentencepiece: pip install 'speechlstm[subwords]'") from None
    return sentencepiece
