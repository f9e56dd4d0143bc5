"""The data doctor: all that is wrong with a manifest, found in one pass, each with its file and line."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

from speechlstm.data.audio import holder
from speechlstm.data.characters import advice
from speechlstm.data.manifest import Entry, read_entries
from speechlstm.data.report import Problem, Report
from speechlstm.data.sound import Decoded, decode_all
from speechlstm.types import Utterance, counted

OUTLIER = 5.0  # robust standard deviations of the logarithm of characters per second


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
    decoded = decode_all([entries, others], threads, channel)
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


def _read(manifest: str | Path) -> tuple[list[Entry], list[Problem]]:
    entries, bad = read_entries(manifest)
    reasons = [(line, str(error).removeprefix(f"{manifest}:{line}: ")) for line, error in bad]
    return entries, [
        Problem("bad line", "error", reason, file=str(manifest), line=line) for line, reason in reasons
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


def _duplicates(entries: Sequence[Entry], decoded: dict[int, Decoded]) -> Iterator[Problem]:
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
    entries: Sequence[Entry], others: Sequence[Entry], decoded: dict[int, Decoded], file: str, against: str
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
