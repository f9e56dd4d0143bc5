"""Recordings of any length: windows cover them once, and what comes out is what the whole would give."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from spelling import FRAME, RATE, TOKENS, SpellingBundle, spell

from speechlstm.decoders.greedy import GreedyDecoder
from speechlstm.transcription import long
from speechlstm.transcription.journal import Done, Journal
from speechlstm.transcription.long import joined, stretches, windows
from speechlstm.transcription.transcript import Transcript, Word


def blocks(waveform: np.ndarray, size: int) -> Iterator[np.ndarray]:
    return (waveform[start : start + size] for start in range(0, len(waveform), size))


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make windows short, so that a second is long."""
    for name, frames in (("LONGEST", 30), ("EARLIEST", 10), ("OVERLAP", 8), ("PAUSE", 3)):
        monkeypatch.setattr(long, name, frames * FRAME / RATE)
    monkeypatch.setattr(long, "MOST_WINDOWS", 3)


@pytest.mark.usefixtures("short")
@given(
    lengths=st.lists(st.tuples(st.integers(1, 40 * FRAME), st.booleans()), max_size=8),
    size=st.integers(1, 50 * FRAME),
)
def test_windows_cover_every_sample_once(lengths: list[tuple[int, bool]], size: int) -> None:
    noise = np.random.default_rng(0)
    parts = [noise.normal(size=n).astype(np.float32) * (0.3 if loud else 1e-4) for n, loud in lengths]
    waveform = np.concatenate([np.zeros(0, np.float32), *parts])
    covered, joined_windows = 0, 0
    for window in windows(blocks(waveform, size), RATE, FRAME):
        assert window.start % FRAME == 0 and window.first % FRAME == 0
        assert len(window.waveform) <= 30 * FRAME
        assert (waveform[window.start :][: len(window.waveform)] == window.waveform).all()
        assert window.start + window.first == covered
        own = window.waveform[window.first : window.after]
        covered += len(own)
        joined_windows = 0 if window.closes else joined_windows + 1
        assert joined_windows < 3
    assert covered == len(waveform) and joined_windows == 0


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("pause", [0, 1, 5])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("threads", [1, 2])
def test_log_probs_are_those_of_the_whole(pause: int, batch: int, threads: int) -> None:
    waveform = spell("yes no oh now " * 12, pause)[: -FRAME // 2]
    model = SpellingBundle()
    whole, (length,) = model.log_probs(torch.from_numpy(waveform)[None], torch.tensor([len(waveform)]))
    parts = [part for group in stretches(model, blocks(waveform, 999), batch, threads) for part in group]
    assert len(parts) > 1
    assert (np.concatenate([part.waveform for part in parts]) == waveform).all()
    assert (torch.cat([part.log_probs for part in parts]) == whole[0, :length]).all()
    places = np.cumsum([0, *(len(part.log_probs) for part in parts)])[:-1] * FRAME
    assert [part.start for part in parts] == places.tolist()


@pytest.mark.usefixtures("short")
def test_windows_that_share_an_odd_number_of_frames_begin_with_whole_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(long, "OVERLAP", 7 * FRAME / RATE)
    test_log_probs_are_those_of_the_whole(pause=0, batch=1, threads=1)


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("pause", [0, 5])
def test_an_interrupted_recording_goes_on_exactly(pause: int, tmp_path: Path) -> None:
    waveform = spell("yes no oh now " * 12, pause)
    model, decoder = SpellingBundle(), GreedyDecoder(tokenizer=TOKENS)

    def transcribed(journal: Journal) -> Transcript:
        made = long.transcribe(model, decoder, blocks(waveform, 999), "x", 9.0, 0.1, journal=journal)
        journal.close()
        return made

    path = tmp_path / "journal"
    whole = transcribed(Journal(path, "a"))
    lines = path.read_bytes().splitlines(keepends=True)
    assert len(lines) > 3
    for count in range(len(lines) + 1):
        torn = lines[count][:-9] if count < len(lines) else b""  # killed while it wrote
        path.write_bytes(b"".join(lines[:count]) + torn)
        batches = len(model.batches)
        journal = Journal(path, "a")
        assert len(journal.done) == max(count - 1, 0)
        assert transcribed(journal) == whole
        assert path.read_bytes() == b"".join(lines)
        assert (len(model.batches) > batches) == (count < len(lines))
    assert Journal(path, "b").done == []  # something has changed
    assert path.read_bytes() == b"b\n"


def test_a_journal_is_one_process_s(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    first = Journal(path, "a")
    first.add(Done(0, 9, 0, Transcript("", "a", [], 0.0, 0.0)))
    second = Journal(path, "b")
    second.add(Done(0, 5, 0, Transcript("", "b", [], 0.0, 0.0)))
    second.remove()
    assert path.read_bytes().count(b"\n") == 2
    first.remove()
    assert not path.exists()
    nowhere = Journal(path / "file" / "journal", "a")
    path.touch()
    Journal(path / "journal", "a").add(Done(0, 5, 0, Transcript("", "b", [], 0.0, 0.0)))
    nowhere.remove()


@pytest.mark.usefixtures("short")
def test_a_recording_without_pauses_is_still_decoded_in_parts() -> None:
    waveform = np.random.default_rng(1).normal(size=400 * FRAME).astype(np.float32)
    parts = [part for group in stretches(SpellingBundle(), blocks(waveform, 12345)) for part in group]
    assert sum(len(part.log_probs) for part in parts) == 400
    assert max(len(part.log_probs) for part in parts) <= 3 * 30


def test_transcripts_of_parts_become_one() -> None:
    first = Transcript("x", "yes", [Word("yes", 0.5, 0.75, 0.9)], -1.0, 2.0, {"lm": -3.0}, tokens=["y", "es"])
    second = Transcript("x", "no", [Word("no", 0.25, 0.5, 0.8)], -2.0, 1.0, {"lm": -1.0}, tokens=["no"])
    silent = Transcript("x", "", [], -0.5, 1.0)
    whole = joined("talk.wav", 4.0, [(0.0, first), (2.0, silent), (3.0, second)])
    assert whole == Transcript(
        "talk.wav",
        "yes no",
        [Word("yes", 0.5, 0.75, 0.9), Word("no", 3.25, 3.5, 0.8)],
        -3.5,
        4.0,
        {"lm": -4.0},
        [],
        ["y", "es", "no"],
    )
