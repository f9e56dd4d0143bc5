"""Everything there is to see while a recogniser hears one recording."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from speechlstm.data.audio import audio_info, load_audio
from speechlstm.decoders import Decoder
from speechlstm.model.features import Spectrogram
from speechlstm.study.inspect.gates import Direction, listen
from speechlstm.study.inspect.influence import Reach, influence
from speechlstm.transcription.align import forced_alignment
from speechlstm.transcription.boundaries import find_pauses
from speechlstm.transcription.formats import to_transcript
from speechlstm.transcription.recognizer import Recognizer
from speechlstm.types import AudioError, SpeechlstmError, Transcript

MAX_SECONDS = 60.0  # longest stretch: every gate of every unit in every frame is kept
_WINDOW = 0.025  # seconds of a frame of the spectrogram that is shown


@dataclass(frozen=True, slots=True)
class Observation:
    """A recording, and what a recogniser did with it.

    Attributes:
        model: name of the recogniser.
        tokens: its tokens, the blank first.
        waveform: `(samples,)`.
        sample_rate: Hz.
        spectrogram: `(frames, bins)`, decibels below full scale, bins from 0 Hz to half the sample rate.
        spectrogram_shift: seconds from one of its frames to the next.
        log_probs: `(frames, vocab)`, natural logs.
        frame_shift: seconds from one encoder frame to the next.
        transcript: words with times.
        aligned: whether the text was given and only its times were found.
        directions: what each direction of each recurrent layer did.
        reaches: what single outputs rest on.
        shares: for each bidirectional layer what each direction contributes, `(frames, 2)`, forward first.
    """

    model: str
    tokens: list[str]
    waveform: NDArray[np.float32]
    sample_rate: int
    spectrogram: NDArray[np.float32]
    spectrogram_shift: float
    log_probs: NDArray[np.float32]
    frame_shift: float
    transcript: Transcript
    aligned: bool
    directions: list[Direction]
    reaches: list[Reach]
    shares: dict[int, NDArray[np.float64]]

    @property
    def seconds(self) -> float:
        """Length of the recording."""
        return len(self.waveform) / self.sample_rate


def observe(
    bundle: Recognizer,
    path: str | Path,
    decoder: Decoder,
    text: str | None = None,
    offset: float = 0.0,
    duration: float | None = None,
) -> Observation:
    """Let a recogniser hear a recording, and watch.

    Args:
        bundle: the recogniser.
        path: audio file.
        decoder: finds the words, if there is no text.
        text: what is said, to be aligned.
        offset: where the stretch to hear begins, in seconds; times count from there.
        duration: its length in seconds; None: to the end.

    Raises:
        AudioError: the file cannot be read, or the stretch is too long.
        SpeechlstmError: the text cannot be aligned.
    """
    seconds = audio_info(path).duration - offset if duration is None else duration
    if seconds > MAX_SECONDS:
        raise AudioError(
            f"{path}: {seconds:.0f} s are too many to look at, at most {MAX_SECONDS:.0f}; choose a stretch with "
            "offset= and duration="
        )
    waveform = load_audio(path, bundle.sample_rate, offset, duration)
    model = bundle.bundle.model
    batch, lengths = torch.from_numpy(waveform).unsqueeze(0), torch.tensor([len(waveform)])
    with torch.no_grad():
        stages = model.trace(batch, lengths)
        spectrum = Spectrogram(bundle.sample_rate, window=_WINDOW, normalize="none")
        power, _ = spectrum(batch, lengths)
    if text is None:
        hypotheses = decoder(stages.log_probs, stages.lengths)[0]
    else:
        tokens = bundle.tokenizer.encode(text)
        if not tokens:
            raise SpeechlstmError("text= is empty, so that there is nothing to align")
        aligned, _ = forced_alignment(stages.log_probs[0].numpy(), tokens)
        hypotheses = [replace(aligned, text=bundle.tokenizer.normalize(text))]
    transcript = to_transcript(
        hypotheses,
        bundle.tokenizer,
        bundle.frame_shift,
        str(path),
        len(waveform) / bundle.sample_rate,
        find_pauses(waveform, bundle.sample_rate),
    )
    reaches, shares = influence(model.encoder, stages.features, model.feature_shift)
    full_scale = float(spectrum.window.sum()) / 2  # amplitude that a sine of full scale has in its bin
    return Observation(
        bundle.name,
        list(bundle.tokenizer.tokens),
        waveform,
        bundle.sample_rate,
        (power[0].numpy() * 10 / np.log(10) - 20 * np.log10(full_scale)).astype(np.float32),
        spectrum.frame_shift,
        stages.log_probs[0].numpy(),
        bundle.frame_shift,
        transcript,
        text is not None,
        listen(model.encoder, stages.features, bundle.frame_shift),
        reaches,
        shares,
    )
