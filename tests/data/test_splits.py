"""Splits of any corpus: what is held out of them for dev, and which utterances can be used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from small_corpora import sound

from speechlstm.data.corpora.base import Corpus, hold_out, measure, with_dev
from speechlstm.types import Utterance


def utterance(number: int, speaker: str | None) -> Utterance:
    return Utterance(f"{number}.wav", 1.0, "", str(number), speaker=speaker)


@given(
    st.lists(st.sampled_from(["a", "b", "c", "d", None]), max_size=40),
    st.floats(0, 1, exclude_max=True),
    st.integers(0, 9),
)
def test_holding_out_divides_by_speaker(speakers: list[str | None], fraction: float, seed: int) -> None:
    utterances = [utterance(number, speaker) for number, speaker in enumerate(speakers)]
    splits = with_dev(Corpus({"train": utterances}), fraction, seed).splits
    rest, held = splits.get("train", []), splits.get("dev", [])
    assert sorted([*rest, *held], key=lambda u: int(u.id)) == utterances
    assert [rest, held] == [[u for u in utterances if u in part] for part in (rest, held)]  # in order
    if len(set(speakers)) > 1:
        assert not ({u.speaker for u in rest} & {u.speaker for u in held}) - {None}
    assert bool(rest) == bool(utterances)
    if fraction == 0:
        assert not held
    elif len(set(speakers)) == 1 and len(speakers) > 1:  # by utterance, so almost exactly
        assert abs(len(held) - fraction * len(utterances)) <= 1
    assert with_dev(Corpus({"train": list(utterances)}), fraction, seed).splits == splits


def test_holding_out_depends_on_the_seed() -> None:
    utterances = [utterance(number, f"s{number // 5}") for number in range(100)]
    chosen = {frozenset(hold_out(utterances, 0.1, seed)) for seed in range(5)}
    assert len(chosen) > 1 and {len(ids) for ids in chosen} == {10}


def test_an_official_dev_set_is_left_alone() -> None:
    splits = {"train": [utterance(n, None) for n in range(9)], "dev": [utterance(9, None)]}
    for corpus in (Corpus(splits), Corpus({"eval": splits["train"]})):
        assert with_dev(corpus, 0.5, 0) is corpus


def test_measuring_names_what_cannot_be_used(tmp_path: Path) -> None:
    good = sound(tmp_path / "good.wav", 1.0)
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "text.wav").write_text("this is no audio" * 10)
    soundfile.write(tmp_path / "none.wav", np.zeros(0), 16000)
    names = ["good", "empty", "text", "none", "gone"]
    split = [Utterance(str(tmp_path / f"{name}.wav"), 0.0, "x", name) for name in names]
    split += [
        Utterance(str(good), 0.0, "x", "good"),
        Utterance(str(good), 0.5, "x", "late", offset=1.5),
        Utterance(str(good), 0.9, "x", "long", offset=0.5),
        Utterance(str(good), 0.55, "x", "rounded", offset=0.5),
        Utterance(str(good), 0.0, "x", "rest", offset=0.25),
    ]
    corpus = measure(Corpus({"train": split}, ["before"]))
    assert {u.id: u.duration for u in corpus.splits["train"]} == {"good": 1.0, "rounded": 0.5, "rest": 0.75}
    reasons = dict(zip(["", *names[1:], "good", "late", "long"], corpus.problems, strict=True))
    assert reasons[""] == "before"
    assert all(reasons[name].startswith(f"{tmp_path}/{name}.wav: ") for name in names[1:])
    assert "id 'good' occurs twice in train" in reasons["good"]
    assert "begins at 1.5 s but the file ends at 1 s" in reasons["late"]
    assert "should last 0.9 s from 0.5 s on, but the file ends at 1 s" in reasons["long"]
