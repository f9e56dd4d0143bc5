"""Errors whose message is meant for the person at the keyboard.

Every message says what was got, what was wanted and what to do, with the file, line or utterance. The
commands print it as one line and leave with `exit_status`; any other exception is a fault of this package.
"""


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
