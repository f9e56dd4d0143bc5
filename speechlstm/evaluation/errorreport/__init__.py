"""What went wrong and why: the errors of a recognizer as one static HTML page to look at, listen to and search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from speechlstm.evaluation import pages
from speechlstm.evaluation.errorreport.analysis import analyze, by_interest, compared
from speechlstm.evaluation.errorreport.causes import Cause, examine
from speechlstm.evaluation.errorreport.comparison import Comparison, read_hypotheses
from speechlstm.evaluation.errorreport.recording import embed, measure_snr
from speechlstm.transcription.transcript import Transcript
from speechlstm.types import Utterance

__all__ = ["Cause", "Comparison", "analyze", "compared", "examine", "read_hypotheses", "render", "report"]

_SCRIPTS = ("figures.js", "dependence.js", "words.js", "table.js", "utterance.js", "main.js")


def report(
    utterances: Sequence[Utterance],
    transcripts: Sequence[Transcript],
    causes: Sequence[Cause | None],
    others: Mapping[str, str] | None,
    sample_rate: int,
    budget: float,
    setup: Mapping[str, Any],
) -> bytes:
    """Return the page, with recordings in it.

    Arguments as in `analyze`; recordings need `sample_rate` Hz at least, and take `budget` bytes at most.
    """
    figures = analyze(utterances, transcripts, causes, measure_snr(utterances, sample_rate), others)
    audio = embed(utterances, by_interest(figures["utterances"]), sample_rate, budget)
    return render(figures, setup, audio)


def render(figures: Mapping[str, Any], setup: Mapping[str, Any], audio: Mapping[int, bytes]) -> bytes:
    """Return the page."""
    title = f"Errors: {setup['bundle']}, {setup['manifest']}"
    return pages.render(
        Path(__file__).parent / "page", _SCRIPTS, title, dict(figures) | {"setup": dict(setup)}, audio
    )
