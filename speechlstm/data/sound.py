"""What the audio of a manifest's utterances is like: each is decoded once."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from speechlstm.data import progress
from speechlstm.data.audio import audio_format, audio_info, holder, load_audio
from speechlstm.data.manifest import Entry
from speechlstm.data.report import Problem
from speechlstm.types import AudioError, Utterance

SILENCE = 1e-3  # root mean square of the loudest 25 ms, -60 dB of full scale; speech is above even when soft
CLIPPED = 1e-3  # share of samples at full scale from which it is audible
DURATION_TOLERANCE = 0.1  # seconds; encoders pad to whole frames, people round


@dataclass(frozen=True, slots=True)
class Decoded:
    """What decoding an utterance showed: a digest of its samples (None if they cannot be had), and problems."""

    digest: str | None
    problems: list[Problem]


def decode_all(
    manifests: Sequence[Sequence[Entry]], threads: int, channel: int | str | None
) -> dict[int, Decoded]:
    """Decode every utterance of some manifests once; the keys are the utterances' `id()`."""
    utterances = [utterance for entries in manifests for _, utterance in entries]
    alone: set[int] = set()  # with a file of their own in their manifest
    for entries in manifests:
        files = Counter(utterance.audio_filepath for _, utterance in entries)
        alone |= {id(utterance) for _, utterance in entries if files[utterance.audio_filepath] == 1}
    length = cache(lambda path: audio_info(path).duration)

    def decode(each: Utterance) -> Decoded:
        whole = id(each) in alone and not each.offset
        return _decode(each, None if whole else length, channel)

    with ThreadPoolExecutor(threads) as pool:
        work = pool.map(decode, utterances)
        results = progress.track(work, "decoding audio", len(utterances), unit="file")
        return {id(utterance): result for utterance, result in zip(utterances, results, strict=True)}


def _decode(
    utterance: Utterance, length: Callable[[str], float] | None, channel: int | str | None
) -> Decoded:
    """Decode an utterance.

    Args:
        utterance: of a manifest.
        length: gives the seconds of a file; None if this is the file's only utterance, so that it should last as long.
        channel: as in `examine`.
    """
    path = utterance.audio_filepath
    if not holder(path).is_file():
        return Decoded(None, [])  # named already
    problems: list[Problem] = []

    def report(kind: str, severity: Literal["error", "warning"], message: str, **numbers: Any) -> None:
        problems.append(Problem(kind, severity, message, utterance.id, numbers=numbers))

    try:
        rate, channels = audio_format(path)
        only = utterance.channel if channel in (None, "each") else int(channel or 0)
        digest, end = hashlib.blake2b(digest_size=16), utterance.offset + utterance.duration
        wanted = list(range(channels)) if channel == "each" else [only]
        for number in wanted:
            samples, seconds = _stretch(utterance, rate, number, length, report)
            if (
                number in (0, only)
                and abs(end - seconds) > DURATION_TOLERANCE
                and (length is None or end > seconds)
            ):
                message = f"should end at {end:.2f} s, but the file ends at {seconds:.2f} s"
                report("wrong duration", "error", message, manifest=end, file=seconds)
            if not len(samples):
                return Decoded(None, problems)
            _examine(samples, rate, report)
            digest.update(samples.tobytes())
    except AudioError as error:
        report("unreadable audio", "error", str(error).removeprefix(f"{path}: "))
        return Decoded(None, problems)
    return Decoded(digest.hexdigest(), problems)


def _stretch(
    utterance: Utterance,
    rate: int,
    channel: int | None,
    length: Callable[[str], float] | None,
    report: Callable[..., None],
) -> tuple[NDArray[np.float32], float]:
    """Return the samples of an utterance, as far as the file has them, and the seconds of the file."""
    path, notes = utterance.audio_filepath, list[str]()
    if length is None:
        whole = load_audio(path, rate, channel=channel, warnings=notes)
        samples, seconds = whole[: round(utterance.duration * rate)], len(whole) / rate
    else:
        seconds = length(path)
        duration = min(utterance.duration, seconds - utterance.offset)
        if duration <= 0:
            return np.zeros(0, np.float32), seconds
        samples = load_audio(path, rate, utterance.offset, duration, channel, warnings=notes)
    for line in notes:
        report("channels cancel", "warning", line)
    return samples, seconds


def _examine(samples: NDArray[np.float32], sample_rate: int, report: Callable[..., None]) -> None:
    """Report what is wrong with the sound of an utterance."""
    if (level := loudest(samples, round(0.025 * sample_rate))) < SILENCE:
        loudness = (
            f"never louder than {20 * math.log10(level):.0f} dB of full scale" if level else "only zeros"
        )
        report("silence", "error", loudness, level=level)
    if (clipped := clipped_share(samples)) > CLIPPED:
        report("clipping", "warning", f"{clipped:.1%} of the samples are at full scale", share=clipped)


def loudest(samples: NDArray[np.float32], window: int) -> float:
    """Return the largest root mean square of the windows of `window` samples that `(samples,)` is cut into."""
    energy = np.square(samples, dtype=np.float64)
    sums = np.add.reduceat(energy, np.arange(0, len(samples), window))
    return math.sqrt(float(sums.max()) / min(window, len(samples)))


def clipped_share(samples: NDArray[np.float32]) -> float:
    """Return the share of samples `(samples,)` that are in runs of two or more at full scale."""
    full = np.abs(samples) >= 0.999
    run = np.zeros_like(full)
    pairs = full[1:] & full[:-1]
    run[1:] |= pairs
    run[:-1] |= pairs
    return float(run.mean())
