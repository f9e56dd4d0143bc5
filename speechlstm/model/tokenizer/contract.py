"""The tests that every tokenizer must pass, for the authors of plugins; see `speechlstm.model.contract`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, ClassVar

from speechlstm.model import registry
from speechlstm.model import tokenizer as tokenizers
from speechlstm.model.contract import Contract, require
from speechlstm.types import TokenizerError


class TokenizerContract(Contract):
    """Text to token ids and back; id 0 is the blank.

    Attributes:
        texts: what it is trained on.
        foreign: a text that its tokens cannot spell.
    """

    stage = "tokenizer"
    texts: ClassVar[Sequence[str]] = (
        "one two three",
        "two three three",
        "a dog  saw One",
        "three dogs saw two",
    )
    foreign: ClassVar[str] = "one Ω9"

    def test_a_text_comes_back_normalized(self) -> None:
        """`decode(encode(text))` is `normalize(text)`, for each training text and none."""
        made = self.make()
        for text in (*self.texts, "", "  "):
            back = made.decode(made.encode(text))
            require(back == made.normalize(text), f"{text!r} came back as {back!r}")

    def test_normalizing_twice_is_normalizing_once(self) -> None:
        """`normalize` changes nothing of its own results."""
        made = self.make()
        for text in self.texts:
            once = made.normalize(text)
            require(made.normalize(once) == once, f"normalizing {once!r} again changes it")

    def test_ids_are_in_range_and_never_the_blank(self) -> None:
        """Ids go from 1 to `len(tokenizer) - 1`."""
        made = self.make()
        ids = [index for text in self.texts for index in made.encode(text)]
        require(all(type(index) is int for index in ids), "ids must be int")
        require(0 < min(ids) <= max(ids) < len(made), f"ids go from {min(ids)} to {max(ids)} of {len(made)}")
        require(len(made.tokens) == len(made) and made.tokens[0] == "<blank>", "tokens[0] must be <blank>")

    def test_words_lie_one_after_the_other(self) -> None:
        """`words` gives each word of the text with its first id and the one after its last."""
        made = self.make()
        for text in self.texts:
            ids = made.encode(text)
            words, before = made.words(ids), 0
            require(
                " ".join(word for word, _, _ in words) == made.decode(ids), f"words of {text!r} are {words}"
            )
            for word, start, end in words:
                require(before <= start < end <= len(ids), f"{word!r} lies at {start} to {end} of {len(ids)}")
                before = end

    def test_wrong_ids_are_refused(self) -> None:
        """The blank and an id past the last are a TokenizerError."""
        made = self.make()
        for index in (0, len(made), -1):
            try:
                made.decode([index])
            except TokenizerError:
                continue
            raise AssertionError(f"id {index} is decoded, but is no token's")

    def test_what_it_cannot_spell_is_refused_and_counted(self) -> None:
        """A text with something unknown is a TokenizerError, and `unknown` says what."""
        made = self.make()
        require(bool(made.unknown(self.foreign)), f"unknown({self.foreign!r}) is empty")
        require(
            not made.unknown(self.texts[0]), f"unknown({self.texts[0]!r}) is {made.unknown(self.texts[0])}"
        )
        try:
            made.encode(self.foreign)
        except TokenizerError:
            return
        raise AssertionError(f"{self.foreign!r} is encoded, although it has something unknown")

    def test_json_makes_it_again(self) -> None:
        """`to_dict` is plain JSON with its name as `kind`, from which a bundle makes the same tokenizer."""
        made = self.make()
        content = json.loads(json.dumps(made.to_dict()))
        require(
            content.get("kind") == self.name,
            f"kind is {content.get('kind')!r}, but its name is {self.name!r}",
        )
        again = tokenizers.from_dict(content)
        require(type(again) is registry.load("tokenizer", self.name), f"a {type(again).__name__} came back")
        require(again.to_dict() == made.to_dict(), "what comes back differs")
        for text in self.texts:
            require(again.encode(text) == made.encode(text), f"{text!r} is encoded in another way")

    def test_no_text_is_refused(self) -> None:
        """There is no tokenizer of nothing."""
        try:
            self.make(texts=[""])
        except TokenizerError:
            return
        raise AssertionError("a tokenizer is made of no text at all")

    def given(self) -> dict[str, Any]:
        """Return the training texts."""
        return {"texts": list(self.texts)}
