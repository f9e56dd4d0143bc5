"""Forced alignment: brute force, torchaudio's, the CTC loss, and what the greedy decoder finds by itself."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import torchaudio
from hypothesis import given
from hypothesis import strategies as st
from spelling import TOKENS, SpellingBundle, write

import speechlstm
from speechlstm.data.audio import load_audio
from speechlstm.data.manifest import read_manifest
from speechlstm.model.tokenizer import Phones
from speechlstm.transcription import align as module
from speechlstm.transcription import formats as transcript
from speechlstm.transcription.align import Alignment, align, forced_alignment
from speechlstm.transcription.transcript import Transcript, Word
from speechlstm.types import AudioError, SpeechlstmError, Utterance

SAMPLES = Path(speechlstm.__file__).parent / "data" / "samples"


def align_one(model: object, path: object, text: str) -> Alignment:
    ((_, result),) = align(model, [(str(path), text)])
    if isinstance(result, Exception):
        raise result
    return result


def posteriors(frames: int, vocab: int, seed: int) -> np.ndarray:
    """Return normalized log-probabilities with a clear favourite in most frames."""
    logits = torch.randn(frames, vocab, generator=torch.Generator().manual_seed(seed)) * 4
    return logits.log_softmax(-1).numpy()


def collapse(path: Sequence[int]) -> list[int]:
    return [label for label, _ in groupby(path) if label]


def labels(log_probs: np.ndarray, tokens: list[int]) -> tuple[list[int], float]:
    """Return the label of each frame of the best path, and the path's score."""
    found, path = forced_alignment(log_probs, tokens)
    frames = [0] * len(log_probs)
    for token, start, end in zip(found.tokens, found.starts, found.ends, strict=True):
        frames[start:end] = [token] * (end - start)
    assert path == pytest.approx(log_probs[np.arange(len(frames)), frames], abs=1e-6)
    assert float(path.sum()) == pytest.approx(found.score, abs=1e-6)
    return frames, found.score


def random_tokens(count: int, vocab: int, seed: int) -> list[int]:
    return np.random.default_rng(seed).integers(1, vocab, count).tolist()


@given(st.integers(1, 6), st.integers(2, 4), st.integers(0, 2**31), st.data())
def test_brute_force_over_all_alignments(frames: int, vocab: int, seed: int, data: st.DataObject) -> None:
    log_probs = posteriors(frames, vocab, seed)
    tokens = collapse(data.draw(st.lists(st.integers(0, vocab - 1), min_size=frames, max_size=frames)))
    paths = [p for p in itertools.product(range(vocab), repeat=frames) if collapse(p) == tokens]
    best = max(paths, key=lambda path: log_probs[range(frames), path].sum())
    found, score = labels(log_probs, tokens)
    assert tuple(found) == best
    assert score == pytest.approx(float(log_probs[range(frames), best].sum()), abs=1e-5)


@pytest.mark.parametrize("seed", range(20))
def test_torchaudio_finds_the_same(seed: int) -> None:
    rng = np.random.default_rng(seed)
    frames, vocab = int(rng.integers(20, 300)), int(rng.integers(2, 60))
    log_probs = posteriors(frames, vocab, seed)
    tokens = random_tokens(int(rng.integers(1, frames // 2)), vocab, seed)
    oracle, scores = torchaudio.functional.forced_align(
        torch.from_numpy(log_probs)[None], torch.tensor([tokens], dtype=torch.int32), blank=0
    )
    found, score = labels(log_probs, tokens)
    assert found == oracle[0].tolist()
    assert score == pytest.approx(float(scores.double().sum()), rel=1e-5)


@given(st.integers(0, 30), st.integers(0, 40), st.integers(2, 6), st.integers(0, 2**31))
def test_tokens_are_in_order_apart_and_inside(count: int, spare: int, vocab: int, seed: int) -> None:
    tokens = random_tokens(count, vocab, seed)
    repeats = sum(a == b for a, b in pairwise(tokens))
    frames = max(count + repeats + spare, 1)
    log_probs = posteriors(frames, vocab, seed)
    found, path = forced_alignment(log_probs, tokens)
    assert found.tokens == tokens
    assert len(path) == frames
    assert all(0 <= start < end <= frames for start, end in zip(found.starts, found.ends, strict=True))
    for (end, start), (before, after) in zip(
        zip(found.ends, found.starts[1:], strict=False), pairwise(tokens), strict=True
    ):
        assert end < start if before == after else end <= start
    for start, end, confidence in zip(found.starts, found.ends, found.confidences, strict=True):
        assert confidence == pytest.approx(float(np.exp(path[start:end]).mean()), abs=1e-6)
    if count:
        targets, sizes = torch.tensor([tokens]), (torch.tensor([frames]), torch.tensor([count]))
        all_paths = -torch.nn.functional.ctc_loss(
            torch.from_numpy(log_probs)[:, None].double(), targets, *sizes, reduction="sum"
        )
        assert found.score <= float(all_paths) + 1e-6


def test_the_best_path_of_all_is_found_by_the_greedy_text() -> None:
    log_probs = posteriors(200, 12, 3)
    best = log_probs.argmax(-1)
    found, score = labels(log_probs, collapse(best))
    assert found == best.tolist()
    assert score == pytest.approx(float(log_probs.max(-1).sum()), rel=1e-6)


def test_impossible_frames_are_avoided() -> None:
    log_probs = np.full((5, 3), -np.inf, np.float32)
    log_probs[range(5), [0, 1, 1, 0, 1]] = 0.0
    assert labels(log_probs, [1, 1]) == ([0, 1, 1, 0, 1], 0.0)


def test_layout_and_precision_do_not_matter() -> None:
    log_probs = posteriors(40, 6, 1)
    wanted = labels(log_probs, [1, 2, 2, 5])
    assert labels(np.asfortranarray(log_probs), [1, 2, 2, 5]) == wanted
    assert labels(log_probs.astype(np.float64), [1, 2, 2, 5]) == wanted


@pytest.mark.parametrize(
    ("frames", "tokens", "message"),
    [
        (
            2,
            [1, 2, 1],
            r"2 frames cannot hold 3 tokens, which need 3; does the text belong to this audio\?",
        ),
        (3, [1, 1, 2], r"3 frames cannot hold 3 tokens, which need 4;"),
        (0, [], r"0 frames cannot hold 0 tokens, which need 1;"),
        (9, [1, 3], r"token 3 cannot be aligned: ids go from 1 to 2, 0 is the blank"),
        (9, [0], r"token 0 cannot be aligned"),
        (9, [-1], r"token -1 cannot be aligned"),
    ],
)
def test_what_cannot_be_aligned(frames: int, tokens: list[int], message: str) -> None:
    with pytest.raises(SpeechlstmError, match=message):
        forced_alignment(posteriors(frames, 3, 0), tokens)


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_a_score_that_is_no_number_is_refused(value: float) -> None:
    log_probs = posteriors(6, 3, 0)
    log_probs[3] = value
    with pytest.raises(SpeechlstmError, match=r"no path spells 2 tokens: the log-probabilities are"):
        forced_alignment(log_probs, [1, 2])


def test_exactly_enough_frames() -> None:
    assert labels(posteriors(4, 3, 0), [1, 1, 2])[0] == [1, 0, 1, 2]


# Utterances


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


# Formats


def alignment() -> Alignment:
    words = [Word('"so"', 0.1, 0.5, 0.5), Word("go", 0.9, 1.2, 0.8)]
    tokens = [
        [Word('"', 0.1, 0.2, 0.5), Word("s", 0.2, 0.3, 0.6), Word("o", 0.3, 0.35, 0.7), Word('"', 0.35, 0.5, 0.8)],
        [Word("g", 0.9, 1.0, 0.9), Word("o", 1.0, 1.2, 0.8)],
    ]  # fmt: skip
    return Alignment(
        Transcript("talk/a.wav", '"so" go', words, -3.25, 1.5), [-0.5, -float("inf")], tokens, []
    )


def test_json_holds_words_with_scores_and_tokens() -> None:
    line = module.FORMATS["json"](alignment())
    assert line.count("\n") == 1
    read = json.loads(line, parse_constant=pytest.fail)
    assert (read["audio"], read["text"], read["score"], read["duration"]) == (
        "talk/a.wav",
        '"so" go',
        -3.25,
        1.5,
    )
    assert [word["score"] for word in read["words"]] == [-0.5, None]
    assert read["words"][1]["tokens"] == [
        {"text": "g", "start": 0.9, "end": 1.0, "confidence": 0.9},
        {"text": "o", "start": 1.0, "end": 1.2, "confidence": 0.8},
    ]


def test_json_tells_what_of_the_audio_is_missing() -> None:
    made = alignment()
    assert "warnings" not in json.loads(module.FORMATS["json"](made))
    warned = replace(made, transcript=replace(made.transcript, warnings=["0.85 s missing at 1.7 s"]))
    assert json.loads(module.FORMATS["json"](warned))["warnings"] == ["0.85 s missing at 1.7 s"]


def test_textgrid_has_a_tier_of_words_and_one_of_tokens() -> None:
    document = module.FORMATS["TextGrid"](alignment())
    assert "\nsize = 2\n" in document
    head, words, tokens = re.split(r"item \[[12]\]:", document)
    assert 'Object class = "TextGrid"' in head
    interval = r'intervals \[\d+\]:\s+xmin = (\S+)\s+xmax = (\S+)\s+text = "((?:[^"]|"")*)"\n'
    for tier, name, texts in (
        (words, "words", ["", '""so""', "", "go", ""]),
        (tokens, "tokens", ["", '""', "s", "o", '""', "", "g", "o", ""]),
    ):
        assert f'name = "{name}"' in tier
        found = re.findall(interval, tier)
        assert [text for *_, text in found] == texts  # with quotes doubled
        assert int(re.search(r"intervals: size = (\d+)", tier)[1]) == len(found)
        assert found[0][0] == "0.000" and found[-1][1] == "1.500"
        assert [end for _, end, _ in found[:-1]] == [start for start, *_ in found[1:]]


@pytest.mark.parametrize("format", ["ctm", "srt", "vtt"])
def test_other_formats_are_those_of_transcripts(format: str) -> None:
    assert module.FORMATS[format](alignment()) == transcript.FORMATS[format](alignment().transcript)


# The shipped recognizer


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
