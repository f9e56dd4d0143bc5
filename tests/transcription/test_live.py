"""Live speech: final words are those of the whole recording, and sound comes from pipes and microphones."""

from __future__ import annotations

import io
import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from spelling import FRAME, RATE, TOKENS, SpellingBundle, spell
from torch import Tensor

import speechlstm
from speechlstm.cli import live as command
from speechlstm.decoders.greedy import GreedyDecoder
from speechlstm.transcription import live, sound
from speechlstm.transcription.live import Stream, Update
from speechlstm.types import AudioError, UsageError

GREEDY = GreedyDecoder(tokenizer=TOKENS)


class ChunkedBundle(SpellingBundle):
    """Gives chunks of 0.64 s, each when 0.32 s of the next are there."""

    def live(self) -> Callable[[Tensor, int, bool], Tensor]:
        again = super().live()

        def forward(held: Tensor, start: int, last: bool) -> Tensor:
            log_probs, first = again(held, start, last), start // FRAME
            return (
                log_probs if last else log_probs[: max(0, (first + len(log_probs) - 16) // 32 * 32 - first)]
            )

        return forward


def updates(
    waveform: np.ndarray, size: int, bundle: SpellingBundle | None = None, **settings: float
) -> list[Update]:
    stream = Stream(bundle or SpellingBundle(), GREEDY, **settings)
    found = [
        update
        for start in range(0, len(waveform), size)
        for update in stream.accept(waveform[start : start + size])
    ]
    return [*found, stream.finish()]


@settings(max_examples=30)
@given(
    st.lists(st.sampled_from(["no", "yes", "hello", "a", "it's"]), min_size=1, max_size=60),
    st.integers(500, 40_000),
    st.sampled_from([0.16, 0.32, 1.0]),
    st.sampled_from([SpellingBundle(), ChunkedBundle()]),
)
def test_final_words_are_those_of_the_whole(
    words: list[str], size: int, step: float, bundle: SpellingBundle
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live, "CONTEXT", 1.0)
        found = updates(spell(" ".join(words)), size, bundle, step=step)
    final = [word for update in found for word in update.words]
    assert [word.text for word in final] == words
    assert all(before.end <= after.end for before, after in itertools.pairwise(final))
    begin = 0.0
    for word, at in zip(final, words, strict=True):
        assert word.start == pytest.approx(begin, abs=0.15)
        begin += 0.06 * (len(at) + 1)
    assert all(update.time >= word.end - 1e-6 for update in found for word in update.words)


def test_final_words_come_soon_after_their_chunk() -> None:
    words = ["hello", "yes", "no"] * 8
    found = updates(np.pad(spell(" ".join(words)), (0, RATE)), 1600, ChunkedBundle())
    late = [update.time - word.end for update in found for word in update.words]
    assert len(late) == len(words) and max(late) <= 0.64 + 0.32 + live.LAG + 0.1


def test_partial_text_comes_first_and_pauses_end_lines() -> None:
    speech = spell("yes hello")
    waveform = np.concatenate(
        [speech, np.zeros(2 * RATE, np.float32), spell("no"), np.zeros(RATE, np.float32)]
    )
    found = updates(waveform, 1600)
    partial = next(update for update in found if update.partial)
    assert partial.time <= 0.64 and not partial.words
    lines = [[]]
    for update in found:
        lines[-1] += [word.text for word in update.words]
        if update.endpoint:
            lines.append([])
    assert lines == [["yes", "hello"], ["no"], []]
    ends = [update.time for update in found if update.endpoint]
    assert ends[0] == pytest.approx(len(speech) / RATE + 0.8, abs=0.4)


def test_memory_does_not_grow_in_silence_or_in_speech_that_never_settles() -> None:
    noise = np.random.default_rng(0).normal(size=120 * RATE).astype(np.float32)
    for waveform in (np.zeros(120 * RATE, np.float32), noise):
        stream = Stream(SpellingBundle(), GREEDY, step=1.0)
        for _ in stream.accept(waveform):
            assert len(stream._held) <= (live.LONGEST + live.CONTEXT + 1) * RATE


def test_wrong_use_is_explained() -> None:
    with pytest.raises(UsageError, match="step is 0, but must be"):
        Stream(SpellingBundle(), GREEDY, step=0)
    with pytest.raises(UsageError, match=r"samples of shape \(2, 2\) and type float64"):
        list(Stream(SpellingBundle(), GREEDY).accept(np.zeros((2, 2))))
    with pytest.raises(UsageError, match=r"samples of shape \(2,\) and type list"):
        list(Stream(SpellingBundle(), GREEDY).accept([0.0, 0.0]))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="not finite"):
        list(Stream(SpellingBundle(), GREEDY).accept(np.full(10, np.nan, np.float32)))
    assert Stream(SpellingBundle(), GREEDY).finish() == Update(0.0)


# Pipes


def wav(samples: np.ndarray, rate: int, **options: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", **options)
    return file.getvalue()


class Dripping(io.RawIOBase):
    """A pipe that gives odd numbers of bytes."""

    def __init__(self, content: bytes) -> None:
        self.content, self.at = content, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:
        part = self.content[self.at : self.at + min(len(buffer), 333)]
        buffer[: len(part)] = part
        self.at += len(part)
        return len(part)


def piped(content: bytes, rate: int = RATE, channels: int = 1) -> np.ndarray:
    return np.concatenate(list(sound.from_pipe(io.BufferedReader(Dripping(content)), rate, channels, RATE)))


def test_pipes_are_read_exactly() -> None:
    samples = np.random.default_rng(0).integers(-(2**15), 2**15, 5000).astype("<i2")
    wanted = samples.astype(np.float32) / 2**15
    np.testing.assert_array_equal(piped(samples.tobytes()), wanted)
    np.testing.assert_array_equal(piped(samples.tobytes() + b"x"), wanted)  # a torn sample
    np.testing.assert_array_equal(piped(np.repeat(samples, 2).tobytes(), channels=2), wanted)
    np.testing.assert_array_equal(piped(wav(samples, RATE), rate=8000), wanted)
    stereo = np.stack([samples, samples], 1)
    np.testing.assert_array_equal(piped(wav(stereo, RATE)), wanted)
    endless = bytearray(wav(samples, RATE))
    endless[4:8] = endless[40:44] = b"\xff" * 4  # as ffmpeg writes to a pipe
    np.testing.assert_array_equal(piped(bytes(endless)), wanted)
    assert len(piped(samples.tobytes(), rate=8000)) == pytest.approx(10_000, abs=2)
    assert len(piped(b"RIF")) == 1


@pytest.mark.parametrize(
    "content",
    [
        b"RIFF",
        b"RIFF....AVI LIST",
        b"RIFF....WAVEdata",
        b"RIFF....WAVEfmt \xff\xff\xff\x7f",
        wav(np.zeros(9), RATE, subtype="FLOAT"),
    ],
)
def test_other_wavs_are_refused(content: bytes) -> None:
    with pytest.raises(AudioError, match=r"standard input: .*; convert it with `ffmpeg"):
        piped(content)


# Microphones


class FakeStream:
    """Records two blocks, then is unplugged."""

    def __init__(
        self, rate: int, size: int, device: object, channels: int, kind: str, callback: Callable
    ) -> None:
        self.size, self.callback, self.active = size, callback, True

    def start(self) -> None:
        for level in (0.25, 0.5):
            self.callback(np.full((self.size, 1), level, np.float32), self.size, None, None)
        self.active = False

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


def devices(number: object = None, kind: str = "") -> object:
    one = {"name": "built-in", "max_input_channels": 2, "default_samplerate": 16000.0}
    if number == 7:
        raise ValueError("no device 7")
    return one if kind else [one, one | {"name": "loudspeaker", "max_input_channels": 0}]


@pytest.fixture
def microphone(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = SimpleNamespace(query_devices=devices, InputStream=FakeStream, PortAudioError=OSError)
    monkeypatch.setattr(sound, "_sounddevice", lambda: fake)


@pytest.mark.usefixtures("microphone")
def test_a_microphone_is_read_until_it_goes_away() -> None:
    assert sound.list_microphones() == ["0  built-in, 2 channels, 16000 Hz"]
    blocks: Iterator[np.ndarray] = sound.from_microphone(None, RATE)
    assert [next(blocks).mean() for _ in range(2)] == [0.25, 0.5]
    with pytest.raises(AudioError, match="the microphone has gone away"):
        next(blocks)
    with pytest.raises(UsageError, match=r"device=7 cannot be opened \(no device 7\); devices=true lists"):
        sound.from_microphone(7, RATE)


def test_what_a_microphone_needs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(UsageError, match=r"pip install 'speechlstm\[live\]'"):
        sound.list_microphones()


# The command


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, run_command: Callable[..., tuple[int, str, str]]
) -> Callable[..., tuple[int, str, str]]:
    monkeypatch.setattr(speechlstm, "load", lambda path, **where: SpellingBundle())
    return partial(run_command, command)


def say(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


def test_a_pipe_is_transcribed(
    run: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    waveform = np.concatenate([spell("yes no"), np.zeros(2 * RATE, np.float32), spell("hello")])
    pcm = (waveform * 2**15).astype("<i2").tobytes()
    say(monkeypatch, pcm)
    assert run("-") == (0, "yes no\nhello\n", "")
    say(monkeypatch, pcm)
    status, out, _ = run("-", "format=json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert status == 0 and [word["text"] for line in lines for word in line["words"]] == [
        "yes",
        "no",
        "hello",
    ]
    assert any(line["partial"] for line in lines) and sum(line["endpoint"] for line in lines) == 2
    say(monkeypatch, b"RIFF")
    assert run("-")[0] == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no samples"),
        (b"x", "no samples"),
        (b"fLaC" + bytes(99), "neither raw PCM nor wav"),
        (b"ID3\3" + bytes(99), "neither raw PCM nor wav"),
        (b"\x1aE\xdf\xa3" + bytes(99), "neither raw PCM nor wav"),
    ],
)
def test_a_pipe_without_samples_is_an_error(content: bytes, message: str) -> None:
    with pytest.raises(AudioError, match=f"standard input: {message}"):
        list(sound.from_pipe(io.BytesIO(content), RATE, 1, RATE))


@pytest.mark.usefixtures("microphone")
def test_the_command_records(run: Callable[..., tuple[int, str, str]]) -> None:
    assert run("devices=true") == (0, "0  built-in, 2 channels, 16000 Hz\n", "")
    status, _, err = run()
    assert status == 1 and err == "listening; Ctrl-C ends it\nerror: the microphone has gone away\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.wav"], "error: live reads a microphone, or with - the standard input, not a.wav"),
        (["-", "step=0"], "error: step is 0, but must be"),
        (["-", "step=1e-9"], "error: step is 1e-09, but must be"),
        (["-", "format=srt"], "error: no format 'srt'"),
    ],
)
def test_wrong_usage(arguments: list[str], message: str, run: Callable[..., tuple[int, str, str]]) -> None:
    status, out, err = run(*arguments)
    assert (status, out) == (2, "") and message in err


def test_a_pipe_through_the_real_program() -> None:
    folder = speechlstm.__file__.rpartition("/")[0]
    samples, rate = soundfile.read(f"{folder}/data/samples/stop.flac", dtype="int16")
    done = subprocess.run(
        [sys.executable, "-m", "speechlstm", "live", "-", "bundle=small", f"rate={rate}", "trainer=cpu"],
        input=samples.tobytes(), capture_output=True,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, b"stop\n"), done.stderr
