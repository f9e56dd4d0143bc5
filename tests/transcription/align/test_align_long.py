"""Long recordings with their whole text: cut where text and speech agree, and honest about where they do not."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from spelling import FRAME, RATE, SpellingBundle, spell

import speechlstm
from speechlstm.cli import align as command
from speechlstm.data.audio import load_audio
from speechlstm.data.manifest import read_manifest
from speechlstm.transcription.align import Alignment, align, recordings
from speechlstm.types import SpeechlstmError

SAMPLES = Path(speechlstm.__file__).parent / "data" / "samples" / "samples.jsonl"
Run = Callable[..., tuple[int, str, str]]


def book(words: int, seed: int = 0) -> list[str]:
    """Return random words, many of them several times."""
    rng = random.Random(seed)
    letters = "abcdefghijklmnopqrstuvwxyz"
    lexicon = ["".join(rng.choices(letters, k=rng.randint(2, 7))) for _ in range(300)]
    return [rng.choice(lexicon) for _ in range(words)]


def align_one(audio: np.ndarray | Path, words: list[str]) -> Alignment:
    given = str(audio) if isinstance(audio, Path) else (audio, RATE)
    ((_, result),) = align(SpellingBundle(), [(given, " ".join(words))])
    if isinstance(result, SpeechlstmError):
        raise result
    return result


def starts(words: list[str]) -> list[float]:
    """Return when each word begins in what `spell` makes of them: three frames for each letter and space."""
    at, times = 0, []
    for word in words:
        times.append(at * 3 * FRAME / RATE)
        at += len(word) + 1
    return times


@pytest.fixture
def pieces(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let paths be short, and return how many there were of each recording."""
    made: list[int] = []
    joined = recordings.joined

    def count(paths: list[object], separator: int | None) -> object:
        made.append(len(paths))
        return joined(paths, separator)

    monkeypatch.setattr(recordings, "joined", count)
    monkeypatch.setattr(recordings, "MOST_STATES", 2e7)
    return made


def test_pieces_give_what_the_whole_gives(pieces: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    words = book(600)
    audio = spell(" ".join(words))
    cut = align_one(audio, words)
    assert len(audio) / RATE > 150 and pieces[-1] > 3
    monkeypatch.setattr(recordings, "MOST_STATES", 1e9)
    whole = align_one(audio, words)
    assert pieces[-1] == 1
    assert [word.text for word in cut.transcript.words] == words
    for mine, other in zip(cut.transcript.words, whole.transcript.words, strict=True):
        assert (mine.start, mine.end) == pytest.approx((other.start, other.end), abs=0.041)
    assert cut.missing == cut.extra == whole.missing == whole.extra == []
    for word, start in zip(cut.transcript.words, starts(words), strict=True):
        assert abs(word.start - start) < 0.1


def test_a_page_that_was_not_read_and_one_that_is_not_in_the_text(pieces: list[int]) -> None:
    words = book(700, 1)
    spoken, written = words[:300] + words[350:], words[:500] + words[540:]
    found = align_one(spell(" ".join(spoken)), written)
    assert pieces[-1] > 3
    lost = " ".join(each.text for each in found.missing).split()
    assert len(lost) == pytest.approx(50, abs=4) and set(lost) <= set(words[295:355])
    seam = starts(spoken)[300]
    assert all(abs(each.at - seam) < 1.0 for each in found.missing)
    begin, end = starts(spoken)[450], starts(spoken)[490]
    covered = sum(min(stop, end) - max(start, begin) for start, stop in found.extra)
    assert covered > 0.9 * (end - begin)
    assert all(begin - 0.5 < start and stop < end + 0.5 for start, stop in found.extra)


def test_what_cannot_be_spelled_keeps_its_place_and_form(pieces: list[int]) -> None:
    words = book(600, 2)
    written = [
        f"§{place}" if place % 40 == 20 else word.capitalize() + "!" * (place % 5 == 0)
        for place, word in enumerate(words)
    ]
    found = align_one(spell(" ".join(words)), written)
    assert pieces[-1] > 3 and [word.text for word in found.transcript.words] == written
    for place, (word, start) in enumerate(zip(found.transcript.words, starts(words), strict=True)):
        assert abs(word.start - start) < 0.15
        assert (word.confidence == 0) is (place % 40 == 20) is math.isnan(found.scores[place])
        assert bool(found.tokens[place]) is (place % 40 != 20)


def test_a_text_of_another_recording_is_refused(pieces: list[int]) -> None:
    audio = spell(" ".join(book(600, 3)))
    with pytest.raises(
        SpeechlstmError, match=r"too little of the text was heard to find the place of 600 words"
    ):
        align_one(audio, ["z" + word for word in book(600, 4)])


def test_the_command_aligns_a_recording_with_a_file(
    run_command: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pieces: list[int]
) -> None:
    monkeypatch.setattr(speechlstm, "load", lambda path, device: SpellingBundle())
    monkeypatch.chdir(tmp_path)
    words = book(500, 5)
    soundfile.write("chapter.wav", spell(" ".join(words)), RATE)
    lines = [" ".join(words[start : start + 9]) for start in range(0, 500, 9)]
    Path("chapter.txt").write_text("\n".join(lines) + "\n")
    given = ("audio=chapter.wav", "text=chapter.txt")
    assert run_command(command, *given, "out=o", "format=srt,json") == (0, "", "")
    read = json.loads(Path("o/chapter.json").read_text())
    assert [word["text"] for word in read["words"]] == words and "missing" not in read
    assert Path("o/chapter.srt").read_text().startswith("1\n00:00:0")
    Path("longer.txt").write_text("\n".join([*lines, "and never again " * 4]))
    status, _, err = run_command(command, given[0], "text=longer.txt", "out=long.json")
    assert status == 1 and "failed: chapter: no speech for 'and never again" in err
    assert json.loads(Path("long.json").read_text())["missing"][0]["text"].startswith("and never")
    Path("shorter.txt").write_text("\n".join(lines[:-6]))
    status, _, err = run_command(command, given[0], "text=shorter.txt", "out=short.json")
    (extra,) = json.loads(Path("short.json").read_text())["extra"]
    assert status == 0 and f"speech that is not in the text at {extra['start']:.2f} to" in err
    assert run_command(command, *given, "out=chapter.txt")[0] == 2
    assert Path("chapter.txt").read_text().splitlines() == lines


def test_the_shipped_recognizer_aligns_minutes_of_speech(
    pieces: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recordings, "MOST_STATES", 2e5)
    monkeypatch.setattr(recordings, "PIECE", 5.0)
    recognizer, given = speechlstm.load("small"), read_manifest(SAMPLES)
    pause, parts, text, edges = np.zeros(RATE // 2, np.float32), [], [], []
    for utterance in random.Random(0).choices(given, k=30):  # no two stretches of the text are alike
        edges.append(sum(map(len, parts)) / RATE)
        parts += [load_audio(utterance.audio_filepath, RATE), pause]
        text.append(utterance.text)
    found = recognizer.align((np.concatenate(parts), RATE), " ".join(text))
    assert pieces[-1] > 3 and sum(end - start for start, end in found.extra) < 1
    assert len(found.missing) < 6, "words that the samples hardly say"
    begins = [edge for edge, spoken in zip(edges, text, strict=True) if spoken.startswith(("stop", "enter"))]
    words = [word.start for word in found.transcript.words if word.text in ("stop", "enter")]
    assert len(words) == len(begins) > 5
    late = [start - begin for begin, start in zip(begins, words, strict=True)]
    assert sum(-0.05 <= each < 0.5 for each in late) >= 0.9 * len(late)
