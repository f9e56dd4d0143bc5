"""Synthesized speech: the texts, the voices, the corpus made of them, and the clips that ship with the package."""

from __future__ import annotations

import importlib.util
import json
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from speechlstm.data.audio import audio_info, load_audio
from speechlstm.data.manifest import read_manifest
from speechlstm.types import UsageError

ROOT = Path(__file__).parents[2]
_spec = importlib.util.spec_from_file_location("espeak", ROOT / "scripts" / "espeak.py")
assert _spec is not None and _spec.loader is not None
espeak: Any = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(espeak)

_TEXT = (
    "zero oh one two three four five six seven eight nine ten eleven twelve hundred thousand and",
    "thirteen fourteen fifteen sixteen seventeen eighteen nineteen",
    "twenty thirty forty fifty sixty seventy eighty ninety",
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth",
    "fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth twentieth thirtieth",
    "january february march april may june july august september october november december",
    "erase rubout enter repeat stop help yes no start go right up down left",
)
WORDS = {*"abcdefghijklmnopqrstuvwxyz"}.union(*map(str.split, _TEXT))

needs_espeak = pytest.mark.skipif(
    importlib.util.find_spec("espeakng_loader") is None, reason="espeakng-loader is not installed"
)


def sentences(count: int) -> list[str]:
    return [espeak.sentence(random.Random(index)) for index in range(count)]


def test_every_word_of_the_domain_is_said_and_no_other() -> None:
    assert {word for text in sentences(4000) for word in text.split()} == WORDS


def test_no_variant_is_in_two_splits() -> None:
    names = [variant for variants in espeak.VARIANTS.values() for variant in variants]
    assert len(names) == len(set(names))
    assert {variant for _, _, variant, *_ in espeak.SAMPLES} <= set(espeak.VARIANTS["samples"])


@needs_espeak
def test_every_voice_speaks() -> None:
    variants = [variant for variants in espeak.VARIANTS.values() for variant in variants]
    pairs = [(accent, "m1") for accent in espeak.ACCENTS] + [("en-us", variant) for variant in variants]
    for accent, variant in pairs:
        waveform = espeak.speak("go", f"{accent}+{variant}")
        assert waveform.dtype == np.float32
        assert 0.15 * espeak.SAMPLE_RATE < len(waveform) < 1.5 * espeak.SAMPLE_RATE, (accent, variant)
        assert 0.05 < np.abs(waveform).max() <= 1, (accent, variant)


@needs_espeak
def test_the_corpus_is_made_of_other_voices_in_each_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        sys, "argv", ["espeak.py", str(tmp_path), "--train", "6", "--dev", "2", "--seed", "5"]
    )
    espeak.main()
    for split, size in (("train", 6), ("dev", 2)):
        utterances = read_manifest(tmp_path / f"{split}.jsonl")
        assert len(utterances) == size
        for utterance in utterances:
            assert (utterance.speaker or "").partition("+")[2] in espeak.VARIANTS[split]
            assert set(utterance.text.split()) <= WORDS
            waveform = load_audio(utterance.audio_filepath, 16_000)
            assert len(waveform) / 16_000 == pytest.approx(utterance.duration, abs=1e-3)
            begin, middle = waveform[:800], waveform[len(waveform) // 4 : -len(waveform) // 4]
            assert 0 < begin.std() < middle.std(), "a pause with a little noise comes before the speech"
    espeak.write_corpus(tmp_path / "more", {"train": 8}, 5)
    more = read_manifest(tmp_path / "more/train.jsonl")
    assert [u.text for u in more[:6]] == [u.text for u in read_manifest(tmp_path / "train.jsonl")]


def test_without_the_synthesizer_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    espeak._synthesizer.cache_clear()
    with pytest.raises(UsageError, match=r"pip install espeakng-loader"):
        espeak.speak("go", "en-us+m1")


# the clips that ship with the package


SHIPPED = pytest.mark.parametrize(
    ("folder", "clips"),
    [
        (ROOT / "speechlstm" / "data" / "samples", espeak.SAMPLES),
        (ROOT / "plugins" / "speechlstm-english" / "samples", espeak.SENTENCES),
    ],
    ids=["small", "english"],
)


@SHIPPED
def test_shipped_samples_belong_to_their_manifest(folder: Path, clips: Any) -> None:
    utterances = read_manifest(folder / "samples.jsonl")
    assert [utterance.text for utterance in utterances] == [text for *_, text in clips]
    assert {Path(utterance.audio_filepath) for utterance in utterances} == set(folder.glob("*.flac"))
    for utterance in utterances:
        info = audio_info(utterance.audio_filepath)
        assert (info.sample_rate, info.channels) == (16_000, 1)
        assert info.duration == pytest.approx(utterance.duration, abs=1e-3)
    assert sum(path.stat().st_size for path in folder.iterdir()) < 300_000


@needs_espeak
@SHIPPED
def test_samples_can_be_made_again(folder: Path, clips: Any, tmp_path: Path) -> None:
    espeak.write_samples(tmp_path, clips)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in folder.iterdir()}
    for line, before in zip(
        (tmp_path / "samples.jsonl").read_text().splitlines(),
        (folder / "samples.jsonl").read_text().splitlines(),
        strict=True,
    ):
        again, old = json.loads(line), json.loads(before)
        assert again.pop("duration") == pytest.approx(old.pop("duration"), abs=0.05)
        assert again == old
