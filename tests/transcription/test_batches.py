"""Recordings in batches: bounded, in order, alike for threads and processes, and of any length in windows."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spelling import FRAME, RATE, TOKENS, SpellingBundle, spell, write

from speechlstm.decoders.greedy import GreedyDecoder
from speechlstm.transcription import batches as transcriber
from speechlstm.transcription import lookup
from speechlstm.transcription.batches import in_order, recognize
from speechlstm.transcription.jobs import Part
from speechlstm.transcription.recognizer import transcribe
from speechlstm.transcription.transcript import Transcript
from speechlstm.types import AudioError, UsageError, Utterance


def all_of(paths: list[str], **settings: float) -> list[tuple[int, Transcript | AudioError]]:
    return list(transcribe(SpellingBundle(), GreedyDecoder(tokenizer=TOKENS), paths, **settings))


def test_batches_are_bounded_and_lose_nothing(tmp_path: Path) -> None:
    seconds = [3.0, 1.0, 2.0, 9.0, 1.5, 2.5, 1.0]
    paths = [str(write(tmp_path / f"{i}.wav", "abcdefg"[i], s)) for i, s in enumerate(seconds)]
    bundle = SpellingBundle()
    results = dict(transcribe(bundle, GreedyDecoder(tokenizer=TOKENS), paths, batch_seconds=5, threads=1))
    assert [results[i].text for i in range(7)] == list("abcdefg")
    assert [results[i].duration for i in range(7)] == seconds
    assert [rows for rows, _ in bundle.batches] == [3, 2, 1, 1]
    assert all(rows * samples <= 5 * RATE or rows == 1 for rows, samples in bundle.batches)


def test_results_come_in_order_across_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "_WINDOW", 3)
    texts = ["one", "a", "three", "be", "four", "", "no"]
    paths = [str(write(tmp_path / f"{i}.wav", text)) for i, text in enumerate(texts)]
    paths.insert(2, "missing.wav")
    results = list(in_order(transcribe(SpellingBundle(), GreedyDecoder(tokenizer=TOKENS), paths, 0.5)))
    assert isinstance(results.pop(2), AudioError)
    assert [result.text for result in results] == texts


def test_words_have_the_times_that_were_spelled(tmp_path: Path) -> None:
    path = str(write(tmp_path / "a.wav", "no go"))
    ((_, result),) = all_of([path])
    assert [(w.text, round(w.start, 3), round(w.end, 3)) for w in result.words] == [
        ("no", 0.0, 0.13),
        ("go", 0.13, 0.3),
    ]
    assert result.audio == path


def test_only_the_stretch_of_an_utterance_is_read(tmp_path: Path) -> None:
    path = str(write(tmp_path / "a.wav", "abcdef"))
    stretches = [Utterance(path, 0.12, "", "x", offset=0.12), Utterance(path, 0.06, "", "y", offset=0.0)]
    assert [result.text for _, result in sorted(all_of(stretches))] == ["cd", "a"]


@pytest.mark.parametrize("cut", [60.0, 0.1])
def test_times_of_a_part_count_from_the_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: float
) -> None:
    monkeypatch.setattr(transcriber, "CUT_SECONDS", cut)  # also in windows
    path = str(write(tmp_path / "a.wav", "no go on"))
    ((_, whole),) = all_of([path])
    ((_, part),) = all_of([Part(path, 0.18, 0.12)])
    assert (part.text, part.duration) == ("go", pytest.approx(0.3))
    assert part.words[0].start == pytest.approx(0.18, abs=0.03)
    assert part.words[0].end == pytest.approx(whole.words[1].end, abs=0.03)
    ((_, rest),) = all_of([Part(path, 0.36, 5.0)])
    assert (rest.text, rest.duration) == ("on", pytest.approx(whole.duration))
    ((_, error),) = all_of([Part(path, 5.0)])
    assert str(error) == f"{path}: segment begins at 5 s, but the file ends before"


def test_threads_change_nothing_but_the_time(tmp_path: Path) -> None:
    paths = [str(write(tmp_path / f"{text}.wav", text, 1.0)) for text in "abcdefghijk"]
    before = torch.get_num_threads()
    results = [sorted(all_of(paths, batch_seconds=2, threads=threads)) for threads in (1, 3)]
    assert results[0] == results[1]
    assert torch.get_num_threads() == before


@settings(max_examples=15)
@given(st.lists(st.integers(0, 2), max_size=40))
def test_processes_that_claim_batches_do_together_what_one_does(turns: list[int]) -> None:
    """Whichever is fast: each batch is one process's, and holds what it holds in one process."""
    with tempfile.TemporaryDirectory() as folder:
        names = "abcdefghijk"
        paths = [str(write(Path(folder, f"{name}.wav"), name, 1.0 + 0.1 * i)) for i, name in enumerate(names)]
        paths.insert(4, "missing.wav")
        claim = itertools.count().__next__
        bundles = [SpellingBundle() for _ in range(4)]
        decoder = GreedyDecoder(tokenizer=TOKENS)
        shares = [transcribe(bundle, decoder, paths, 3.0, 1, claim) for bundle in bundles[:3]]
        found = [next(shares[turn], None) for turn in turns]
        found += [result for share in shares for result in share]
        done = sorted((each for each in found if each is not None), key=lambda each: each[0])
        whole = sorted(transcribe(bundles[3], decoder, paths, 3.0, 1), key=lambda each: each[0])
    assert [index for index, _ in done] == list(range(len(paths)))
    assert list(map(repr, done)) == list(map(repr, whole))
    batches = [shape for bundle in bundles[:3] for shape in bundle.batches]
    assert sorted(batches) == sorted(bundles[3].batches)


def test_any_length_is_transcribed_in_windows(tmp_path: Path) -> None:
    sentence = spell("the quick brown fox jumps over the lazy dog")
    waveform = np.tile(np.pad(sentence, (0, 2 * RATE)), 180)
    soundfile.write(tmp_path / "long.flac", waveform, RATE)
    write(tmp_path / "short.flac", "short")
    bundle = SpellingBundle()
    paths = [str(tmp_path / "long.flac"), str(tmp_path / "short.flac"), str(tmp_path / "none.flac")]
    results = dict(transcribe(bundle, GreedyDecoder(tokenizer=TOKENS), paths, threads=2))
    long = results[0]
    assert (
        long.text.replace(" ", "") == "thequickbrownfoxjumpsoverthelazydog" * 180
    )  # the pauses are no spaces
    assert long.duration == pytest.approx(len(waveform) / RATE) and long.duration > 600
    quick = [word.start for word in long.words if word.text == "quick"]
    expected = [(each * (len(sentence) + 2 * RATE) + 12 * FRAME) / RATE for each in range(180)]
    assert quick == pytest.approx(expected, abs=0.2)
    assert max(rows * samples for rows, samples in bundle.batches) <= 120 * RATE
    assert results[1].text == "short" and isinstance(results[2], AudioError)


def test_recordings_are_taken_whole_up_to_a_limit(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "long.wav", np.zeros(601 * 1000, np.int16), 1000)
    (batch,) = recognize(SpellingBundle(), [str(tmp_path / "long.wav")])
    ((_, error),) = batch.failures
    assert str(error) == (
        f"{tmp_path / 'long.wav'}: 601 s long, but at most 600 s are taken whole; cut it into shorter files"
    )


@pytest.mark.parametrize("seconds", [0, -1, "many", True, float("nan")])
def test_batch_seconds_must_be_positive(seconds: float) -> None:
    with pytest.raises(UsageError, match="batch_seconds is"):
        all_of([], batch_seconds=seconds)
