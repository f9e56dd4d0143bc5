"""Cuts of lhotse: heard as lhotse hears them, or left out with a reason."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import numpy as np
import pytest
from lhotse_cuts import RATE, cut, heard, recording, save, shar, supervision

from speechlstm.data.audio import load_audio
from speechlstm.data.corpora import lhotse
from speechlstm.data.corpora.base import measure
from speechlstm.types import UsageError

pytest.importorskip("lhotse", reason="lhotse is not installed: pip install 'speechlstm[lhotse]'")
from lhotse import CutSet, MonoCut


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
