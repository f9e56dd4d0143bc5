"""Plugin-based speech recognition with a stacked bidirectional LSTM trained by CTC.

import speechlstm

recognizer = speechlstm.load()
print(recognizer.transcribe("talk.mp3").text)
"""

from __future__ import annotations

import importlib

TYPE_CHECKING = False  # the module `typing` would be imported before Ctrl-C is taken care of

if TYPE_CHECKING:
    from typing import Any

    from speechlstm.decoders import Decoder
    from speechlstm.transcription.recognizer import Recognizer, load
    from speechlstm.transcription.transcript import Transcript
    from speechlstm.types import Hypothesis, __version__

__all__ = ["Decoder", "Hypothesis", "Recognizer", "Transcript", "__version__", "load"]

_PLACES = {
    "Decoder": "speechlstm.decoders.base",
    "Hypothesis": "speechlstm.types",
    "Recognizer": "speechlstm.transcription.recognizer",
    "Transcript": "speechlstm.transcription.transcript",
    "__version__": "speechlstm.types",
    "load": "speechlstm.transcription.recognizer",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for only then: torch takes a second, which `speechlstm --help` need not wait for."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return __all__
