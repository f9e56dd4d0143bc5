"""The error report as one HTML file that needs no server and no network: figures, sound, style and program in it."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_PARTS = Path(__file__).parent / "page"
_SCRIPTS = (
    "draw.js",
    "figures.js",
    "dependence.js",
    "words.js",
    "table.js",
    "spectrogram.js",
    "utterance.js",
    "main.js",
)


def render(figures: Mapping[str, Any], setup: Mapping[str, Any], audio: Mapping[int, bytes]) -> bytes:
    """Return the page.

    What comes from outside, such as texts, names and paths, stands in the page as JSON in which no `<` is left, and
    the program shows it as text only.

    Args:
        figures: what `speechlstm.evaluation.errorreport.analysis.analyse` has found.
        setup: what was done with what, by name.
        audio: recordings by the index of the utterance, see `speechlstm.evaluation.errorreport.recording.embed`.
    """
    data = json.dumps(dict(figures) | {"setup": dict(setup)}, ensure_ascii=False, allow_nan=False)
    sounds = (
        f'<script type="text/plain" id="audio-{index}">{base64.b64encode(content).decode()}</script>'
        for index, content in audio.items()
    )
    parts = {
        "style": (_PARTS / "style.css").read_text("utf-8"),
        "script": "\n".join((_PARTS / name).read_text("utf-8") for name in _SCRIPTS),
        "data": data.replace("<", "\\u003c"),
        "audio": "\n".join(sounds),
    }
    # In one pass, so that a text which looks like a place to be filled is not.
    page = re.sub(r"{{(\w+)}}", lambda place: parts[place[1]], (_PARTS / "page.html").read_text("utf-8"))
    return page.encode("utf-8", "replace")  # JSON may hold halves of surrogate pairs, which no file can
