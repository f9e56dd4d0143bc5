"""The values that flow between the stages, and the errors whose message is meant for the person at the keyboard.

Every message says what was got, what was wanted and what to do, with the file, line or utterance. The commands print it
as one line and leave with `exit_status`; any other exception is a fault of this package.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # torch takes a second to import: not for an error or a manifest
    from torch import Tensor

__version__ = "0.1.0"  # read by the build, too


@dataclass(frozen=True, slots=True)
class Utterance:
    """One line of a manifest: a stretch of audio and what is said in it.

    Attributes:
        audio_filepath: path of the audio file, absolute or relative to the working directory.
        duration: length in seconds.
        text: what is said; empty when unknown.
        id: unique name within the manifest.
        offset: where the stretch begins in the file, in seconds.
        speaker: who speaks, if known.
        lang: language code, if known.
        channel: which channel of the file it is, counted from 0; None mixes them.
        extra: every other key of the manifest line, kept for writing it back.
    """

    audio_filepath: str
    duration: float
    text: str
    id: str
    offset: float = 0.0
    speaker: str | None = None
    lang: str | None = None
    channel: int | None = None
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Batch:
    """Utterances padded to one length.

    Attributes:
        waveforms: `(batch, samples)` float32, zeros after each length.
        lengths: `(batch,)` int64, samples of each utterance.
        targets: `(batch, tokens)` int64 token ids, zeros after each length.
        target_lengths: `(batch,)` int64, tokens of each utterance.
        utterances: the manifest lines the rows came from, in order.
    """

    waveforms: Tensor
    lengths: Tensor
    targets: Tensor
    target_lengths: Tensor
    utterances: list[Utterance]

    def to(self, device: Any) -> Batch:
        """Return the batch with its tensors on `device`."""
        return Batch(
            self.waveforms.to(device, non_blocking=True),
            self.lengths.to(device, non_blocking=True),
            self.targets.to(device, non_blocking=True),
            self.target_lengths.to(device, non_blocking=True),
            self.utterances,
        )

    def __len__(self) -> int:
        return len(self.utterances)


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One token sequence a decoder found, with where its tokens lie.

    Attributes:
        tokens: token ids, without blanks.
        starts: for each token the first encoder frame it covers.
        ends: for each token the frame after its last; `starts[i] < ends[i] <= starts[i + 1]`.
        score: natural logarithm of the sequence's probability, or the decoder's own total.
        confidences: for each token a probability in [0, 1].
        text: the text, when the decoder works in words; otherwise the tokenizer makes it from `tokens`.
        parts: what the score is made of, if the decoder tells: natural logs by name, such as acoustic, lm, bonus.
    """

    tokens: list[int]
    starts: list[int]
    ends: list[int]
    score: float
    confidences: list[float]
    text: str | None = None
    parts: dict[str, float] = field(default_factory=dict)


SOME_FAILED = 3  # exit status of a command that did what it could, when some inputs failed


class SpeechlstmError(Exception):
    """Something outside the program is wrong: a file, a setting, a disk. Exit status 1."""

    exit_status = 1


class UsageError(SpeechlstmError):
    """The command line asks for something that does not exist or does not fit together. Exit status 2."""

    exit_status = 2


class OutputError(UsageError):
    """A file must not be written where it is asked for; the message begins with its path."""


class AudioError(SpeechlstmError):
    """An audio file cannot be used; the message begins with its path."""


class ManifestError(SpeechlstmError):
    """A manifest cannot be used; the message begins with `path:line`."""


class BundleError(SpeechlstmError):
    """A bundle is missing a part, is damaged, or was written by another version."""


class PluginError(SpeechlstmError):
    """A part of a recognizer cannot be imported or made; the message names its package."""


class DecoderError(SpeechlstmError):
    """A decoder got what it cannot decode, or has failed; the message names its package."""


class TokenizerError(SpeechlstmError):
    """Text cannot be written in a tokenizer's tokens, or a tokenizer cannot be made."""


def counted(number: int, noun: str) -> str:
    """Return a number with its noun in the form that it needs: `1 trial`, `1,200 trials`, `2 MB`."""
    plural = "" if number == 1 or noun.isupper() else "es" if noun.endswith(("tch", "s", "x")) else "s"
    return f"{number:,} {noun}{plural}"


def report_failures(failed: int, given: int) -> int:
    """Say how many inputs failed, if any, and return the exit status: 0, `SOME_FAILED`, or 1 when all did."""
    if failed:
        print(f"{failed} of {given} failed, named above", file=sys.stderr)
    return SOME_FAILED if 0 < failed < given else int(failed > 0)
