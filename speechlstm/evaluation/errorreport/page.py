"""The error report as one HTML file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from speechlstm.evaluation import pages

_SCRIPTS = ("figures.js", "dependence.js", "words.js", "table.js", "utterance.js", "main.js")


def render(figures: Mapping[str, Any], setup: Mapping[str, Any], audio: Mapping[int, bytes]) -> bytes:
    """Return the page.

    Args:
        figures: what `speechlstm.evaluation.errorreport.analysis.analyse` computed.
        setup: what was done with what, by name.
        audio: recordings by the index of the utterance, see `speechlstm.evaluation.errorreport.recording.embed`.
    """
    title = f"Errors: {setup['bundle']}, {setup['manifest']}"
    return pages.render(
        Path(__file__).parent / "page", _SCRIPTS, title, dict(figures) | {"setup": dict(setup)}, audio
    )
