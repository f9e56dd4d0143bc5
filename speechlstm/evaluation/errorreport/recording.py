"""The sound of the utterances: how noisy it is, and small copies of it to listen to."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import av
import numpy as np
from numpy.typing import NDArray

from speechlstm.data import progress
from speechlstm.data.audio import load_audio
from speechlstm.types import AudioError, Utterance

_FRAME = 0.02  # seconds in which the power is measured
_NOISE = 10  # percentile of the frames' powers that is taken for the noise
_SPEECH = 2.0  # times the noise that a frame with speech has at least
_READERS = 2  # threads
_TOGETHER = 64  # recordings compressed before the sum of their sizes is looked at again
_RATES = (8_000, 12_000, 16_000, 24_000, 48_000)  # Hz that Opus knows
_BITS = 16_000  # a second, enough for speech


def estimate_snr(waveform: NDArray[np.float32], sample_rate: int) -> float | None:
    """Estimate how far speech lies above the background noise, from the powers of short frames.

    The noise is what the quiet frames have, the speech what the others have more; so the noise must be steady, and
    there must be a pause. Stretches of digital silence are left out.

    Returns:
        the ratio of the mean power of the speech, without its pauses, to that of the noise, in decibels; None if no
        frame stands out.
    """
    size = max(round(_FRAME * sample_rate), 1)
    frames = waveform[: len(waveform) // size * size].reshape(-1, size).astype(np.float64)
    powers = frames.var(axis=1)  # a constant offset is no sound
    powers = powers[powers > 1e-12]  # below what 16 bits hold
    if not len(powers):
        return None
    noise = float(np.percentile(powers, _NOISE))
    loud = powers[powers > _SPEECH * noise]
    return 10 * math.log10(float(loud.mean()) / noise - 1) if len(loud) else None


def measure_snr(utterances: Sequence[Utterance], sample_rate: int) -> list[float | None]:
    """Estimate the signal-to-noise ratio of each utterance in decibels; None where it is unknown."""

    def measure(utterance: Utterance) -> float | None:
        try:
            return estimate_snr(_read(utterance, sample_rate), sample_rate)
        except AudioError:  # the file was read before, so it has gone since
            return None

    with ThreadPoolExecutor(_READERS) as pool:
        measured = pool.map(measure, utterances)
        return list(progress.track(measured, "measuring noise", len(utterances), unit="utterance"))


def embed(
    utterances: Sequence[Utterance], order: Iterable[int], sample_rate: int, budget: float
) -> dict[int, bytes]:
    """Compress recordings until a budget is used up.

    The indices in `order` come first that matter most; `budget` counts bytes of base64.

    Returns:
        by index, Ogg files with Opus.
    """
    rate = next((rate for rate in _RATES if rate >= sample_rate), _RATES[-1])
    wanted, made, used = list(order), dict[int, bytes](), 0

    def compress(index: int) -> bytes | None:
        try:
            return encode_opus(_read(utterances[index], rate), rate)
        except AudioError:
            return None

    with (
        ThreadPoolExecutor(_READERS) as pool,
        progress.bar("compressing audio", len(wanted), "utterance") as bar,
    ):
        for first in range(0, len(wanted) if budget else 0, _TOGETHER):
            indices = wanted[first : first + _TOGETHER]
            full = False
            for index, content in zip(indices, pool.map(compress, indices), strict=True):
                bar.update()
                if content is None:
                    continue
                size = -(-len(content) // 3) * 4
                if used + size > budget:
                    full = True
                    continue
                made[index] = content
                used += size
            if full:
                break
    return made


def encode_opus(waveform: NDArray[np.float32], sample_rate: int) -> bytes:
    """Return a waveform as an Ogg file with Opus at 16 kbit/s.

    ffmpeg's encoder takes little effort, which makes it ten times as fast as libsndfile's at a size not
    much larger.
    """
    samples = (np.clip(waveform, -1, 1) * 32767).astype(np.int16)
    file = io.BytesIO()
    with av.open(file, "w", format="ogg") as container:
        options = {"compression_level": "0", "application": "voip"}
        stream = container.add_stream("libopus", rate=sample_rate, options=options, layout="mono")
        stream.bit_rate = _BITS
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts = sample_rate, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def _read(utterance: Utterance, sample_rate: int) -> NDArray[np.float32]:
    duration = utterance.duration or None
    channel, offset = utterance.channel, utterance.offset
    return load_audio(utterance.audio_filepath, sample_rate, offset, duration, channel, strict=False)
