"""Probabilities of pronunciations that are counted from speech, and the command that does so."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from brute_force import readings
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from weighed_lexicon import LEXICON, phones_file

from speechlstm.cli import lexicon as command
from speechlstm.decoders.beam import BeamDecoder
from speechlstm.decoders.posteriors import noise
from speechlstm.decoders.pronunciation import count_heard, with_probabilities
from speechlstm.model.acoustic import AcousticModel
from speechlstm.model.bundle import Bundle
from speechlstm.model.encoder import Encoder
from speechlstm.model.features import LogMel
from speechlstm.model.selftest import save_bundle
from speechlstm.model.tokenizer import Phones
from speechlstm.model.tokenizer.lexicon import probability, read_lexicon

Run = Callable[..., tuple[int, str, str]]


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 10**6), words=st.lists(st.sampled_from(["ay", "bee", "ba"]), min_size=1, max_size=2)
)
def test_what_is_heard_is_the_posterior_probability(phones: Phones, seed: int, words: list[str]) -> None:
    log_probs = noise(7, 4, seed)
    totals = readings(log_probs)
    lexicon = phones.lexicon.entries
    wanted: dict[str, NDArray[np.float64]] = {}
    for place, word in enumerate(words):
        if len(lexicon[word]) == 1:
            continue
        likely = []
        for way in lexicon[word]:
            spoken = [way if other == place else lexicon[each][0] for other, each in enumerate(words)]
            spelled = "|".join("".join(each) for each in spoken)
            likely.append(totals.get(tuple(phones.tokens.index(token) for token in spelled), 0.0))
        wanted[word] = wanted.get(word, np.zeros(len(likely))) + np.array(likely) / sum(likely)
    counts = count_heard([(log_probs, words)], lexicon, phones.tokens)
    assert counts.keys() == wanted.keys()
    for word, count in counts.items():
        np.testing.assert_allclose(count.numpy(), wanted[word], atol=1e-6)


def test_pronunciations_are_sorted_by_what_was_heard(phones: Phones) -> None:
    counts = {"ba": torch.tensor([1.0, 7.0, 0.0])}
    made = with_probabilities(phones.lexicon.entries, counts)
    assert made["ba"] == [["A"], ["B", "A"], ["B", "B"]]
    assert [probability(way) for way in made["ba"]] == pytest.approx([9 / 14, 3 / 14, 2 / 14])
    assert made["ay"] is phones.lexicon.entries["ay"] and phones.lexicon.entries["ba"][0] == ["B", "A"]


def test_audio_that_is_too_short_for_its_text_counts_for_nothing(phones: Phones) -> None:
    assert count_heard([(noise(2, 4, 0), ["ba", "ba", "ay"])], phones.lexicon.entries, phones.tokens) == {}


def test_an_endless_text_takes_no_time_and_is_named(bundle: str, here: Path, run_command: Run) -> None:
    rows = [
        json.dumps({"audio_filepath": f"{name}.wav", "duration": 1.0, "text": text})
        for name, text in (("a", "ba ay"), ("b", "ba " * 50_000))
    ]
    for name in "ab":
        soundfile.write(f"{name}.wav", np.random.default_rng(0).normal(size=8000) * 0.1, 8000)
    Path("m.jsonl").write_text("\n".join(rows))
    status, out, err = run_command(command, bundle, "heard=m.jsonl", "out=heard.dic")
    assert status == 0 and "from 1 utterance;" in out
    assert "1 utterance left out: shorter than their texts can be spoken" in err
    assert count_heard([(noise(9, 4, 0), ["ba"] * 10**6)], {"ba": [["A"], ["B"]]}, ["", "|", "A", "B"]) == {}


@pytest.fixture
def bundle(here: Path, phones: Phones) -> str:
    torch.manual_seed(0)
    features, encoder = LogMel(sample_rate=8000, num_mels=16), {"hidden_size": 8, "num_layers": 1}
    config = {
        "name": "p", "sample_rate": 8000, "encoder": {"name": "blstm", **encoder},
        "features": {"name": "logmel", "sample_rate": 8000, "num_mels": 16},
    }  # fmt: skip
    acoustic = AcousticModel(features, Encoder(16, len(phones), **encoder)).eval()
    save_bundle(Bundle(acoustic, phones, config), here / "bundle", "")
    return "bundle=bundle"


def test_the_command_counts_what_is_heard(bundle: str, here: Path, run_command: Run) -> None:
    rows = []
    for name, text in (("a", "ba ay"), ("b", "bee"), ("c", "what is that"), ("d", "")):
        soundfile.write(f"{name}.wav", np.random.default_rng(0).normal(size=8000) * 0.1, 8000)
        rows.append(json.dumps({"audio_filepath": f"{name}.wav", "duration": 1.0, "text": text}))
    Path("m.jsonl").write_text("\n".join(rows))
    status, out, err = run_command(command, bundle, "heard=m.jsonl", "out=heard.dic")
    assert status == 0 and "3 words, 2 of them with the probabilities" in out and "2 utterances" in out
    assert "2 utterances left out: without a text, or with words that the lexicon lacks" in err
    entries = read_lexicon("heard.dic")
    assert {word: sorted(ways) for word, ways in entries.items()} == {
        "ay": [["A"], ["B"]], "bee": [["B"]], "ba": [["A"], ["B", "A"], ["B", "B"]]
    }  # fmt: skip
    assert sum(map(probability, entries["ba"])) == pytest.approx(1.0, abs=1e-3)
    assert probability(entries["ba"][0]) >= probability(entries["ba"][-1])
    again = BeamDecoder(Phones.from_texts(["ay"], "heard.dic"), lexicon="strict")
    assert again.decode(noise(5, 4, 0))


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["lexicon=p.dic", "heard=m.jsonl", "out=o.dic"], 2, "heard= takes the bundle= that is to hear"),
        (["bundle=bundle", "heard=m.jsonl"], 2, "heard= takes the bundle= that is to hear"),
        (["bundle=bundle", "heard=m.jsonl", "out=o.dic", "test=0.1"], 2, "neither words= nor test="),
        (["bundle=small", "heard=m.jsonl", "out=o.dic"], 2, "bundle=small has no lexicon"),
        (
            ["bundle=bundle", "heard=m.jsonl", "out=o.dic"],
            1,
            "m.jsonl: no utterance with a text whose words are",
        ),
        (["bundle=bundle", "heard=m.jsonl", "out=m.jsonl"], 2, "is read by this command"),
        (
            ["bundle=bundle", "heard=m.jsonl", "out=a.wav", "overwrite=true"],
            2,
            "a.wav: is read by this command",
        ),
    ],
)
def test_wrong_settings(
    bundle: str, here: Path, run_command: Run, arguments: list[str], status: int, message: str
) -> None:
    phones_file(here, LEXICON)
    soundfile.write("a.wav", np.zeros(8000), 8000)
    Path("m.jsonl").write_text(
        json.dumps({"audio_filepath": "a.wav", "duration": 1.0, "text": "nothing known"})
    )
    found, _, err = run_command(command, *arguments)
    assert found == status and message in err
    assert not Path("o.dic").exists()
