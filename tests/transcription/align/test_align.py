"""Texts aligned with recordings: times and scores of their words, alone and in batches, with the shipped recognizer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from spelling import TOKENS, SpellingBundle, write

import speechlstm
from speechlstm.data.audio import load_audio
from speechlstm.data.manifest import read_manifest
from speechlstm.model.tokenizer import Phones
from speechlstm.transcription.align import Alignment, align
from speechlstm.types import AudioError, SpeechlstmError, Utterance

SAMPLES = Path(speechlstm.__file__).parent / "data" / "samples"


def align_one(model: object, path: object, text: str) -> Alignment:
    ((_, result),) = align(model, [(str(path), text)])
    if isinstance(result, Exception):
        raise result
    return result


def utterances(folder: Path, texts: dict[str, str]) -> list[Utterance]:
    """Write audio that spells each name, without its digits, and return it with the texts."""
    made = []
    for name, text in texts.items():
        path = write(folder / f"{name}.wav", name.rstrip("0123456789"))
        made.append(Utterance(str(path), 0.0, text, name))
    return made


def test_words_and_tokens_of_known_texts(tmp_path: Path) -> None:
    (given,) = utterances(tmp_path, {"no": "NO"})
    result = align_one(
        SpellingBundle(), given.audio_filepath, given.text
    )  # n at frames 0 and 1, o at 3 and 4
    assert result.transcript.text == "NO", "as it is written"
    (word,) = result.transcript.words
    assert (word.text, word.start, word.end) == ("NO", 0.0, pytest.approx(0.12))
    n, o = result.tokens[0]
    assert (n.text, n.start, n.end) == ("n", 0.0, pytest.approx(0.04))
    assert (o.text, o.start, o.end) == ("o", pytest.approx(0.04), pytest.approx(0.12))
    assert n.confidence == pytest.approx(0.9 + 0.1 / len(TOKENS))
    assert result.scores == [pytest.approx(np.log(n.confidence))]
    assert result.transcript.score == pytest.approx(6 * np.log(n.confidence))


def test_a_wrong_word_scores_low(tmp_path: Path) -> None:
    (given,) = utterances(tmp_path, {"a go": "a no"})
    first, second = align_one(SpellingBundle(), given.audio_filepath, given.text).scores
    assert second < -1 < first


def test_one_that_fails_stops_none_and_is_named(tmp_path: Path) -> None:
    texts = {
        "yes": "yes",
        "no": "日",
        "go": " ",
        "stop": "stop",
        "up": "far too much for this",
        "ok": "ok",
    }
    given = utterances(tmp_path, texts)
    given[5] = replace(given[5], audio_filepath=str(tmp_path / "missing.wav"))
    results = dict(align(SpellingBundle(), given))
    assert sorted(results) == list(range(6))
    failures = {
        index: str(result) for index, result in results.items() if isinstance(result, SpeechlstmError)
    }
    assert [results[index].transcript.text for index in (0, 3)] == ["yes", "stop"]
    assert failures[1].startswith("no: '日' (1) not in the tokenizer's characters")  # nothing else to go by
    assert failures[2] == "go: there is no text to align"
    assert failures[4] == "up: no speech for its 5 words; does the text belong to this audio?"
    assert failures[5].startswith(str(tmp_path / "missing.wav"))


def test_align_file_raises_what_is_wrong(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", "a")
    with pytest.raises(SpeechlstmError, match=r"a\.wav: '7' \(1\) not in the tokenizer's characters"):
        align_one(SpellingBundle(), path, "7")
    with pytest.raises(AudioError, match=r"no\.wav"):
        align_one(SpellingBundle(), tmp_path / "no.wav", "a")


def test_only_the_stretch_of_an_utterance_is_aligned(tmp_path: Path) -> None:
    path = str(write(tmp_path / "a.wav", "abcd"))
    ((_, found),) = align(SpellingBundle(), [Utterance(path, 0.12, "cd", "x", offset=0.12)])
    assert isinstance(found, Alignment)
    assert found.transcript.duration == pytest.approx(0.12)
    assert found.scores[0] > -0.2


@pytest.mark.parametrize("batch_seconds", [0.1, 1.0, 120.0])
def test_batches_change_nothing(tmp_path: Path, batch_seconds: float) -> None:
    names = ["hello", "no", "a", "what is it", "yes yes", "go"]
    given = utterances(tmp_path, {name: name for name in names})
    results = dict(align(SpellingBundle(), given, batch_seconds, threads=1))
    for index, utterance in enumerate(given):
        assert results[index] == align_one(SpellingBundle(), utterance.audio_filepath, utterance.text)


def test_words_keep_their_spelling_where_tokens_do_not_have_it(tmp_path: Path) -> None:
    """Phones of a homophone are read back as the more frequent word; the given text decides."""
    lexicon = {"to": [["T", "UW"]], "two": [["T", "UW"]], "of": [["AH", "V"]]}
    phones = Phones(["<blank>", "|", "AH", "T", "UW", "V"], lexicon)
    bundle = SpellingBundle()
    bundle.tokenizer = phones
    letters = "".join(TOKENS.tokens[index] for index in phones.encode("two"))  # what has the same ids there
    path = write(tmp_path / "a.wav", letters)
    found = align_one(bundle, path, "two")
    assert phones.decode(phones.encode("two")) == "to"
    assert [word.text for word in found.transcript.words] == ["two"]
    assert [token.text for token in found.tokens[0]] == ["T", "UW"]


def test_the_samples_are_aligned_as_they_are_heard() -> None:
    """The greedy decoder's path is the best of all for the text it recognizes, so the aligner must find it."""
    bundle = speechlstm.load()
    given = read_manifest(SAMPLES / "samples.jsonl")
    results = dict(align(bundle, given, threads=1))
    compared = 0
    for index, utterance in enumerate(given):
        found, heard_alone = results[index], bundle.transcribe(utterance.audio_filepath)
        assert isinstance(found, Alignment)
        assert found.transcript.text == utterance.text
        assert [word.text for word in found.transcript.words] == utterance.text.split()
        edges = [edge for word in found.transcript.words for edge in (word.start, word.end)]
        assert edges == sorted(edges) and edges[0] >= 0 and edges[-1] <= found.transcript.duration
        assert len(found.scores) == len(found.tokens) == len(found.transcript.words)
        for word, tokens in zip(found.transcript.words, found.tokens, strict=True):
            assert (tokens[0].start, tokens[-1].end) == (word.start, word.end)
        of_its_own = [bundle.align(utterance.audio_filepath, heard_alone.text).transcript]
        if heard_alone.text == utterance.text:
            of_its_own.append(found.transcript)
        for aligned in of_its_own:
            compared += 1
            assert aligned.score == pytest.approx(heard_alone.score, abs=1e-3)
            for word, same in zip(aligned.words, heard_alone.words, strict=True):
                assert (word.start, word.end) == pytest.approx((same.start, same.end))
                assert word.confidence == pytest.approx(same.confidence, abs=1e-4)
    assert compared >= 8, "all six as recognized, and at least two as spoken"


def test_words_are_where_the_sound_is(tmp_path: Path) -> None:
    """Two samples one after the other, silence between them: no word lies in the silence."""
    parts = [load_audio(SAMPLES / f"{name}.flac", 16_000) for name in ("stop", "enter")]
    rng = np.random.default_rng(0)
    pause = rng.normal(size=16_000).astype(np.float32) * 1e-4
    path = tmp_path / "both.wav"
    soundfile.write(path, np.concatenate([parts[0], pause, parts[1]]), 16_000)
    stop, enter, nine = align_one(speechlstm.load(), path, "stop enter nine").transcript.words
    seam = len(parts[0]) / 16_000
    assert 0 <= stop.start < stop.end <= seam + 0.05
    assert (
        seam + 0.95 <= enter.start < enter.end <= nine.start < nine.end <= seam + 1 + len(parts[1]) / 16_000
    )
