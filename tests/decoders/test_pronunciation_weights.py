"""Probabilities of pronunciations: in lexicons and bundles, in the search, and counted from speech."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from brute_force import readings
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from speechlstm.cli import lexicon as command
from speechlstm.decoders.beam import BeamDecoder
from speechlstm.decoders.lm import NGram, load
from speechlstm.decoders.posteriors import noise
from speechlstm.decoders.pronunciation import count_heard, with_probabilities
from speechlstm.model.acoustic import AcousticModel
from speechlstm.model.bundle import Bundle
from speechlstm.model.encoder import Encoder
from speechlstm.model.features import LogMel
from speechlstm.model.selftest import save_bundle
from speechlstm.model.tokenizer import Phones, from_dict
from speechlstm.model.tokenizer.lexicon import parse_phones, probability, read_lexicon, to_text
from speechlstm.types import TokenizerError

Run = Callable[..., tuple[int, str, str]]

LEXICON = "ay 0.7 A\nay(2) 0.3 B\nbee B\nba 0.5 B A\nba(2) 0.25 A\nba(3) 0.25 B B\n"
LM = """\\data\\
ngram 1=6
ngram 2=3

\\1-grams:
-2\t<unk>
-99\t<s>\t-0.4
-0.9\t</s>
-0.7\tay\t-0.3
-1.1\tbee\t-0.2
-0.8\tba\t-0.1

\\2-grams:
-0.2\t<s> ba
-0.5\tay bee
-0.3\tbee ay

\\end\\
"""


@pytest.fixture(scope="module")
def phones(tmp_path_factory: pytest.TempPathFactory) -> Phones:
    path = tmp_path_factory.mktemp("lexicon") / "p.dic"
    path.write_text(LEXICON)
    return Phones.from_texts(["ay bee ba"], path)  # <blank> | A B


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> NGram:
    path = tmp_path_factory.mktemp("lm") / "words.arpa"
    path.write_text(LM)
    return load(path)


def ways_to_read(tokens: tuple[int, ...], phones: Phones) -> Iterator[tuple[list[str], float]]:
    """Yield the words that are spelled so, with the natural log of their pronunciations by the best ones."""
    spelled = "".join(phones.tokens[token] for token in tokens).split("|") if tokens else []
    choices = []
    for part in filter(None, spelled):
        choices.append(
            [
                (word, math.log(probability(way) / max(map(probability, ways))))
                for word, ways in phones.lexicon.entries.items()
                for way in ways
                if "".join(way) == part
            ]
        )
    for choice in itertools.product(*choices):
        yield [word for word, _ in choice], sum(share for _, share in choice)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), weight=st.floats(0.0, 3.0), bonus=st.floats(-1.0, 2.0))
@example(
    seed=98, weight=3.0, bonus=0.0
)  # what follows the last word, the end of the text, decides between two
def test_the_search_weighs_pronunciations(
    phones: Phones, model: NGram, seed: int, weight: float, bonus: float
) -> None:
    log_probs = noise(5, 4, seed)
    wanted: dict[str, float] = {}
    for tokens, total in readings(log_probs).items():
        for words, share in ways_to_read(tokens, phones):
            score = math.log(total) + sum(model.score(words)) + bonus * len(words) + weight * share
            key = " ".join(words)
            wanted[key] = max(wanted.get(key, -math.inf), score)
    decoder = BeamDecoder(
        phones, beam_size=3000, token_threshold=0.0, beam_threshold=math.inf, lm=model, lm_weight=1.0,
        word_bonus=bonus, lexicon="strict", pronunciation_weight=weight,
    )  # fmt: skip
    found = decoder.decode(log_probs)[0]
    assert found.score == pytest.approx(max(wanted.values()), abs=1e-5)
    assert wanted[found.text] == pytest.approx(found.score, abs=1e-5)
    assert found.score == pytest.approx(sum(found.parts.values()), abs=1e-6)


def test_a_rare_pronunciation_gives_way_to_another_word(phones: Phones) -> None:
    probs = torch.full((3, 4), 0.002)
    probs[0, 3] = probs[1, 0] = probs[2, 0] = 0.994  # B: "bee", or three times in ten "ay"
    loose = BeamDecoder(phones, lexicon="strict", pronunciation_weight=0.0, word_bonus=1.0).decode(
        probs.log()
    )[0]
    found = BeamDecoder(phones, lexicon="strict", pronunciation_weight=1.0, word_bonus=1.0).decode(
        probs.log()
    )[0]
    assert found.text == "bee" and found.score == pytest.approx(loose.score) and loose.text == "ay"
    probs[0, 2], probs[0, 3] = 0.994, 0.002  # A: "ay", or one in four times "ba", half as often as its best
    found = BeamDecoder(phones, lexicon="strict", pronunciation_weight=1.0).decode(probs.log())[0]
    assert found.text == "ay"


def test_a_lexicon_says_how_probable_its_pronunciations_are(tmp_path: Path, phones: Phones) -> None:
    entries = read_lexicon(phones_file(tmp_path, LEXICON))
    assert entries == {"ay": [["A"], ["B"]], "bee": [["B"]], "ba": [["B", "A"], ["A"], ["B", "B"]]}
    assert [probability(way) for way in entries["ba"]] == [0.5, 0.25, 0.25]
    assert probability(entries["bee"][0]) == 1.0
    description = json.loads(json.dumps(phones.to_dict()))
    assert description["lexicon"]["ba"] == ["0.5000 B A", "0.2500 A", "0.2500 B B"]
    read = from_dict(description)
    assert isinstance(read, Phones) and read.lexicon.entries == phones.lexicon.entries
    for word, ways in phones.lexicon.entries.items():
        assert list(map(probability, read.lexicon.entries[word])) == list(map(probability, ways))
    assert read.encode("ba ay") == phones.encode("ba ay") and read.decode(read.encode("ba bee")) == "ba bee"


@pytest.mark.parametrize("share", [1.0, 0.5, 1e-9])
def test_a_pronunciation_is_written_as_it_is_read(share: float) -> None:
    phones = parse_phones([str(share) if share > 1e-4 else "0.000000001", "A", "B"])
    again = parse_phones(to_text(phones).split())
    assert again == ["A", "B"] and probability(again) == pytest.approx(max(share, 1e-4))
    assert to_text(["A", "B"]) == "A B"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "a 0.0 X",
            r"p.dic:1: 'a': the probability of a pronunciation is 0.0, but must be above 0 and at most 1",
        ),
        ("a 1.5 X", r"p.dic:1: 'a': the probability of a pronunciation is 1.5,"),
        ("a 0.5", r"p.dic:1: 'a' has no phones"),
        ("a -0.5 X", r"p.dic:1: 'a': the probability of a pronunciation is -0.5,"),
        ("a 2. X", r"p.dic:1: 'a': the probability of a pronunciation is 2.,"),
        ("a 5e+1 X", r"p.dic:1: 'a': the probability of a pronunciation is 5e\+1,"),
        (
            "a 0.1 0.2 X",
            r"p.dic:1: 'a': a pronunciation has one number, its probability, but here 0.2 follows 0.1",
        ),
    ],
)
def test_wrong_probabilities(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(TokenizerError, match=message):
        read_lexicon(phones_file(tmp_path, line))


@pytest.mark.parametrize(("text", "share"), [("5e-1", 0.5), ("+0.5", 0.5), ("1.", 1.0), ("1e-320", 1e-320)])
def test_probabilities_are_numbers_in_any_form(tmp_path: Path, text: str, share: float) -> None:
    (way,) = read_lexicon(phones_file(tmp_path, f"a {text} X"))["a"]
    assert way == ["X"] and probability(way) == share


def test_wrong_probabilities_of_a_bundle(phones: Phones) -> None:
    description = phones.to_dict()
    description["lexicon"]["ba"] = ["7.5 B A"]
    with pytest.raises(TokenizerError, match=r"the probability of a pronunciation is 7\.5"):
        from_dict(description)


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


def phones_file(folder: Path, content: str) -> Path:
    path = folder / "p.dic"
    path.write_text(content)
    return path


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
