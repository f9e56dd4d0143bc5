"""Forced alignment: the time of each word and token of a known text."""

from __future__ import annotations

from speechlstm.transcription.align.alignment import Alignment, Missing
from speechlstm.transcription.align.formats import FORMATS, to_json
from speechlstm.transcription.align.paths import forced_alignment
from speechlstm.transcription.align.recordings import align

__all__ = ["FORMATS", "Alignment", "Missing", "align", "forced_alignment", "to_json"]
