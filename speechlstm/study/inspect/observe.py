"""Everything that can be observed while a recognizer works on a recording."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from speechlstm.data.audio import audio_info, audio_name, load_audio
from speechlstm.decoders import Decoder
from speechlstm.model.acoustic import Stages
from speechlstm.study.inspect.gates import Direction, listen
from speechlstm.study.inspect.influence import Reach, influence
from speechlstm.transcription.align import forced_alignment
from speechlstm.transcription.boundaries import find_pauses
from speechlstm.transcription.recognizer import Recognizer
from speechlstm.transcription.transcript import Transcript, to_transcript
from speechlstm.types import AudioError, Hypothesis, SpeechlstmError

MAX_SECONDS = 60.0  # longest stretch: every gate of every unit in every frame is kept
_STRETCH = 20.0  # seconds that are observed in a longer recording by default
_COLUMNS = 1200  # of the picture of a whole recording
_BLOCK = 60.0  # seconds of it that are read at once


@dataclass(frozen=True, slots=True)
class Observation:
    """A recording, and what a recognizer did with it."""

    model: str  # name of the recognizer
    tokens: list[str]  # the blank first
    waveform: NDArray[np.float32]  # (samples,)
    sample_rate: int  # Hz
    log_probs: NDArray[np.float32]  # (frames, vocab), natural logs
    frame_shift: float  # seconds from one encoder frame to the next
    transcript: Transcript
    aligned: bool  # whether the text was given and only its times were found
    directions: list[Direction]
    reaches: list[Reach]
    shares: dict[int, NDArray[np.float64]]  # of each bidirectional layer, see `influence`
    offset: float  # where in the recording the waveform begins, in seconds; other times count from there
    recording_seconds: float  # length of the whole recording
    # (parts, 2): lowest and highest sample, if the waveform is not the whole
    overview: NDArray[np.float32] | None

    @property
    def seconds(self) -> float:
        """Length of the waveform."""
        return len(self.waveform) / self.sample_rate


def observe(
    recognizer: Recognizer,
    path: str | Path,
    decoder: Decoder,
    text: str | None = None,
    offset: float = 0.0,
    duration: float | None = None,
    strict_audio: bool = False,
) -> Observation:
    """Observe a recognizer at work on a recording.

    Without a text the decoder finds the words. The stretch begins at `offset` and is `duration` long, in seconds;
    without a duration it goes to the end, but is `_STRETCH` of what is longer than `MAX_SECONDS`.

    Raises:
        AudioError: the file cannot be read, or the stretch is too long.
        SpeechlstmError: the text cannot be aligned.
    """
    whole = audio_info(path, strict=False).duration
    seconds = whole - offset if duration is None else duration
    if seconds > MAX_SECONDS:
        if duration is not None or text is not None:
            limit = f"{seconds:.0f} s long, but at most {MAX_SECONDS:.0f} s can be shown"
            raise AudioError(f"{audio_name(path)}: {limit}; choose a stretch with offset= and duration=")
        duration = _STRETCH
    rate, model, warnings = recognizer.sample_rate, recognizer.bundle.model, list[str]()
    waveform = load_audio(path, rate, offset, duration, strict=strict_audio, warnings=warnings)
    seconds = len(waveform) / rate
    with torch.no_grad():
        stages = model.trace(torch.from_numpy(waveform).unsqueeze(0), torch.tensor([len(waveform)]))
    hypotheses = _hypotheses(recognizer, decoder, stages, text)
    pauses = find_pauses(waveform, rate)
    context = (recognizer.tokenizer, model.frame_shift, audio_name(path), seconds, pauses)
    reaches, shares = influence(model.encoder, stages.features, model.feature_shift)
    return Observation(
        model=recognizer.name,
        tokens=list(recognizer.tokenizer.tokens),
        waveform=waveform,
        sample_rate=rate,
        log_probs=stages.log_probs[0].numpy(),
        frame_shift=model.frame_shift,
        transcript=replace(to_transcript(hypotheses, *context), warnings=warnings),
        aligned=text is not None,
        directions=listen(model.encoder, stages.features, model.frame_shift),
        reaches=reaches,
        shares=shares,
        offset=offset,
        recording_seconds=whole,
        overview=_envelope(path, rate, whole) if seconds < whole - 0.1 else None,
    )


def _hypotheses(
    recognizer: Recognizer, decoder: Decoder, stages: Stages, text: str | None
) -> list[Hypothesis]:
    """Return what the decoder finds, or the alignment of a given text."""
    if text is None:
        return decoder(stages.log_probs, stages.lengths)[0]
    tokens = recognizer.tokenizer.encode(text)
    if not tokens:
        raise SpeechlstmError("text= is empty, so there is nothing to align")
    aligned, _ = forced_alignment(stages.log_probs[0].numpy(), tokens)
    return [replace(aligned, text=recognizer.tokenizer.normalize(text))]


def _envelope(path: str | Path, sample_rate: int, seconds: float) -> NDArray[np.float32]:
    """Return the lowest and highest sample in each of `_COLUMNS` equal parts of a recording, a block at a time."""
    step = seconds / _COLUMNS
    together = max(1, round(_BLOCK / step))
    found = []
    for first in range(0, _COLUMNS, together):
        count = min(together, _COLUMNS - first)
        block = load_audio(path, sample_rate, first * step, count * step, strict=False)
        edges = np.linspace(0, len(block), count, endpoint=False).astype(int)
        found.append(np.stack((np.minimum.reduceat(block, edges), np.maximum.reduceat(block, edges)), 1))
    return np.concatenate(found)
