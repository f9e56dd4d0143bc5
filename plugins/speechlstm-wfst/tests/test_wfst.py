"""The graph search keeps the contract, finds the best sentence of all, and never takes a graph for another."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

pytest.importorskip("kaldifst")
pytest.importorskip("kaldilm")
pytest.importorskip("kaldi_decoder")

from speechlstm_wfst import WfstDecoder, build
from speechlstm_wfst.nbest import best_sentences

from speechlstm.decoders import create
from speechlstm.decoders.contract import DecoderContract
from speechlstm.decoders.posteriors import mumbled, noise, spoken
from speechlstm.model.tokenizer import Characters, Phones, Words
from speechlstm.transcription.transcript import to_transcript
from speechlstm.types import SpeechlstmError

LETTERS = Characters.from_texts(["see a cab bee sea"])


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep graphs out of the user's own cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPEECHLSTM_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield tmp_path_factory.getbasetemp()


class TestWfst(DecoderContract):
    name = "wfst"
    beam = ("beam", (2.0, 6.0, 16.0))


class TestNBest(DecoderContract):
    name = "wfst"
    test_a_spawned_process_gives_the_same = None  # takes seconds; the one above does it
    params: ClassVar = {"n_best": 4, "lattice_beam": 5.0}  # noise has a large lattice of what lies within 10
    beam = ("beam", (2.0, 6.0, 16.0))


BIGRAMS = ("-0.2\t<s> a", "-0.3\ta sea", "-1\ta see")


def arpa(path: Path, words: dict[str, float], bigrams: tuple[str, ...] = BIGRAMS) -> Path:
    """Write a bigram model: words with their log10 probabilities, all back-off weights 0.5."""
    lines = [
        f"\\data\\\nngram 1={len(words) + 2}\nngram 2={len(bigrams)}\n\n\\1-grams:\n-99\t<s>\t-0.30103\n-0.7\t</s>"
    ]
    lines += [f"{value}\t{word}\t-0.30103" for word, value in words.items()]
    path.write_text("\n".join([*lines, "\n\\2-grams:", *bigrams, "\n\\end\\\n"]))
    return path


@pytest.fixture
def lm(tmp_path: Path) -> Path:
    return arpa(tmp_path / "lm.arpa", {"a": -0.6, "see": -0.9, "sea": -1.2, "cab": -1.1})


def sentence_score(words: tuple[str, ...]) -> float:
    """Return the natural log-probability that `lm` gives a sentence."""
    unigrams = {"a": -0.6, "see": -0.9, "sea": -1.2, "cab": -1.1, "</s>": -0.7}
    pairs = {tuple(line.split("\t")[1].split()): float(line.split("\t")[0]) for line in BIGRAMS}
    steps = itertools.pairwise(("<s>", *words, "</s>"))
    return math.log(10) * sum(pairs.get(step, unigrams[step[1]] - 0.30103) for step in steps)


def best_alignment(log_probs: torch.Tensor, tokens: list[int]) -> float:
    """Return the log-probability of the best alignment of tokens, by dynamic programming over all."""
    states = [0, *(label for token in tokens for label in (token, 0))]
    best = [0.0] + [-math.inf] * (len(states) - 1)
    for frame, row in enumerate(log_probs.tolist()):
        after = []
        for index, token in enumerate(states):
            ways = [best[index], best[index - 1] if index else -math.inf]
            if index > 1 and token and token != states[index - 2]:
                ways.append(best[index - 2])
            if frame == 0:
                ways = [0.0 if index < 2 else -math.inf]
            after.append(max(ways) + row[token])
        best = after
    return max(best[-2:])


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("lm_weight", [0.5, 1.5])
def test_it_finds_the_best_sentence_of_all(seed: int, lm_weight: float, lm: Path) -> None:
    log_probs = noise(9, len(LETTERS), seed)
    scores = {
        words: best_alignment(log_probs, LETTERS.encode(" ".join(words))) + lm_weight * sentence_score(words)
        for count in range(4)
        for words in itertools.product(("a", "see", "sea", "cab"), repeat=count)
    }
    ranked = sorted(scores, key=lambda words: -scores[words])
    decoder = WfstDecoder(LETTERS, lm=lm, lm_weight=lm_weight, beam=100, n_best=1)
    [hypothesis] = decoder.decode(log_probs)
    # A separator may also stand before and after all words, or twice between them, so its score may be better.
    assert hypothesis.score >= scores[ranked[0]] - 1e-3
    assert hypothesis.text is not None
    spelled = [token for token in hypothesis.tokens if LETTERS.tokens[token] != LETTERS.separator]
    assert spelled == [token for word in hypothesis.text.split() for token in LETTERS.encode(word)]
    path = best_alignment(log_probs, hypothesis.tokens) + lm_weight * sentence_score(
        tuple(hypothesis.text.split())
    )
    assert hypothesis.score == pytest.approx(path, abs=1e-3)


def test_the_language_model_decides_between_homophones(tmp_path: Path, lm: Path) -> None:
    lexicon = tmp_path / "lexicon"
    lexicon.write_text("see s e e\nsea s e e\na a\ncab c a b\n")
    decoder = WfstDecoder(LETTERS, lm=lm, lexicon=lexicon, lm_weight=1.0, n_best=2)
    hypotheses = decoder.decode(spoken(LETTERS, "a see"))
    assert [each.text for each in hypotheses] == ["a sea", "a see"]
    assert hypotheses[0].score - hypotheses[1].score == pytest.approx(0.7 * math.log(10), rel=1e-3)


def test_n_best_differ_and_the_first_is_what_one_alone_is(lm: Path) -> None:
    one, several = (WfstDecoder(LETTERS, lm=lm, n_best=n, beam=30, lattice_beam=20) for n in (1, 5))
    for seed in range(5):
        log_probs = mumbled(LETTERS, "a cab sea", seed, noise=2.0)
        hypotheses = several.decode(log_probs)
        [best] = one.decode(log_probs)
        assert len({each.text for each in hypotheses}) == len(hypotheses) > 1
        assert (best.text, best.tokens) == (hypotheses[0].text, hypotheses[0].tokens)
        assert best.score == pytest.approx(hypotheses[0].score, rel=1e-4)


@pytest.mark.parametrize("seed", range(20))
def test_best_sentences_are_those_of_all_ways_through_a_lattice(seed: int) -> None:
    draw = random.Random(seed)
    arcs = [
        (source, target, draw.randrange(1, 4), draw.choice([0, 0, 1, 2]), draw.random(), draw.random())
        for source, target in itertools.combinations(range(7), 2)
        for _ in range(draw.randrange(3))
    ]
    arcs += [(0, 6, 1, 1, 5.0, 5.0)]
    text = "".join(
        f"{s} {t} {label} {word} {graph},{sound}\n" for s, t, label, word, graph, sound in sorted(arcs)
    )
    sentences: dict[tuple[int, ...], tuple[float, list[int]]] = {}

    def walk(state: int, labels: list[int], words: tuple[int, ...], cost: float) -> None:
        if state == 6:
            sentences[words] = min(sentences.get(words, (math.inf, [])), (cost + 0.5, labels))
        for source, target, label, word, graph, sound in arcs:
            if source == state:
                walk(target, [*labels, label], words + (word,) * (word > 0), cost + graph + sound)

    walk(0, [], (), 0.0)
    wanted = sorted((cost, words, labels) for words, (cost, labels) in sentences.items())[:4]
    hypotheses = best_sentences(f"{text}6 0.2,0.3\n", 4)
    assert [tuple(words) for _, words, _ in hypotheses] == [words for _, words, _ in wanted]
    assert [cost for *_, cost in hypotheses] == pytest.approx([cost for cost, _, _ in wanted])
    assert [labels for labels, _, _ in hypotheses] == [labels for _, _, labels in wanted]


def test_words_get_their_times(lm: Path) -> None:
    log_probs = spoken(LETTERS, "a cab", hold=2)
    transcript = to_transcript(WfstDecoder(LETTERS, lm=lm).decode(log_probs), LETTERS, 0.04, "x", 1.0)
    assert [(word.text, round(word.start, 2), round(word.end, 2)) for word in transcript.words] == [
        ("a", 0.0, 0.2),
        ("cab", 0.2, 0.68),
    ]


def test_tokens_that_are_words_or_phones(tmp_path: Path, lm: Path) -> None:
    whole = Words.from_texts(["a see sea cab"])
    [hypothesis] = WfstDecoder(whole, lm=lm).decode(spoken(whole, "a sea cab cab", hold=3))
    assert hypothesis.text == "a sea cab cab"
    phones = Phones(
        ["<blank>", "|", "AH", "S", "IY"],
        {"a": [["AH"]], "see": [["S", "IY"], ["S", "AH"]], "sea": [["S", "IY"]]},
    )
    decoder = WfstDecoder(phones, lm=lm, n_best=2)
    path = [phones.tokens.index(name) for name in ("AH", "|", "S", "AH")]
    log_probs = (
        torch.nn.functional.one_hot(torch.tensor(path), 5).float().clamp(min=1e-4).log().log_softmax(-1)
    )
    assert decoder.decode(log_probs)[0].text == "a see", "each of a word's pronunciations is known"


def graphs(cache: Path) -> dict[Path, float]:
    return {path: path.stat().st_mtime for path in cache.glob("*/TLG.fst")}


def test_a_graph_is_built_once_for_the_same_content(
    tmp_path: Path, lm: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    WfstDecoder(LETTERS, lm=lm, cache=tmp_path / "c")
    before = graphs(tmp_path / "c")
    assert len(before) == 1 and "building the search graph" in capfd.readouterr().err
    lm.rename(tmp_path / "elsewhere.arpa")
    WfstDecoder(LETTERS, lm=tmp_path / "elsewhere.arpa", cache=tmp_path / "c", beam=3.0)
    assert graphs(tmp_path / "c") == before and "building" not in capfd.readouterr().err
    assert {path.name for path in (tmp_path / "c").glob("*/*")} == {"TLG.fst", "words.txt"}, (
        "nothing is left over"
    )


def test_another_model_lexicon_or_tokenizer_gets_a_graph_of_its_own(tmp_path: Path, lm: Path) -> None:
    places = {"cache": tmp_path / "c"}
    lexicon = tmp_path / "lexicon"
    lexicon.write_text("see s e e\na a\n")
    larger = Characters.from_texts(["see a cab bee sea f"])
    WfstDecoder(LETTERS, lm=lm, **places)
    WfstDecoder(LETTERS, lm=lm, lexicon=lexicon, **places)
    WfstDecoder(larger, lm=lm, **places)
    arpa(lm, {"a": -0.6, "see": -0.9, "sea": -1.2, "cab": -1.0})
    WfstDecoder(LETTERS, lm=lm, **places)
    assert len(graphs(tmp_path / "c")) == 4
    [hypothesis] = WfstDecoder(larger, lm=lm, **places).decode(spoken(larger, "a cab"))
    assert hypothesis.text == "a cab"


@pytest.mark.parametrize("damage", ["cut short", "something else", "no words"])
def test_a_damaged_graph_is_built_again(damage: str, tmp_path: Path, lm: Path) -> None:
    WfstDecoder(LETTERS, lm=lm, cache=tmp_path / "c")
    [path] = graphs(tmp_path / "c")
    if damage == "no words":
        (path.parent / "words.txt").unlink()
    else:
        path.write_bytes(path.read_bytes()[:100] if damage == "cut short" else b"nothing of the kind")
    [hypothesis] = WfstDecoder(LETTERS, lm=lm, cache=tmp_path / "c").decode(spoken(LETTERS, "a cab"))
    assert hypothesis.text == "a cab"


def test_words_that_cannot_be_spelled_are_counted_and_named(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    strange = {f"{letter}{letter}": -1.5 for letter in "fghijklmnopq"}
    WfstDecoder(LETTERS, lm=arpa(tmp_path / "lm", {"a": -0.6, **strange}, ("-0.2\t<s> a",)))
    named = ", ".join(f"'{letter}{letter}'" for letter in "fghijklmno")
    assert f"12 of 13 words cannot be spelled by the tokenizer: {named} ...\n" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("params", "files", "message"),
    [
        ({}, {}, "'lm'; its settings are: lm, lexicon"),
        ({"lm": None}, {}, "sentences of a language model: add lm=FILE"),
        ({"lm": "gone"}, {}, "gone: cannot be read: No such file"),
        ({"lm": "."}, {}, r"\.: cannot be read: Is a directory"),
        ({"lm": "bad"}, {"bad": "hello\nworld\n"}, r"bad:\d+: "),
        ({"lm": "empty"}, {"empty": ""}, "empty"),
        ({"lm": "lm.arpa", "lexicon": "gone"}, {}, "gone: cannot be read"),
        ({"lm": "lm.arpa", "lexicon": "words"}, {"words": "a\n"}, "words:1: 'a' has no phones"),
        (
            {"lm": "lm.arpa", "lexicon": "words"},
            {"words": "fish f i sh\n"},
            "none of its 4 words can be spelled by words: 'a', 'see'",
        ),
        ({"lm": "lm.arpa", "lm_weight": 0}, {}, "lm_weight is 0, but must be a number above 0"),
        ({"lm": "lm.arpa", "beam": math.nan}, {}, "beam is nan"),
        ({"lm": "lm.arpa", "n_best": 0}, {}, "n_best is 0, but must be a whole number, 1 or more"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(
    params: dict[str, Any], files: dict[str, str], message: str, lm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(lm.parent)
    for name, content in files.items():
        Path(name).write_text(content)
    with pytest.raises(SpeechlstmError, match=message) as raised:
        create("wfst", tokenizer=LETTERS, **params)
    assert "\n" not in str(raised.value)


def test_a_build_that_dies_leaves_a_sentence_and_nothing_else(
    tmp_path: Path, lm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "dies.py"
    script.write_text("import os, sys; print('some log', file=sys.stderr); os.abort()")
    monkeypatch.setattr(build, "__file__", str(script))
    with pytest.raises(SpeechlstmError, match=r"lm.arpa: no search graph could be built of it: some log"):
        WfstDecoder(LETTERS, lm=lm, cache=tmp_path / "c")
    assert list((tmp_path / "c").iterdir()) == []


def test_a_cache_that_cannot_be_written_is_said(tmp_path: Path, lm: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SpeechlstmError, match=r"file/\w+: the graph cannot be written: Not a directory"):
        WfstDecoder(LETTERS, lm=lm, cache=tmp_path / "file")
