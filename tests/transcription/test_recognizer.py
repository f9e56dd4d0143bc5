"""A recognizer from Python: paths, arrays, open files and lists give the same; transcripts save themselves."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import speechlstm
from speechlstm.decoders.greedy import GreedyDecoder
from speechlstm.model.bundle import load_bundle
from speechlstm.types import AudioError, BundleError, SpeechlstmError, UsageError

SAMPLES = Path(speechlstm.__file__).parent / "data" / "samples"
STOP = SAMPLES / "stop.flac"


@pytest.fixture(scope="module")
def recognizer() -> speechlstm.Recognizer:
    return speechlstm.load()


def samples() -> tuple[np.ndarray, int]:
    return soundfile.read(STOP, dtype="float32")


@pytest.mark.parametrize(
    "audio",
    [
        lambda: str(STOP),
        lambda: STOP,
        samples,
        lambda: (samples()[0].astype(np.float64)[:, None], samples()[1]),
        lambda: ((samples()[0] * 32768).round().astype(np.int16), samples()[1]),
        lambda: STOP.open("rb"),
        lambda: io.BytesIO(STOP.read_bytes()),
    ],
)
def test_any_form_of_a_recording_gives_the_same_words(
    recognizer: speechlstm.Recognizer, audio: Callable[[], Any]
) -> None:
    wanted = recognizer.transcribe(STOP)
    transcript = recognizer.transcribe(audio())
    assert transcript.text == wanted.text == "stop"
    assert [(w.text, w.start, w.end) for w in transcript.words] == [
        (w.text, w.start, w.end) for w in wanted.words
    ]
    assert transcript.duration == wanted.duration


def test_a_list_comes_back_in_its_order(recognizer: speechlstm.Recognizer) -> None:
    paths = [SAMPLES / f"{name}.flac" for name in ("number", "stop", "enter", "stop")]
    transcripts = recognizer.transcribe(paths)
    assert [transcript.audio for transcript in transcripts] == list(map(str, paths))
    assert [transcript.text for transcript in transcripts] == [
        recognizer.transcribe(path).text for path in paths
    ]
    assert recognizer.transcribe([]) == []


@pytest.mark.parametrize(
    ("audio", "error", "message"),
    [
        (np.zeros(9), UsageError, r"without its sample rate; give \(array, sample_rate\)"),
        ((np.zeros(9),), UsageError, "a tuple of 1"),
        (
            (np.zeros(9), 10),
            UsageError,
            "rate of an array is 10, but must be a whole number of Hz from 1000 to 768000",
        ),
        ((np.zeros((9, 1, 1)), 8000), UsageError, r"shape \(9, 1, 1\)"),
        ((np.array(["a"]), 8000), UsageError, "must be"),
        ((np.zeros(0, np.float32), 8000), AudioError, "array: no samples"),
        ((np.full(900, np.nan), 8000), AudioError, "not finite"),
        ((np.full(900, 1e4), 8000), AudioError, "full scale is 1"),
        (io.BytesIO(b"nonsense"), AudioError, "^file: not audio"),
        (io.StringIO("text"), UsageError, "open it in binary mode"),
        (7, UsageError, "audio is a int, but must be a path"),
        ("nowhere.wav", AudioError, "nowhere.wav: no such file"),
    ],
)
def test_what_is_no_recording_is_named(
    recognizer: speechlstm.Recognizer, audio: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        recognizer.transcribe(audio)


def test_a_text_is_aligned_with_an_array_as_with_a_file(recognizer: speechlstm.Recognizer) -> None:
    whole = recognizer.align(STOP, "stop")
    assert recognizer.align(samples(), "stop").transcript.words == whole.transcript.words
    with pytest.raises(SpeechlstmError, match="array: there is no text to align"):
        recognizer.align(samples(), " ")


def test_a_transcript_saves_itself_in_the_format_of_the_ending(
    recognizer: speechlstm.Recognizer, tmp_path: Path
) -> None:
    transcript = recognizer.transcribe(STOP)
    for suffix, content in (
        ("srt", transcript.to_srt()),
        ("vtt", transcript.to_vtt()),
        ("json", transcript.to_json()),
        ("txt", "stop\n"),
    ):
        transcript.save(tmp_path / f"x.{suffix}")
        assert (tmp_path / f"x.{suffix}").read_text(encoding="utf-8") == content
    assert json.loads(transcript.to_json())["words"][0]["text"] == "stop"
    with pytest.raises(UsageError, match="no format 'doc'"):
        transcript.save(tmp_path / "x.doc")


def test_the_decoder_is_chosen_by_name_or_given(tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("stop\nnine\n")
    beam = speechlstm.load(decoder="beam", words=str(words), lexicon="strict")
    assert beam.transcribe(STOP).text == "stop"
    own = GreedyDecoder(tokenizer=beam.tokenizer)
    assert speechlstm.load(decoder=own).decoder is own
    with pytest.raises(UsageError, match="no decoder 'beem'; did you mean 'beam'"):
        speechlstm.load(decoder="beem")
    with pytest.raises(BundleError, match="no such folder"):
        speechlstm.load("nowhere")


def test_a_bundle_brings_the_decoder_that_belongs_to_it(tmp_path: Path) -> None:
    bundle = load_bundle()
    bundle.decoder = {"name": "beam", "words": "words.txt", "lexicon": "strict", "beam_size": 8}
    from speechlstm.model.selftest import record

    bundle.save(tmp_path / "b", "# with a decoder\n", record(bundle.model))
    (tmp_path / "b/words.txt").write_text("stop\n")
    loaded = speechlstm.load(tmp_path / "b")
    assert type(loaded.decoder).__name__ == "BeamDecoder"
    assert loaded.bundle.decoder["words"] == str(tmp_path / "b/words.txt")
    assert loaded.transcribe(SAMPLES / "number.flac").text.split() in (
        ["stop"],
        [],
        ["stop"] * 2,
        ["stop"] * 3,
    )
    assert type(speechlstm.load(tmp_path / "b", decoder="greedy").decoder) is GreedyDecoder
    (tmp_path / "b/decoder.json").write_text("[")
    with pytest.raises(BundleError, match=r"decoder.json: damaged"):
        speechlstm.load(tmp_path / "b")


def test_transcribing_does_without_the_compiler_of_other_searches() -> None:
    code = (
        "import sys, speechlstm; model = speechlstm.load('small', decoder='greedy')\n"
        f"assert model.transcribe({str(STOP)!r}).text == 'stop'\n"
        "early = {'numba', 'librosa', 'scipy', 'pytorch_lightning'} & set(sys.modules); assert not early, early"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
