"""Errors whose message is meant for the person at the keyboard.

Every message says what was got, what was wanted and what to do, with the file, line or utterance. The
commands print it as one line and leave with `exit_status`; any other exception is a fault of this package.
"""

from __future__ import annotations

import sys

SOME_FAILED = 3  # exit status of a command that did what it could, when some inputs failed


class SpeechlstmError(Exception):
    """Something outside the program is wrong: a file, a setting, a disk. Exit status 1."""

    exit_status = 1


class UsageError(SpeechlstmError):
    """The command line asks for something that does not exist or does not fit together. Exit status 2."""

    exit_status = 2


class AudioError(SpeechlstmError):
    """An audio file cannot be used; the message begins with its path."""


class ManifestError(SpeechlstmError):
    """A manifest cannot be used; the message begins with `path:line`."""


class BundleError(SpeechlstmError):
    """A bundle is missing a part, is damaged, or was written by another version."""


class DecoderError(SpeechlstmError):
    """A decoder cannot be found, imported or built; the message names its package."""


class TokenizerError(SpeechlstmError):
    """Text cannot be written in a tokenizer's tokens, or a tokenizer cannot be made."""


def report_failures(failed: int, given: int) -> int:
    """Say how many inputs failed, if any, and return the exit status: 0, `SOME_FAILED`, or 1 when all did."""
    if failed:
        print(f"{failed} of {given} failed, named above", file=sys.stderr)
    return SOME_FAILED if 0 < failed < given else int(failed > 0)
