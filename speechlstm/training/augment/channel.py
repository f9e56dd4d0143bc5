"""Effects of a channel: bandwidth, codec, and level."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import soundfile
import soxr

from speechlstm.training.augment.waveform import Change, Samples, Span
from speechlstm.types import UsageError

# format and subtype of libsndfile, and whether it is the telephone's, at 8 kHz
_CODECS = {
    "mulaw": ("WAV", "ULAW", True),
    "gsm": ("WAV", "GSM610", True),
    "mp3": ("MP3", "MPEG_LAYER_III", False),
    "vorbis": ("OGG", "VORBIS", False),
    "opus": ("OGG", "OPUS", False),
}


class BandLimit(Change):
    """Lets a random band of frequencies through."""

    def __init__(
        self,
        sample_rate: int,
        low: Span = (0.0, 300.0),
        high: Span = (3000.0, 8000.0),
        probability: float = 0.3,
    ) -> None:
        super().__init__(probability)
        self.sample_rate = sample_rate
        self.low, self.high = low, high
        if low[1] >= high[0]:
            raise UsageError(f"augment: band.low {low!r} must lie below band.high {high!r}")

    def apply(self, waveform: Samples, rng: np.random.Generator) -> Samples:
        """Return the waveform without what lies outside a random band."""
        return within_band(waveform, self.sample_rate, rng.uniform(*self.low), rng.uniform(*self.high))


def within_band(waveform: Samples, sample_rate: int, low: float, high: float) -> Samples:
    """Return the waveform without what lies outside a band; beyond each edge it fades over a tenth or 50 Hz."""
    size = 1 << (len(waveform) + sample_rate // 10).bit_length()  # room for the filter to ring
    frequency = np.fft.rfftfreq(size, 1 / sample_rate).astype(np.float32)
    outside = np.maximum((low - frequency) / max(low / 10, 50), (frequency - high) / max(high / 10, 50))
    gain = np.cos(np.pi / 2 * outside.clip(0, 1)) ** 2
    return np.fft.irfft(np.fft.rfft(waveform, size) * gain, size)[: len(waveform)].astype(np.float32)


class Codec(Change):
    """Compresses a waveform with a random codec and opens it again, in memory.

    The telephone's codecs work at 8 kHz, so that no frequency above 4 kHz remains. MP3 and Vorbis get a random
    quality.
    """

    def __init__(
        self, sample_rate: int, codecs: Sequence[str] = ("mulaw", "gsm", "mp3"), probability: float = 0.2
    ) -> None:
        super().__init__(probability)
        unknown = [name for name in codecs if name not in _CODECS]
        if unknown or not codecs:
            raise UsageError(
                f"augment: codec.codecs is {list(codecs)}, but must be a list of: {', '.join(_CODECS)}"
            )
        self.sample_rate, self.codecs = sample_rate, list(codecs)

    def apply(self, waveform: Samples, rng: np.random.Generator) -> Samples:
        """Return what the codec leaves of the waveform."""
        name, quality = self.codecs[int(rng.integers(len(self.codecs)))], rng.uniform(0, 0.99)
        return compressed(waveform, self.sample_rate, name, quality)


def compressed(waveform: Samples, sample_rate: int, codec: str, quality: float) -> Samples:
    """Return `(samples,)` after a codec.

    What passes full scale, 1, is cut off. The quality of mp3 and vorbis is from 0, the best, to 0.99.
    """
    form, subtype, telephone = _CODECS[codec]
    rate = 8000 if telephone or sample_rate < 16000 else 16000
    sent = soxr.resample(waveform, sample_rate, rate, quality="HQ") if rate != sample_rate else waveform
    options: dict[str, object] = {"compression_level": quality} if codec in ("mp3", "vorbis") else {}
    if codec == "mp3":
        options["bitrate_mode"] = "VARIABLE"  # else nothing says how much silence the encoder put before
    file = io.BytesIO()
    soundfile.write(file, sent.clip(-1, 1), rate, format=form, subtype=subtype, **options)
    file.seek(0)
    decoded, _ = soundfile.read(file, dtype="float32")
    if rate != sample_rate:
        decoded = soxr.resample(decoded, rate, sample_rate, quality="HQ")
    whole = np.zeros_like(waveform)
    whole[: len(decoded)] = decoded[: len(whole)]
    return whole


class Gain(Change):
    """Makes a waveform louder or quieter. With features that are normalized it changes what clips, and little else."""

    def __init__(self, decibels: Span = (-12.0, 6.0), probability: float = 0.5) -> None:
        super().__init__(probability)
        self.decibels = decibels

    def apply(self, waveform: Samples, rng: np.random.Generator) -> Samples:
        """Return the waveform at another level, cut off at full scale."""
        louder = waveform * np.float32(10 ** (rng.uniform(*self.decibels) / 20))
        return louder.clip(-1, 1)
