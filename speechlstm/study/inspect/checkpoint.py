"""A checkpoint of a training that still runs, as a recognizer to inspect."""

from __future__ import annotations

from pathlib import Path

import speechlstm
from speechlstm.model import tokenizer
from speechlstm.model.acoustic import acoustic_state
from speechlstm.model.bundle import Bundle
from speechlstm.model.restore import restore
from speechlstm.training.checkpoints import Checkpoints
from speechlstm.training.module import ACOUSTIC
from speechlstm.transcription.recognizer import Recognizer
from speechlstm.types import BundleError, TokenizerError


def load(path: str | Path | None) -> Recognizer:
    """Load a bundle, the default one without a path, or a checkpoint, which is a file.

    Raises:
        BundleError: it is neither, damaged, or of an incompatible version.
    """
    return from_checkpoint(Path(path)) if path is not None and Path(path).is_file() else speechlstm.load(path)


def from_checkpoint(path: Path) -> Recognizer:
    """Make a recognizer of a checkpoint that `speechlstm train` wrote, with its averaged weights if it has them.

    Raises:
        SpeechlstmError: it is damaged.
        BundleError: it is not one, or of an older version.
    """
    content = Checkpoints({}).load_checkpoint(path, weights_only=True)
    if missing := {"settings", "tokenizer", "state_dict"} - content.keys():
        lacking = ", ".join(sorted(missing))
        raise BundleError(
            f"{path}: no {lacking}; not a checkpoint of `speechlstm train`, or of an older version"
        )
    settings = content["settings"]
    try:
        tokens = tokenizer.from_dict(content["tokenizer"])
    except TokenizerError as error:
        raise BundleError(f"{path}: {error}") from None
    model = restore(settings, str(path), acoustic_state(content["state_dict"], ACOUSTIC), len(tokens))
    name = f"{path} after {content['global_step']} updates"
    config = {**settings, "name": name, "sample_rate": model.sample_rate}
    return Recognizer(Bundle(model, tokens, config, path))
