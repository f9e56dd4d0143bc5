"""A checkpoint of a training that still runs, as a recognizer to inspect."""

from __future__ import annotations

from pathlib import Path

from speechlstm.model import tokenizer
from speechlstm.model.acoustic import acoustic_state
from speechlstm.model.bundle import Bundle
from speechlstm.model.restore import restore
from speechlstm.training.checkpoints import read_checkpoint
from speechlstm.training.module import ACOUSTIC
from speechlstm.transcription import recognizer
from speechlstm.transcription.recognizer import Recognizer
from speechlstm.types import BundleError, TokenizerError, counted


def load(path: str | Path | None) -> Recognizer:
    """Load a bundle, the default one without a path, or a checkpoint, with its averaged weights if it has them.

    Raises:
        SpeechlstmError: it is neither, damaged, or of an incompatible version.
    """
    if path is None or not Path(path).is_file():
        return recognizer.load(path)
    content = read_checkpoint(Path(path))
    try:
        tokens = tokenizer.from_dict(content["tokenizer"])
    except TokenizerError as error:
        raise BundleError(f"{path}: {error}") from None
    settings, weights = content["settings"], acoustic_state(content["state_dict"], ACOUSTIC)
    model = restore(settings, str(path), weights, len(tokens))
    name = f"{path} after {counted(content['global_step'], 'update')}"
    config = {**settings, "name": name, "sample_rate": model.sample_rate}
    return Recognizer(Bundle(model, tokens, config, Path(path)))
