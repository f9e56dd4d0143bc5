"""Recombination: against searches that keep all prefixes, and what its lists of hypotheses say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_lookahead import LETTERS, model_of, words_of
from torch import Tensor

from speechlstm.decoders.beam import BeamDecoder
from speechlstm.decoders.posteriors import mumbled, noise
from speechlstm.model.tokenizer import Characters, Phones
from speechlstm.types import Hypothesis

CHARACTERS = Characters.from_texts([LETTERS])
MODEL = model_of(0, words_of(0, 30), sentences=200)


def searched(log_probs: Tensor, recombines: bool = True, **options: object) -> list[Hypothesis]:
    decoder = BeamDecoder(CHARACTERS, lm=MODEL, lm_weight=0.8, word_bonus=0.3, **options)  # type: ignore[arg-type]
    assert decoder.options.recombines
    decoder.options = decoder.options._replace(recombines=recombines)
    return decoder(log_probs)[0]


def test_narrow_beams_are_better_with_it() -> None:
    rng, words = np.random.default_rng(0), words_of(0, 30)
    better = []
    for seed in range(40):
        text = " ".join(words[index] for index in rng.integers(0, len(words), 12))
        log_probs = mumbled(CHARACTERS, text, seed, noise=2.0)
        scores = [
            searched(log_probs, recombines=recombines, lexicon="strict", beam_size=16)[0].score
            for recombines in (True, False)
        ]
        better.append(scores[0] - scores[1])
    assert np.mean(better) > 0.5 and np.mean(np.array(better) > -0.1) > 0.8


@pytest.mark.parametrize("lexicon", ["soft", "strict"])
def test_lists_are_those_of_a_search_that_keeps_all(lexicon: str) -> None:
    """Alignments that would come together again are lost, but little with them."""
    wide = {"lexicon": lexicon, "beam_size": 6000, "beam_threshold": 600.0, "token_threshold": 0.0}
    shared, same, lower = [], [], []
    for seed in range(20):
        whole = {
            each.text: each.score
            for each in searched(noise(8, len(CHARACTERS), seed), recombines=False, n_best=60, **wide)
        }
        found = searched(noise(8, len(CHARACTERS), seed), n_best=20, **wide)
        best = list(whole)[:20]
        shared.append(len({each.text for each in found} & set(best)) / len(best))
        same.append(found[0].text == best[0])
        lower += [whole[each.text] - each.score for each in found if each.text in whole]
    assert np.mean(shared) > 0.8 and np.mean(same) > 0.9
    assert min(lower) > -0.5 and np.median(lower) < 0.2


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 60),
    st.integers(0, 10**6),
    st.sampled_from(["soft", "strict"]),
    st.sampled_from([None, ["ab", "c a"]]),
    st.integers(2, 40),
)
def test_hypotheses_are_scored_as_what_they_say(
    frames: int, seed: int, lexicon: str, hotwords: list[str] | None, beam_size: int
) -> None:
    found = searched(
        noise(frames, len(CHARACTERS), seed),
        lexicon=lexicon,
        hotwords=hotwords,
        beam_size=beam_size,
        n_best=15,
    )
    scores = [each.score for each in found]
    assert scores == sorted(scores, reverse=True) and len({each.text for each in found}) == len(found)
    whole = len(found) > 1 or lexicon == "soft"  # else a strict lexicon may have left it within a word
    for each in found:
        parts = each.parts
        assert each.text == CHARACTERS.decode(each.tokens)
        assert each.score == pytest.approx(parts["acoustic"] + 0.8 * parts["lm"] + parts["bonus"], abs=1e-6)
        assert all(
            start < end <= after
            for start, end, after in zip(each.starts, each.ends, [*each.starts[1:], frames], strict=False)
        )
        if whole:
            assert parts["lm"] == pytest.approx(sum(MODEL.score((each.text or "").split())), abs=1e-4)
        if whole and lexicon == "strict" and not hotwords:
            assert parts["bonus"] == pytest.approx(0.3 * len((each.text or "").split()), abs=1e-6)


def test_other_words_before_the_same_words_stay_in_the_list(tmp_path: Path) -> None:
    (tmp_path / "lm.arpa").write_text(
        "\\data\\\nngram 1=6\n\n\\1-grams:\n-1 <unk>\n-1 </s>\n-99 <s>\n-1 one\n-1 two\n-1 three\n\n\\end\\\n"
    )
    (tmp_path / "words.txt").write_text("one A\ntwo B\nthree C\n")
    phones = Phones(["<blank>", "|", "A", "B", "C"], {"one": [["A"]], "two": [["B"]], "three": [["C"]]})
    decoder = BeamDecoder(
        phones, lm=tmp_path / "lm.arpa", words=tmp_path / "words.txt", lexicon="strict", n_best=10, beam_size=20
    )  # fmt: skip
    log_probs = np.log(
        [
            [0.02, 0.02, 0.60, 0.34, 0.02],
            [0.02, 0.92, 0.02, 0.02, 0.02],
            [0.02, 0.02, 0.02, 0.02, 0.92],
            *[[0.02, 0.92, 0.02, 0.02, 0.02], [0.02, 0.02, 0.02, 0.02, 0.92]] * 8,
        ]
    )
    found = decoder(log_probs)[0]
    end = " three" * 9
    assert [each.text for each in found[:2]] == [f"one{end}", f"two{end}"]
    assert found[0].score - found[1].score == pytest.approx(np.log(0.60 / 0.34), abs=0.1)
    assert found[0].confidences[0] < 0.6 < 0.8 < found[0].confidences[2]


def test_words_that_sound_alike_stay_in_the_list(tmp_path: Path) -> None:
    (tmp_path / "lm.arpa").write_text(
        "\\data\\\nngram 1=6\n\n\\1-grams:\n-3 <unk>\n-1 </s>\n-99 <s>\n-1 two\n-1.1 too\n-1 three\n\n\\end\\\n"
    )
    (tmp_path / "words.txt").write_text("two A\ntoo A\nthree C\n")
    phones = Phones(["<blank>", "|", "A", "C"], {"two": [["A"]], "too": [["A"]], "three": [["C"]]})
    decoder = BeamDecoder(
        phones, lm=tmp_path / "lm.arpa", words=tmp_path / "words.txt", lexicon="strict", n_best=8, lm_weight=1.0
    )  # fmt: skip
    two, boundary, three = (np.where(np.arange(4) == token, 0.9997, 0.0001) for token in (2, 1, 3))
    for end in ([three], [boundary, three, three]):  # a lane that stays, and one that is reached anew
        found = decoder(np.log([two, two, boundary, boundary, two, boundary, *end]))[0][:4]
        assert found[0].text == "two two three" and found[3].text == "too too three"
        assert {each.text for each in found[1:3]} == {"two too three", "too two three"}
        lost = [found[0].score - each.score for each in found]
        assert lost == pytest.approx([0, 0.1 * np.log(10), 0.1 * np.log(10), 0.2 * np.log(10)], abs=1e-6)
