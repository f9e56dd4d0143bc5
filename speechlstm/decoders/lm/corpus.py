"""Text as a stream of word ids, for counting n-grams and measuring perplexity."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path

import numpy as np
import numpy.typing as npt

from speechlstm.data.lines import read_all
from speechlstm.model.tokenizer import Tokenizer, normalize
from speechlstm.model.tokenizer.characters import SPACE
from speechlstm.types import ManifestError, SpeechlstmError, TokenizerError

UNK, BOS, EOS = "<unk>", "<s>", "</s>"
UNK_ID, BOS_ID, EOS_ID = range(3)

Split = Callable[[str], Sequence[str]]


@dataclass(frozen=True, eq=False)
class Corpus:
    """Sentences as the ids of their words, one after the other."""

    words: list[str]  # the word of each id; `<unk>`, `<s>`, `</s>`, then in the order in which they occur
    stream: npt.NDArray[np.int32]  # `(ids,)` int32: `<s>`, the words of the first sentence, `</s>`, `<s>`, ..
    marks: int = 0  # how many `<s>` and `</s>` stood in the text itself; they are left out
    # the lines that could not be split into units and are left out, with the reasons
    problems: Sequence[str] = ()

    @property
    def num_sentences(self) -> int:
        """How many sentences there are; blank lines are none."""
        return int(np.count_nonzero(self.stream == BOS_ID))

    @property
    def num_words(self) -> int:
        """How many running words there are, without `<s>` and `</s>`."""
        return len(self.stream) - 2 * self.num_sentences

    def limited(self, vocab_size: int) -> Corpus:
        """Return the corpus with all words but the `vocab_size` most frequent replaced by `<unk>`.

        Of words that are as frequent, those stay that occur first.
        """
        counts = np.bincount(self.stream, minlength=len(self.words))[EOS_ID + 1 :]
        return self._keeping(np.sort(np.argsort(-counts, kind="stable")[:vocab_size]) + EOS_ID + 1)

    def within(self, words: Container[str]) -> Corpus:
        """Return the corpus with all words that are not among these replaced by `<unk>`."""
        kept = [index for index, word in enumerate(self.words) if index > EOS_ID and word in words]
        return self._keeping(np.array(kept, np.int64))

    def _keeping(self, kept: npt.NDArray[np.int64]) -> Corpus:
        """Return the corpus with only these words, by their ids in ascending order."""
        new = np.full(len(self.words), UNK_ID, np.int32)
        new[: EOS_ID + 1] = range(EOS_ID + 1)
        new[kept] = np.arange(EOS_ID + 1, EOS_ID + 1 + len(kept))
        words = self.words[: EOS_ID + 1] + [self.words[index] for index in kept]
        return replace(self, words=words, stream=new[self.stream])


def make_corpus(sentences: Iterable[Sequence[str]]) -> Corpus:
    """Number the words of sentences.

    `<unk>` in a sentence is an unknown word. `<s>` and `</s>` are left out, as each sentence has its own, and
    so are sentences without words. All three are known in upper case too.
    """
    ids: defaultdict[str, int] = defaultdict(count(EOS_ID + 1).__next__)
    for index, mark in enumerate((UNK, BOS, EOS)):
        ids[mark] = ids[mark.upper()] = index
    numbered, lengths = array("i"), array("q")
    for sentence in sentences:
        numbered.extend(map(ids.__getitem__, sentence))
        lengths.append(len(sentence))
    flat, length = np.asarray(numbered, np.int32), np.asarray(lengths, np.int64)
    marked = (flat == BOS_ID) | (flat == EOS_ID)
    if marked.any():
        owner = np.repeat(np.arange(len(length)), length)
        flat, length = flat[~marked], np.bincount(owner[~marked], minlength=len(length))
    length = length[length > 0]
    ends = np.cumsum(length + 2)
    stream = np.empty(len(flat) + 2 * len(length), np.int32)
    inside = np.ones(len(stream), bool)
    for places, mark_id in ((ends - length - 2, BOS_ID), (ends - 1, EOS_ID)):
        stream[places], inside[places] = mark_id, False
    stream[inside] = flat
    words = [UNK, BOS, EOS, *list(ids)[6:]]  # after the three marks in either case
    return Corpus(words, stream, int(marked.sum()))


def splitter(unit: str, case: str = "lower", tokenizer: Tokenizer | None = None) -> Split:
    """Return the function that makes units of a text.

    Args:
        unit: `"word"`, `"character"` (a space between words is the unit `<space>`, as for the tokenizer of
            characters) or `"token"`, the names of the tokenizer's tokens.
        case: `"lower"`, `"upper"` or `"keep"`; what happens to the text's case without a tokenizer.
        tokenizer: normalizes the text in place of `case`.
    """

    def normalized(text: str) -> str:
        return tokenizer.normalize(text) if tokenizer else normalize(text, case)

    def tokens(text: str) -> list[str]:
        assert tokenizer is not None
        return [tokenizer.tokens[index] for index in tokenizer.encode(text)]

    if unit == "token":
        return tokens
    if unit == "character":
        return lambda text: [SPACE if character == " " else character for character in normalized(text)]
    if tokenizer is None:
        folds: dict[str, Callable[[str], str]] = {"lower": str.lower, "upper": str.upper, "keep": str}
        fold = folds[case]
        return lambda text: (fold(text) if text.isascii() else normalized(text)).split()  # the same, but fast
    return lambda text: normalized(text).split()


def read_corpus(
    split: Split, texts: Sequence[str | Path] = (), manifests: Sequence[str | Path] = ()
) -> Corpus:
    """Read texts and split them into units.

    Lines that are no text, and texts that a tokenizer cannot write in its tokens, are left out and named in the
    corpus's `problems`.

    Args:
        split: makes units of a text, as `splitter` gives it.
        texts: UTF-8 files with a sentence a line, gzipped or not.
        manifests: files whose utterances' texts are sentences.

    Raises:
        SpeechlstmError: a file cannot be read, or there is not one word in all of them.
    """
    problems: list[str] = []

    def sentences() -> Iterator[Sequence[str]]:
        for where, text in chain(_lines(texts, problems), _utterances(manifests, problems)):
            try:
                yield split(text)
            except TokenizerError as error:
                problems.append(f"{where}: {error}")

    corpus = replace(make_corpus(sentences()), problems=problems)
    if not len(corpus.stream):
        names = ", ".join(map(str, [*texts, *manifests]))
        others = f" and {len(problems) - 1} others" if len(problems) > 1 else ""
        left_out = f"; left out: {problems[0]}{others}" if problems else ""
        raise SpeechlstmError(f"{names}: there are no words{left_out}")
    return corpus


def _lines(paths: Sequence[str | Path], problems: list[str]) -> Iterator[tuple[str, str]]:
    """Yield each line with the place it stands at."""
    for path in paths:
        for number, line in read_all(path):
            if isinstance(line, str):
                yield f"{path}:{number}", line
            else:
                problems.append(str(line))


def _utterances(paths: Sequence[str | Path], problems: list[str]) -> Iterator[tuple[str, str]]:
    """Yield each utterance's text with the manifest and id it has."""
    if paths:
        from speechlstm.data.manifest import read_manifest  # brings torch, which takes seconds
    for path in paths:
        bad: list[ManifestError] = []
        for utterance in read_manifest(path, bad):
            yield f"{path}: {utterance.id}", utterance.text
        problems += map(str, bad)
