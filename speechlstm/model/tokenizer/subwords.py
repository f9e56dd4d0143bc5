"""Subword tokens, trained by SentencePiece."""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Self

from speechlstm.model.settings import Tokens
from speechlstm.model.tokenizer.base import BLANK, Tokenizer, normalize
from speechlstm.types import TokenizerError


class Subwords(Tokenizer):
    """Pieces of words by SentencePiece's unigram model (Kudo 2018); `▁` begins a word.

    Only encoding needs the `sentencepiece` package: a bundle with subwords transcribes without it. SentencePiece's id
    0, its unknown piece, has the blank's place.
    """

    kind = "subwords"
    unit = "character"

    def __init__(self, tokens: Sequence[str], model: bytes, **rules: Any) -> None:
        super().__init__(tokens, **rules)
        self.model = model
        self._characters = {character for token in self.tokens[1:] for character in token}
        self._processor: Any = None

    @classmethod
    def from_texts(cls, texts: Iterable[str], vocab_size: Tokens = 256, **rules: Any) -> Self:  # type: ignore[override]
        """Train the pieces on the training texts.

        There must be a token for each character that occurs, and one for the blank.

        Raises:
            TokenizerError: sentencepiece is not installed, or cannot make that many pieces of these texts.
        """
        lines = [line for line in (normalize(text.replace("▁", " "), **rules) for text in texts) if line]
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
        return cls([BLANK, *pieces], model.getvalue(), **rules)

    def normalize(self, text: str) -> str:
        """As `Tokenizer.normalize`; SentencePiece's own sign for a space is a space."""
        return super().normalize(text.replace("▁", " "))

    def unknown(self, text: str) -> Counter[str]:
        """Count the characters of the text that are in no piece."""
        return Counter(c for c in self.normalize(text) if c not in self._characters and c != " ")

    def begins_word(self, token: str) -> bool:
        """Return whether a piece begins a word, as SentencePiece marks it."""
        return token.startswith("▁")

    def words(self, ids: Sequence[int]) -> list[tuple[str, int, int]]:
        """Return the pieces joined into words; a word begins with `▁`."""
        words: list[tuple[str, int, int]] = []
        begins = True
        for index, piece in enumerate(self._spelled(ids)):
            begins |= piece.startswith("▁")
            if text := piece.removeprefix("▁"):
                if begins:
                    words.append((text, index, index + 1))
                else:
                    word, start, _ = words[-1]
                    words[-1] = (word + text, start, index + 1)
                begins = False
        return words

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON; the model is in it as base64."""
        return super().to_dict() | {"model": base64.b64encode(self.model).decode("ascii")}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Subwords:
        """Make the tokenizer that `to_dict` described."""
        model = base64.b64decode(content["model"], validate=True)
        return cls(content["tokens"], model, **cls.rules_in(content))

    def _encode(self, text: str) -> list[int]:
        if self._processor is None:
            self._processor = _sentencepiece().SentencePieceProcessor(model_proto=self.model)
        return list(self._processor.encode(text))


def _sentencepiece() -> Any:
    try:
        import sentencepiece
    except ImportError:
        raise TokenizerError("subwords need sentencepiece: pip install 'speechlstm[subwords]'") from None
    return sentencepiece
