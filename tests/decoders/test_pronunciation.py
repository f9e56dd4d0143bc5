"""Pronunciations by spelling: the alignment and the search against brute force, a made-up language, the command."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechlstm.cli import lexicon as command
from speechlstm.decoders.pronunciation import Pronouncer, alignment
from speechlstm.decoders.pronunciation.alignment import PIECES, align
from speechlstm.model.tokenizer.lexicon import read_lexicon

SOUNDS = {
    "a": "A",
    "e": "E",
    "i": "I",
    "o": "O",
    "k": "K",
    "l": "L",
    "m": "M",
    "s": "S",
    "t": "T",
    "x": "K S",
    "sh": "SH",
}
Run = Callable[..., tuple[int, str, str]]


def spoken(word: str) -> list[str]:
    """Pronounce a word of the made-up language, where `sh` is one phone and `x` is two."""
    phones, place = list[str](), 0
    while place < len(word):
        size = 2 if word[place : place + 2] in SOUNDS else 1
        phones += SOUNDS[word[place : place + size]].split()
        place += size
    return phones


def made_up(count: int) -> list[str]:
    draw = random.Random(3)
    syllables = [first + second for first in ("k", "l", "m", "s", "t", "x", "sh") for second in "aeio"]
    return sorted({"".join(draw.choices(syllables, k=draw.randint(1, 4))) for _ in range(count)})


def cuts(word: str, phones: tuple[str, ...]) -> Iterator[list[tuple[str, tuple[str, ...]]]]:
    """Enumerate all ways to cut a word and its phones into graphones."""
    if not word and not phones:
        yield []
    for letters, sounds in PIECES:
        if letters <= len(word) and sounds <= len(phones):
            head = (word[:letters], phones[:sounds])
            yield from ([head, *rest] for rest in cuts(word[letters:], phones[sounds:]))


def segmentations(word: str) -> Iterator[list[str]]:
    """Enumerate all ways to cut a word into parts of one and two letters."""
    if not word:
        yield []
    for size in range(1, min(2, len(word)) + 1):
        yield from ([word[:size], *rest] for rest in segmentations(word[size:]))


WORDS = st.lists(
    st.tuples(st.text("ab", min_size=1, max_size=4), st.lists(st.sampled_from("XY"), max_size=5)),
    min_size=1,
    max_size=4,
)


@given(WORDS, st.randoms(use_true_random=False))
def test_expected_counts_are_those_of_all_cuts(
    entries: list[tuple[str, list[str]]], draw: random.Random
) -> None:
    letters, letter_units = alignment._number([tuple(word) for word, _ in entries])
    phones, phone_units = alignment._number([tuple(sounds) for _, sounds in entries])
    table = np.array([[draw.uniform(0.1, 1) for _ in phone_units] for _ in letter_units])
    counts = np.zeros_like(table)
    alignment._expect(letters, phones, table, counts)
    expected: Counter[tuple[int, int]] = Counter()
    for word, sounds in entries:
        ways = [
            [(letter_units.index(tuple(head)), phone_units.index(tail)) for head, tail in cut]
            for cut in cuts(word, tuple(sounds))
        ]
        weights = [math.prod(table[pair] for pair in way) for way in ways]
        for way, weight in zip(ways, weights, strict=True):
            for pair in way:
                expected[pair] += weight / sum(weights)
    for pair in itertools.product(range(len(letter_units)), range(len(phone_units))):
        assert counts[pair] == pytest.approx(expected[pair], abs=1e-9)


def test_best_cut_is_the_most_probable_and_what_cannot_be_cut_is_empty() -> None:
    aligned = align([("sha", ["SH", "A"]), ("ash", ["A", "SH"]), ("sa", ["S", "A"]), ("a", ["A", "B", "C"])])
    assert [(each.letters, each.phones) for each in aligned[0]] == [("sh", ("SH",)), ("a", ("A",))]
    assert [(each.letters, each.phones) for each in aligned[2]] == [("s", ("S",)), ("a", ("A",))]
    assert aligned[3] == []


def test_search_finds_the_best_of_all_graphone_sequences() -> None:
    words = made_up(60)
    pronouncer = Pronouncer({word: [spoken(word)] for word in words}, order=3)
    model = pronouncer._model
    names = [name for name in model.words if "\t" in name]
    for word in ("shaxo", "kexi", "soshe"):
        sequences = [
            list(way)
            for parts in segmentations(word)
            for way in itertools.product(*[[n for n in names if n.split("\t")[0] == part] for part in parts])
        ]
        best = max(sequences, key=lambda way: sum(model.score(way)))
        phones = [phone for name in best for phone in name.split("\t")[1:]]
        variants = pronouncer.pronounce(word, 5)
        assert phones in [found for found, _ in variants]
        assert all(0 < share <= 1 for _, share in variants)
        assert [share for _, share in variants] == sorted((share for _, share in variants), reverse=True)


def test_a_phonetic_language_is_learned_without_errors() -> None:
    words = made_up(900)
    held_out = words[::7]
    pronouncer = Pronouncer({word: [spoken(word)] for word in words if word not in held_out})
    assert [pronouncer.pronounce(word)[0][0] for word in held_out] == [spoken(word) for word in held_out]


def test_letters_that_the_lexicon_has_not_give_nothing() -> None:
    pronouncer = Pronouncer({"ta": [["T", "A"]], "at": [["A", "T"]]})
    assert pronouncer.pronounce("tab") == [] and pronouncer.pronounce("") == []


@pytest.fixture
def lexicon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "known.dic"
    path.write_text("".join(f"{word} {' '.join(spoken(word))}\n" for word in made_up(500)))
    return path


def test_the_command_writes_known_words_as_they_are_and_new_ones_by_spelling(
    lexicon: Path, run_command: Run
) -> None:
    with lexicon.open("a") as file:
        file.write("odd Q\nodd(2) R\n")
    Path("words.txt").write_text("Xoxoxa odd\nq42 shishika xoxoxa\n")
    status, out, err = run_command(command, "lexicon=known.dic", "words=words.txt", "out=new.dic")
    assert status == 3 and "1 word as in the lexicon, 2 by their spelling" in out
    assert "1 word left out" in err and "q42" in err
    assert read_lexicon("new.dic") == {
        "xoxoxa": [spoken("xoxoxa")], "odd": [["Q"], ["R"]], "shishika": [spoken("shishika")]
    }  # fmt: skip


def test_the_command_measures_on_words_held_out(lexicon: Path, run_command: Run) -> None:
    status, out, _ = run_command(command, "lexicon=known.dic", "test=0.1")
    assert status == 0 and "phones 0.00% wrong, words 0.00%" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "either lexicon=FILE or bundle=NAME"),
        (["lexicon=known.dic"], "give the words to pronounce"),
        (["lexicon=known.dic", "test=2"], "test is 2"),
        (["lexicon=known.dic", "test=x"], "test is 'x'"),
        (["lexicon=known.dic", "test=1e-9"], "leaves none to measure on"),
        (["lexicon=known.dic", "words=known.dic", "out=known.dic"], "is read by this command"),
        (["lexicon=known.dic", "words=known.dic", "out=o", "variants=0"], "variants is 0"),
        (["lexicon=known.dic", "words=known.dic", "out=o", "case=x"], "case is 'x'"),
        (["bundle=small", "words=known.dic", "out=o"], "has no lexicon"),
    ],
)
def test_wrong_settings(lexicon: Path, run_command: Run, arguments: list[str], message: str) -> None:
    before = lexicon.read_text()
    status, _, err = run_command(command, *arguments)
    assert status == 2 and message in err
    assert lexicon.read_text() == before and not Path("o").exists()


def test_held_out_words_of_cmudict(corpora: Path) -> None:
    entries = read_lexicon(next((corpora / "english" / "lexicon").glob("*.dict")), str.lower)
    words = sorted(word for word in entries if word.isalpha() and word.isascii())
    random.Random(1).shuffle(words)
    pronouncer = Pronouncer({word: entries[word] for word in words[400:30_400]})
    right = sum(pronouncer.pronounce(word)[0][0] in entries[word] for word in words[:400])
    assert right > 0.4 * 400  # from a quarter of the words, stress included
