"""lhotse's cuts: heard as lhotse hears them, left out with a reason, and trained on where their shards lie."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from tones import fit, last, same_end, write_both

from speechlstm.cli import prepare, validate
from speechlstm.data.audio import load_audio
from speechlstm.data.corpora import lhotse
from speechlstm.data.corpora.base import measure
from speechlstm.data.manifest import read_manifest
from speechlstm.training import parts
from speechlstm.training.callbacks.interruptions import LastCheckpoint
from speechlstm.types import UsageError, Utterance

pytest.importorskip("lhotse", reason="lhotse is not installed: pip install 'speechlstm[lhotse]'")
from lhotse import CutSet, MonoCut, Recording, SupervisionSegment
from lhotse.shar import SharWriter

RATE = 16_000
Run = Callable[..., tuple[int, str, str]]


def recording(path: Path, seconds: float = 3.0, channels: int = 1) -> Recording:
    """Write tones that rise, so that each stretch differs from the others."""
    time = np.arange(round(seconds * RATE)) / RATE
    samples = np.stack(
        [0.3 * np.sin(2 * np.pi * (200 + 90 * n + 100 * time) * time) for n in range(channels)], 1
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, RATE)
    return Recording.from_file(path)


def supervision(
    name: str, start: float, duration: float, text: str | None = "its own", **keys: Any
) -> SupervisionSegment:
    return SupervisionSegment(
        name, "r", start, duration, text=None if text is None else f"text of {name}", **keys
    )


def cut(
    name: str, source: Recording, start: float = 0.0, duration: float = 1.0, *supervisions: Any
) -> MonoCut:
    """Return a stretch of a recording, with one supervision unless others are given."""
    said = supervisions or (supervision(f"s-{name}", 0.0, duration, speaker="mia", language="en"),)
    return MonoCut(name, start, duration, 0, list(said), recording=source)


def shar(folder: Path, cuts: list[Any], kind: str = "wav", size: int = 2) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with SharWriter(str(folder), {"recording": kind}, shard_size=size) as writer:
        for each in cuts:
            writer.write(each)
    return folder


def save(path: Path, *cuts: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    CutSet.from_cuts(cuts).to_file(path)
    return path


def heard(utterance: Utterance, rate: int = RATE) -> np.ndarray:
    return load_audio(utterance.audio_filepath, rate, utterance.offset, utterance.duration)


@pytest.fixture
def cuts(tmp_path: Path) -> list[MonoCut]:
    """Five stretches of two recordings, in three shards where two go into each."""
    one, two = recording(tmp_path / "one.wav"), recording(tmp_path / "two.wav", 2.5)
    two_said = [supervision("first", 0.25, 0.5, speaker="a"), supervision("second", 1.0, 0.875, speaker="b")]
    return [
        cut("c0", one, 0.0, 1.0),
        cut("speaker/c1.x", one, 1.25, 1.5),
        cut("both", two, 0.5, 2.0, *two_said),
        cut("c3", two, 0.0, 0.5, supervision("inner", 0.125, 0.25)),
        cut("c4", one, 2.5, 0.5),
    ]


@pytest.mark.parametrize("kind", ["file", "wav", "flac", "opus", "mp3", "original"])
def test_cuts_are_heard_as_lhotse_hears_them(tmp_path: Path, cuts: list[MonoCut], kind: str) -> None:
    """Lhotse's own reader, with its own way of making each supervision a cut, is the oracle."""
    if kind == "file":
        root = save(tmp_path / "set" / "cuts.jsonl.gz", *cuts).parent
        theirs = list(CutSet.from_file(root / "cuts.jsonl.gz"))
    else:
        root = shar(tmp_path / "set", cuts, kind)
        theirs = list(CutSet.from_shar(in_dir=root))
    corpus = measure(lhotse.read(root))
    assert corpus.problems == [] and list(corpus.splits) == ["train"]
    ours = {utterance.id: utterance for utterance in corpus.splits["train"]}
    assert list(ours) == ["c0", "speaker/c1.x", "first", "second", "c3", "c4"]
    assert [u.text for u in ours.values()] == [
        f"text of {n}" for n in ("s-c0", "s-speaker/c1.x", "first", "second", "inner", "s-c4")
    ]
    assert [u.speaker for u in ours.values()] == ["mia", "mia", "a", "b", None, "mia"] and ours[
        "c0"
    ].lang == "en"
    for each in theirs:
        parts = each.trim_to_supervisions(keep_overlapping=False) if each.id == "both" else [each]
        for part in parts:
            utterance = ours[part.supervisions[0].id if each.id == "both" else part.id]
            assert utterance.duration == pytest.approx(part.duration)
            # Not `part.load_audio()`: libsndfile is inexact where it begins in the middle of an mp3.
            start, rate = round((part.start - each.start) * each.sampling_rate), each.sampling_rate
            wanted = each.load_audio()[0][start : start + round(part.duration * rate)]
            tolerance = 1e-4 if kind == "mp3" else 0.0  # another decoder
            np.testing.assert_allclose(heard(utterance, rate), wanted, atol=tolerance)


def test_splits_are_named_by_file_or_folder(tmp_path: Path) -> None:
    one = recording(tmp_path / "one.wav")
    save(tmp_path / "cuts.jsonl.gz", cut("a", one))
    save(tmp_path / "libri_cuts_train-clean.jsonl", cut("b", one))
    save(tmp_path / "cuts_validation.jsonl.gz", cut("c", one))
    save(tmp_path / "more" / "x-cuts_test.jsonl.gz", cut("d", one))
    shar(tmp_path / "valid", [cut("e", one), cut("f", one)], size=1)
    (tmp_path / "more" / "recordings.jsonl.gz").write_bytes(b"")
    splits = lhotse.read(tmp_path).splits
    found = {name: sorted(utterance.id for utterance in split) for name, split in splits.items()}
    assert found == {"train": ["a"], "train-clean": ["b"], "dev": ["c", "e", "f"], "test": ["d"]}


def test_relative_names_are_of_the_working_folder_or_beside_the_cuts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    here, beside = recording(Path("here.wav")), recording(tmp_path / "set" / "beside.wav")
    beside.sources[0].source = "beside.wav"
    save(tmp_path / "set" / "cuts.jsonl.gz", cut("a", here), cut("b", beside))
    corpus = measure(lhotse.read(tmp_path / "set"))
    assert corpus.problems == [] and len(corpus.splits["train"]) == 2


def test_what_cannot_be_read_as_it_is_is_left_out_and_named(tmp_path: Path) -> None:
    one, wide = recording(tmp_path / "one.wav"), recording(tmp_path / "wide.wav", channels=2)
    address, gone = recording(tmp_path / "address.wav"), recording(tmp_path / "gone.wav")
    address.sources[0].type = "url"
    (tmp_path / "gone.wav").unlink()
    bare = cut("bare", one)
    bare.recording = None
    beyond = "reaches beyond it, so that some of its text may be missing"
    transformed = "changed as it is read (transforms of its recording); write a Shar, or use augment="
    left_out = [
        (cut("mixed", one).mix(cut("other", one)), "a MixedCut, but must be a stretch of one channel"),
        (cut("padded", one).pad(2.0), "a MixedCut, but must be a stretch of one channel"),
        (bare, "no recording"),
        (cut("wide", wide), "one of 2 channels; write a Shar, which takes it out"),
        (cut("fast", one).perturb_speed(1.1), transformed),
        (cut("address", address), "its audio is a url, but must be a file or in a Shar"),
        (MonoCut("silent", 0.0, 1.0, 0, [], recording=one), "no supervision, so no text"),
        (cut("long", one, 0.0, 1.0, supervision("more", 0.0, 1.5)), f"supervision more {beyond}"),
        (cut("early", one, 0.0, 1.0, supervision("before", -0.5, 1.0)), f"supervision before {beyond}"),
        (
            cut("mute", one, 0.0, 1.0, supervision("nothing", 0.0, 1.0, None)),
            "supervision nothing has no text",
        ),
    ]
    half = cut("half", one, 0.0, 2.0, supervision("no", 0.0, 0.5, None), supervision("yes", 0.5, 0.5))
    path = save(
        tmp_path / "cuts.jsonl.gz",
        *(each for each, _ in left_out),
        half,
        cut("rounded", one, 0.0, 1.0, supervision("r", 0.0, 1.05)),
        cut("gone", gone),
    )
    corpus = measure(lhotse.read(tmp_path))
    assert [u.id for u in corpus.splits["train"]] == ["yes", "rounded"]
    wanted = [f"{path}:{number}: {each.id}: {why}" for number, (each, why) in enumerate(left_out, 1)]
    wanted += [
        f"{path}:11: half: supervision no has no text",
        f"{tmp_path}/gone.wav: no such file; check the name",
    ]
    assert corpus.problems == wanted


def test_a_shar_takes_one_channel_and_may_lack_audio(tmp_path: Path) -> None:
    bare = cut("bare", recording(tmp_path / "one.wav"))
    bare.recording = None
    second = cut("second", recording(tmp_path / "wide.wav", channels=2))
    second.channel = 1
    corpus = lhotse.read(shar(tmp_path / "set", [bare, second]))
    assert corpus.problems == [f"{tmp_path}/set/cuts.000000.jsonl.gz:1: bare: no recording"]
    [utterance] = corpus.splits["train"]
    np.testing.assert_array_equal(heard(utterance), load_audio(tmp_path / "wide.wav", RATE, 0, 1, channel=1))


def damage(path: Path, kind: str) -> None:
    """Break a Shar of three shards in one way."""
    shards, lists = (
        [path / f"{name}.00000{n}{end}" for n in range(3)]
        for name, end in (("recording", ".tar"), ("cuts", ".jsonl.gz"))
    )
    if kind == "features alone":
        shards[1].unlink()
    elif kind == "exchanged":
        shards[1].write_bytes(shards[0].read_bytes())
    elif kind == "too few":
        lists[2].write_bytes(lists[2].read_bytes() + lists[0].read_bytes())
    elif kind == "no cut":
        lists[1].write_bytes(gzip.compress(gzip.decompress(lists[1].read_bytes()) + b'{"id": "x"}\n'))
    elif kind == "cut off":
        lists[1].write_bytes(lists[1].read_bytes()[:-20])


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (
            "features alone",
            r"cuts.000001.jsonl.gz:1: both: is of a Shar, but there is no recording.000001.tar",
        ),
        (
            "exchanged",
            r"cuts.000001.jsonl.gz:1: both: recording.000001.tar goes on with c0.wav; cuts and shard must be",
        ),
        ("too few", r"cuts.000002.jsonl.gz:2: c0: recording.000002.tar goes on with nothing more"),
        ("no cut", r"cuts.000001.jsonl.gz:3: no cut of lhotse's \("),
        ("cut off", r"cuts.000001.jsonl.gz:\d: no cut of lhotse's \(EOFError"),
    ],
)
def test_a_broken_shar_is_refused(tmp_path: Path, cuts: list[MonoCut], kind: str, message: str) -> None:
    damage(shar(tmp_path / "set", cuts), kind)
    with pytest.raises(UsageError, match=message):
        lhotse.read(tmp_path / "set")


def test_without_lhotse_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "cuts.jsonl.gz", cut("a", recording(tmp_path / "one.wav")))
    monkeypatch.setitem(sys.modules, "lhotse", None)
    with pytest.raises(UsageError, match=r"need the package lhotse: pip install 'speechlstm\[lhotse\]'"):
        lhotse.read(tmp_path)


# training from shards


@pytest.fixture
def two_corpora(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_command: Run) -> Path:
    """The tones as files with manifests, and as a Shar with manifests from `prepare`."""
    write_both(tmp_path)
    monkeypatch.chdir(tmp_path)
    for part in ("train", "dev"):
        cuts = []
        for each in parts.read(f"{part}.jsonl"):
            said = SupervisionSegment(each.id, each.id, 0.0, each.duration, text=each.text)
            cuts.append(
                MonoCut(
                    each.id, 0.0, each.duration, 0, [said], recording=Recording.from_file(each.audio_filepath)
                )
            )
        shar(tmp_path / "shards" / part, cuts)
    status, out, err = run_command(prepare, "corpus=lhotse", "root=shards", "out=shards")
    assert status == 0 and "without a speaker" in err and out.splitlines()[1].startswith("dev")
    return tmp_path


SHARDS = ["data.train=shards/train.jsonl", "data.dev=shards/dev.jsonl", "data.cache=false"]


def test_training_from_shards_is_training_from_files(two_corpora: Path, run_command: Run) -> None:
    """The same batches, so the same weights in every bit; stopped in the middle and resumed, too."""
    entries = [json.loads(line) for line in Path("shards/train.jsonl").read_text().splitlines()]
    assert entries[1]["audio_filepath"].startswith("train/recording.000000.tar@")
    assert entries[1]["audio_filepath"].endswith("/train1.wav")
    assert not list(two_corpora.glob("shards/**/*.wav")), "nothing is unpacked"
    fit("out=files", "data.batch_seconds=1")
    fit("out=shar", "data.batch_seconds=1", *SHARDS, "data.num_workers=1")
    assert same_end(last("shar"), last("files"))

    original = LastCheckpoint.on_train_batch_end

    def stop(self: LastCheckpoint, trainer: Any, module: Any, outputs: Any, batch: Any, index: int) -> None:
        original(self, trainer, module, outputs, batch, index)
        if (trainer.current_epoch, index) == (1, 1):
            raise KeyError("stopped")

    parts = [
        "out=parts",
        "data.batch_seconds=1",
        "callbacks.last.every_minutes=0",
        *SHARDS,
        "data.num_workers=1",
    ]
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyError):
        patch.setattr(LastCheckpoint, "on_train_batch_end", stop)
        fit(*parts)
    assert last("parts")["global_step"] == 5
    fit(*parts)
    assert same_end(last("parts"), last("files"))


def test_the_doctor_listens_to_shards(two_corpora: Path, run_command: Run) -> None:
    status, out, _ = run_command(validate, "manifest=shards/dev.jsonl", "against=shards/train.jsonl")
    assert status == 0 or "error: audio in both" in out  # short tones may be the same
    assert "missing audio" not in out and "unreadable" not in out
    shard = Path("shards/dev/recording.000000.tar")
    shard.write_bytes(shard.read_bytes()[:600])
    status, out, _ = run_command(validate, "manifest=shards/dev.jsonl")
    assert status and "error: unreadable audio: 2" in out
    shard.unlink()
    assert "error: missing audio: 2" in run_command(validate, "manifest=shards/dev.jsonl")[1]
    assert len(read_manifest("shards/dev.jsonl")) == 2
