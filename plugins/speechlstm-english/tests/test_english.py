"""The English model: found by its name, it reproduces its self-test and transcribes real speech."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import speechlstm_english

import speechlstm
from speechlstm.data.manifest import read_manifest
from speechlstm.evaluation.metrics import corpus
from speechlstm.model.bundle import load_bundle
from speechlstm.model.selftest import verify
from speechlstm.model.tokenizer import Phones

FOLDER = Path(speechlstm_english.__file__).parent


def test_it_reproduces_its_self_test() -> None:
    assert verify(load_bundle(FOLDER)) < 1e-3


def test_its_decoder_has_the_files_that_it_names() -> None:
    settings = json.loads((FOLDER / "decoder.json").read_text(encoding="utf-8"))
    assert all((FOLDER / settings[key]).is_file() for key in ("lm", "rescore"))
    bundle = load_bundle(FOLDER)
    assert bundle.decoder["lm"] == str(FOLDER / "lm.arpa.gz")
    assert isinstance(bundle.tokenizer, Phones)
    words = bundle.tokenizer.lexicon.entries
    assert len(words) == 79_808 and {"hello", "world", "obstinately"} <= words.keys()


def test_it_is_small_enough_to_be_installed() -> None:
    assert (
        sum(path.stat().st_size for path in FOLDER.iterdir() if path.is_file() and path.suffix != ".cache")
        <= 45e6
    )


@pytest.fixture(scope="module")
def recognizer() -> speechlstm.Recognizer:
    """Load it once: its lexicon and language models take seconds."""
    return speechlstm.load(FOLDER)


@pytest.mark.parametrize("seconds", [1, 3, 10, 60])
def test_it_hears_no_words_in_digital_silence(recognizer: speechlstm.Recognizer, seconds: int) -> None:
    assert recognizer.transcribe((np.zeros(16_000 * seconds, np.float32), 16_000)).text == ""


def test_it_hears_its_samples(recognizer: speechlstm.Recognizer) -> None:
    samples = list(read_manifest(FOLDER.parent / "samples" / "samples.jsonl"))
    texts = [recognizer.transcribe(each.audio_filepath).text for each in samples]
    assert len(samples) == 3 and texts == [each.text for each in samples]


def test_it_transcribes_read_books(recognizer: speechlstm.Recognizer) -> None:
    data = Path(os.environ.get("SPEECHLSTM_DATA") or Path(__file__).parents[4] / "shared" / "data")
    folder = data / "librispeech" / "LibriSpeech" / "dev-sample"
    if not folder.is_dir():
        pytest.skip(f"no real speech at {folder}; set SPEECHLSTM_DATA")
    texts = [line for path in sorted(folder.rglob("*.trans.txt")) for line in path.read_text().splitlines()][
        ::60
    ]
    pairs = []
    for line in texts:
        name, _, text = line.partition(" ")
        (audio,) = folder.rglob(f"{name}.*")
        pairs.append((text.lower(), recognizer.transcribe(audio).text))
    assert corpus(pairs).wer < 0.45
