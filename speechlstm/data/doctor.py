"""The data doctor: all that is wrong with a manifest, found in one pass, each with its file and line."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from speechlstm.data import progress
from speechlstm.data.audio import audio_info, holder, load_audio
from speechlstm.data.characters import advice
from speechlstm.data.manifest import Entry, read_entries
from speechlstm.data.report import Problem, Report
from speechlstm.types import AudioError, Utterance, counted

SILENCE = 1e-3  # root mean square of the loudest 25 ms, -60 dB of full scale; speech is above even when soft
CLIPPED = 1e-3  # share of samples at full scale from which it is audible
OUTLIER = 5.0  # robust standard deviations of the logarithm of characters per second
DURATION_TOLERANCE = 0.1  # seconds; encoders pad to whole frames, people round


class Speller(Protocol):
    """What the doctor asks of a tokenizer."""

    unit: ClassVar[str]

    def normalize(self, text: str) -> str:
        """Return the text as the recognizer would write it."""

    def unknown(self, text: str) -> Counter[str]:
        """Count the units of a text that have no token."""

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a text."""


def cheap_checks(
    utterances: Iterable[Utterance],
    tokenizer: Speller | None = None,
    num_encoder_frames: Callable[[float], int] | None = None,
) -> list[Problem]:
    """Find what is wrong without opening any audio; training leaves out what has an error.

    Args:
        utterances: the lines of a manifest.
        tokenizer: finds characters (or words) that have no token.
        num_encoder_frames: seconds -> encoder frames; finds texts too long for their audio: CTC needs a
            frame for each token and one more between two equal ones (Graves et al. 2006, section 3).
    """
    return [problem for each in utterances for problem in _check_line(each, tokenizer, num_encoder_frames)]


def examine(
    manifest: str | Path,
    tokenizer: Speller | None = None,
    num_encoder_frames: Callable[[float], int] | None = None,
    against: str | Path | None = None,
    threads: int = 4,
    channel: int | str | None = None,
) -> Report:
    """Find everything that is wrong with a manifest, and what it shares with another one.

    All audio is decoded, with a progress bar on a terminal.

    Args:
        manifest: what to examine.
        tokenizer: as in `cheap_checks`.
        num_encoder_frames: as in `cheap_checks`.
        against: a manifest that should share no speaker, audio or text with it, such as that of the training.
        threads: files that are decoded at once.
        channel: which channel to look at; `"each"` all of them; None what the manifest says.

    Raises:
        ManifestError: a manifest cannot be read at all, or has no lines.
    """
    entries, problems = _read(manifest)
    others = _read(against)[0] if against is not None else []
    decoded = _decode_all([*entries, *others], threads, channel)
    first: dict[str, int] = {}
    for line, utterance in entries:
        found = [*_check_line(utterance, tokenizer, num_encoder_frames), *decoded[id(utterance)].problems]
        if utterance.id in first:
            message = f"id stands in line {first[utterance.id]} already"
            found.append(Problem("duplicate id", "error", message, utterance.id))
        first.setdefault(utterance.id, line)
        problems += [replace(problem, file=str(manifest), line=line) for problem in found]
    characters = Counter("".join(utterance.text for _, utterance in entries))
    about_all = [*_outliers(entries), *_duplicates(entries, decoded), *advice(characters)]
    problems += [replace(problem, file=str(manifest)) for problem in about_all]
    problems.sort(key=lambda problem: problem.line or 0)
    if against is not None:
        problems += _overlap(entries, others, decoded, str(manifest), str(against))
    return Report(
        str(manifest),
        len(entries),
        sum(utterance.duration for _, utterance in entries),
        len({utterance.speaker for _, utterance in entries} - {None}),
        dict(sorted(characters.items())),
        problems,
    )


@dataclass(frozen=True, slots=True)
class _Decoded:
    """What decoding an utterance showed: a digest of its samples (None if they cannot be had), and problems."""

    digest: str | None
    problems: list[Problem]


def _read(manifest: str | Path) -> tuple[list[Entry], list[Problem]]:
    entries, bad = read_entries(manifest)
    return entries, [
        Problem(
            "bad line",
            "error",
            str(error).removeprefix(f"{manifest}:{line}: "),
            file=str(manifest),
            line=line,
        )
        for line, error in bad
    ]


def _check_line(
    utterance: Utterance, tokenizer: Speller | None, num_encoder_frames: Callable[[float], int] | None
) -> Iterator[Problem]:
    def error(kind: str, message: str, **numbers: Any) -> Problem:
        return Problem(kind, "error", message, utterance.id, numbers=numbers)

    if not holder(utterance.audio_filepath).is_file():
        yield error("missing audio", f"no file {utterance.audio_filepath}")
    if utterance.duration <= 0:
        yield error("wrong duration", "lasts 0 s in the manifest")
    if not utterance.text.strip():
        yield error("empty text", "there is no text")
    elif tokenizer is not None:
        unknown = tokenizer.unknown(tokenizer.normalize(utterance.text))
        if unknown:
            listed = ", ".join(f"{name!r} ({count})" for name, count in unknown.items())
            yield error("unknown text", f"{tokenizer.unit}s without a token: {listed}", counts=dict(unknown))
        elif num_encoder_frames is not None and utterance.duration > 0:
            ids = tokenizer.encode(utterance.text)
            needed = len(ids) + sum(first == second for first, second in pairwise(ids))
            frames = num_encoder_frames(utterance.duration)
            if frames < needed:
                message = (
                    f"{utterance.duration:.2f} s make {counted(frames, 'encoder frame')}, but its text needs "
                    f"{needed}; lower encoder.subsampling or correct the text"
                )
                yield error("too short for its text", message, frames=frames, needed=needed)


def _decode_all(entries: Sequence[Entry], threads: int, channel: int | str | None) -> dict[int, _Decoded]:
    """Decode every utterance once; the keys are the utterances' `id()`."""
    files = Counter(utterance.audio_filepath for _, utterance in entries)
    utterances = [utterance for _, utterance in entries]
    with ThreadPoolExecutor(threads) as pool:
        work = pool.map(lambda each: _decode(each, files[each.audio_filepath] == 1, channel), utterances)
        results = progress.track(work, "decoding audio", len(utterances), unit="file")
        return {id(utterance): result for utterance, result in zip(utterances, results, strict=True)}


def _decode(utterance: Utterance, whole_file: bool, channel: int | str | None) -> _Decoded:
    """Decode an utterance; `whole_file` says that no other has the same file, so it should last as long."""
    if not holder(utterance.audio_filepath).is_file():
        return _Decoded(None, [])  # named already
    problems: list[Problem] = []

    def report(kind: str, severity: Literal["error", "warning"], message: str, **numbers: Any) -> None:
        problems.append(Problem(kind, severity, message, utterance.id, numbers=numbers))

    try:
        info = audio_info(utterance.audio_filepath)
        end = utterance.offset + utterance.duration
        short = whole_file and not utterance.offset and end < info.duration - DURATION_TOLERANCE
        if end > info.duration + DURATION_TOLERANCE or short:
            message = f"should end at {end:.2f} s, but the file ends at {info.duration:.2f} s"
            report("wrong duration", "error", message, manifest=end, file=info.duration)
        duration = min(utterance.duration, info.duration - utterance.offset)
        if duration <= 0:
            return _Decoded(None, problems)
        digest = hashlib.blake2b(digest_size=16)
        only = utterance.channel if channel in (None, "each") else int(channel or 0)
        for number in range(info.channels) if channel == "each" else [only]:
            samples = _examined(utterance, info.sample_rate, duration, number, report)
            digest.update(samples.tobytes())
    except AudioError as error:
        report("unreadable audio", "error", str(error).removeprefix(f"{utterance.audio_filepath}: "))
        return _Decoded(None, problems)
    return _Decoded(digest.hexdigest(), problems)


def _examined(
    utterance: Utterance, sample_rate: int, duration: float, channel: int | None, report: Callable[..., None]
) -> NDArray[np.float32]:
    """Decode an utterance, and report what is wrong with its sound."""
    path, notes = utterance.audio_filepath, list[str]()
    samples = load_audio(path, sample_rate, utterance.offset, duration, channel, warnings=notes)
    for line in notes:
        report("channels cancel", "warning", line)
    if (level := loudest(samples, round(0.025 * sample_rate))) < SILENCE:
        loudness = (
            f"never louder than {20 * math.log10(level):.0f} dB of full scale" if level else "only zeros"
        )
        report("silence", "error", loudness, level=level)
    if (clipped := clipped_share(samples)) > CLIPPED:
        report("clipping", "warning", f"{clipped:.1%} of the samples are at full scale", share=clipped)
    return samples


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


def _outliers(entries: Sequence[Entry]) -> Iterator[Problem]:
    """Find speaking rates far from the others', by median and median absolute deviation of their logarithms."""
    spoken = [(line, u) for line, u in entries if u.text.strip() and u.duration > 0]
    if len(spoken) < 10:  # too few to say what is usual
        return
    rates = np.log([len(u.text.strip()) / u.duration for _, u in spoken])
    median = float(np.median(rates))
    # 1.4826 makes it the standard deviation of a normal distribution; below 20 % any corpus varies by nature.
    spread = max(1.4826 * float(np.median(np.abs(rates - median))), 0.2)
    for (line, utterance), rate in zip(spoken, rates, strict=True):
        if abs(rate - median) > OUTLIER * spread:
            message = (
                f"{math.exp(rate):.1f} characters a second, but {math.exp(median):.1f} is usual here: "
                f"{utterance.duration:.2f} s, {utterance.text[:60]!r}"
            )
            numbers = {"rate": math.exp(rate), "median": math.exp(median)}
            yield Problem("unusual rate", "warning", message, utterance.id, line=line, numbers=numbers)


def _duplicates(entries: Sequence[Entry], decoded: dict[int, _Decoded]) -> Iterator[Problem]:
    """Find equal samples; with different texts one of them must be wrong."""
    first: dict[str, Entry] = {}
    for line, utterance in entries:
        digest = decoded[id(utterance)].digest
        if digest is None:
            continue
        line_before, before = first.setdefault(digest, (line, utterance))
        if before is utterance:
            continue
        same = before.text == utterance.text
        texts = "same text" if same else f"texts differ: {before.text[:40]!r}, {utterance.text[:40]!r}"
        message = f"same audio as {before.id} in line {line_before}, {texts}"
        kind = "duplicate audio" if same else "duplicate audio, different text"
        yield Problem(kind, "warning" if same else "error", message, utterance.id, line=line)


def _overlap(
    entries: Sequence[Entry], others: Sequence[Entry], decoded: dict[int, _Decoded], file: str, against: str
) -> Iterator[Problem]:
    """Find what two manifests share: each utterance whose audio is in both, and the speakers and texts."""
    digests = {decoded[id(utterance)].digest: (line, utterance) for line, utterance in others}
    digests.pop(None, None)
    for line, utterance in entries:
        digest = decoded[id(utterance)].digest
        if digest in digests:
            other_line, other = digests[digest]
            message = f"same audio as {other.id} in {against}:{other_line}"
            yield Problem("audio in both", "error", message, utterance.id, file, line)
    for kind, key in (("speakers", "speaker"), ("texts", "text")):
        theirs = {getattr(utterance, key) for _, utterance in others}
        mine = Counter(getattr(utterance, key) for _, utterance in entries)
        shared = sorted(value for value in mine if value and value in theirs)
        if shared:
            affected = sum(mine[value] for value in shared)
            shown = ", ".join(repr(value[:40]) for value in shared[:5]) + (", ..." if len(shared) > 5 else "")
            message = (
                f"{len(shared)} of {len(mine)} {kind}, {affected} of {counted(len(entries), 'utterance')}, also in "
                f"{against}: {shown}"
            )
            numbers = {"shared": len(shared), "of": len(mine), "utterances": affected}
            yield Problem(f"{kind} in both", "warning", message, file=file, numbers=numbers)
