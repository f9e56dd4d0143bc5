"""Synthesised speech: the texts, the voices, and the corpus made of them."""

from __future__ import annotations

import ctypes
import hashlib
import json
import random
import re
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechlstm import configs
from speechlstm.data.audio import audio_info, load_audio
from speechlstm.data.corpora import espeak
from speechlstm.data.corpora.base import measure
from speechlstm.data.manifest import read_manifest
from speechlstm.types import UsageError

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
    find_spec("espeakng_loader") is None, reason="espeakng-loader is not installed"
)


def sentences(count: int) -> list[str]:
    return [espeak.sentence(random.Random(index)) for index in range(count)]


def test_every_word_of_the_domain_is_said_and_no_other() -> None:
    assert {word for text in sentences(4000) for word in text.split()} == WORDS


def test_the_same_seed_makes_the_same_sentence() -> None:
    assert sentences(50) == sentences(50)
    assert len(set(sentences(50))) > 30


def test_sentences_are_short_enough_for_a_few_seconds() -> None:
    lengths = [len(text.split()) for text in sentences(1000)]
    assert min(lengths) == 1
    assert max(lengths) <= 14


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
@pytest.mark.parametrize("accent", sorted(set(espeak.ACCENTS)))
def test_a_is_the_letter_and_not_the_article(accent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    library, *_ = espeak._synthesiser()
    library.espeak_TextToPhonemes.restype = ctypes.c_char_p
    synthesise = library.espeak_Synth
    phonemes: list[str] = []

    def listen(text: bytes, *rest: object) -> int:
        pointer = ctypes.c_char_p(text)
        phonemes.append(library.espeak_TextToPhonemes(ctypes.byref(pointer), 1, 2).decode())
        return int(synthesise(text, *rest))

    monkeypatch.setattr(library, "espeak_Synth", listen)
    espeak.speak("f a h", f"{accent}+m1")
    espeak.speak("rubout", f"{accent}+m1")
    assert re.fullmatch(r"ˈɛf ˈe(ɪ|ː) ˈe(ɪ|ː)tʃ", phonemes[0]), phonemes[0]
    assert phonemes[1].split()[0].endswith("b"), "rubout is read as rub, out"


@needs_espeak
def test_rate_pitch_and_gaps_are_heard() -> None:
    def seconds(**settings: int) -> float:
        return len(espeak.speak("one two three", "en-us+m1", **settings)) / espeak.SAMPLE_RATE

    def pitch(value: int) -> float:
        waveform = espeak.speak("o", "en-us+m1", pitch=value)
        correlation = np.correlate(waveform, waveform, "full")[len(waveform) - 1 :]
        shortest = espeak.SAMPLE_RATE // 400
        lag = shortest + int(np.argmax(correlation[shortest : espeak.SAMPLE_RATE // 50]))
        return espeak.SAMPLE_RATE / lag

    assert seconds(rate=110) > 1.2 * seconds(rate=180)
    assert seconds(gap=20) > seconds() + 0.2
    assert pitch(90) > 1.2 * pitch(10)


@needs_espeak
def test_an_unknown_voice_is_named() -> None:
    with pytest.raises(UsageError, match=r"no voice 'xx-nowhere'"):
        espeak.speak("go", "xx-nowhere")


@needs_espeak
def test_corpus(tmp_path: Path) -> None:
    corpus = espeak.read(tmp_path, train=12, dev=3, seed=5)
    assert [len(split) for split in corpus.splits.values()] == [12, 3]
    measured = measure(corpus)
    assert not measured.problems
    for split, utterances in measured.splits.items():
        for utterance, told in zip(utterances, corpus.splits[split], strict=True):
            assert utterance.duration == pytest.approx(told.duration)
            assert 0.4 < utterance.duration < 10
            assert utterance.speaker is not None
            assert utterance.speaker.partition("+")[2] in espeak.VARIANTS[split]
            assert set(utterance.text.split()) <= WORDS
            assert audio_info(utterance.audio_filepath).sample_rate == 16_000
            waveform = load_audio(utterance.audio_filepath, 16_000)
            begin, middle = waveform[:800], waveform[len(waveform) // 4 : -len(waveform) // 4]
            assert 0 < begin.std() < middle.std(), "a pause with a little noise comes before the speech"


@needs_espeak
def test_a_seed_fixes_texts_and_voices_but_not_the_size(tmp_path: Path) -> None:
    def said(folder: str, **settings: int) -> list[tuple[str, str | None]]:
        corpus = espeak.read(tmp_path / folder, dev=0, **settings)
        return [(utterance.text, utterance.speaker) for utterance in corpus.splits["train"]]

    four = said("a", train=4, seed=1)
    assert said("b", train=6, seed=1)[:4] == four
    assert said("c", train=4, seed=2) != four


@pytest.mark.parametrize("settings", [{"train": -1}, {"dev": -3}])
def test_a_negative_number_is_refused(settings: dict[str, int], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="neither can be below 0"):
        espeak.read(tmp_path, **settings)
    assert not list(tmp_path.iterdir())


def test_without_the_synthesiser_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    espeak._synthesiser.cache_clear()
    with pytest.raises(UsageError, match=r"pip install 'speechlstm\[synthesis\]'"):
        espeak.read(tmp_path, train=1, dev=0)


def test_the_config_makes_the_corpus_in_the_output_folder(tmp_path: Path) -> None:
    cfg = configs.load("prepare", ["corpus=espeak", f"out={tmp_path}"])
    assert cfg.root == str(tmp_path)
    assert configs.load("prepare", ["corpus=espeak", "out=there", "root=here"]).root == "here"


# the clips that ship with the package


def shipped() -> Path:
    return Path(espeak.__file__).parents[1] / "samples"


def test_shipped_samples_belong_to_their_manifest() -> None:
    utterances = read_manifest(shipped() / "samples.jsonl")
    assert [utterance.text for utterance in utterances] == [text for *_, text in espeak.SAMPLES]
    assert {Path(utterance.audio_filepath) for utterance in utterances} == set(shipped().glob("*.flac"))
    for utterance in utterances:
        info = audio_info(utterance.audio_filepath)
        assert (info.sample_rate, info.channels) == (16_000, 1)
        assert info.duration == pytest.approx(utterance.duration, abs=1e-3)
    assert sum(path.stat().st_size for path in shipped().iterdir()) < 300_000


@needs_espeak
def test_samples_can_be_made_again(tmp_path: Path) -> None:
    espeak.write_samples(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in shipped().iterdir()}
    for line, before in zip(
        (tmp_path / "samples.jsonl").read_text().splitlines(),
        (shipped() / "samples.jsonl").read_text().splitlines(),
        strict=True,
    ):
        again, old = json.loads(line), json.loads(before)
        assert again.pop("duration") == pytest.approx(old.pop("duration"), abs=0.05)
        assert again == old


@needs_espeak
def test_a_written_clip_is_the_waveform_in_16_bits(tmp_path: Path) -> None:
    waveform = espeak.speak("stop", "en-us+m1")
    espeak._write(tmp_path / "a" / "clip.flac", waveform)
    read, rate = soundfile.read(tmp_path / "a" / "clip.flac", dtype="float32")
    assert rate == espeak.SAMPLE_RATE
    assert np.abs(read - waveform).max() <= 1 / 32768
    digest = hashlib.sha256((tmp_path / "a" / "clip.flac").read_bytes()).hexdigest()
    espeak._write(tmp_path / "a" / "clip.flac", waveform)
    assert hashlib.sha256((tmp_path / "a" / "clip.flac").read_bytes()).hexdigest() == digest
