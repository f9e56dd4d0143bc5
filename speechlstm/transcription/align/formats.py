"""Alignments as files."""

from __future__ import annotations

import json
from collections.abc import Callable

from speechlstm.transcription import formats as transcripts
from speechlstm.transcription import subtitles
from speechlstm.transcription.align.alignment import Alignment
from speechlstm.transcription.textgrid import textgrid


def to_json(alignment: Alignment) -> str:
    """Return everything as one line of JSON: seconds, scores in natural log."""
    made = alignment.transcript
    words = [
        transcripts.as_entry(word)
        | {"score": transcripts.finite(score), "tokens": [transcripts.as_entry(token) for token in tokens]}
        for word, score, tokens in zip(made.words, alignment.scores, alignment.tokens, strict=True)
    ]
    document = {"audio": made.audio, "duration": round(made.duration, 3), "text": made.text}
    document |= {"score": transcripts.finite(made.score), "words": words}
    if alignment.missing:
        document["missing"] = [{"text": each.text, "at": round(each.at, 3)} for each in alignment.missing]
    if alignment.extra:
        document["extra"] = [
            {"start": round(start, 3), "end": round(end, 3)} for start, end in alignment.extra
        ]
    if made.warnings:
        document["warnings"] = made.warnings
    return json.dumps(document, ensure_ascii=False, allow_nan=False) + "\n"


def to_textgrid(alignment: Alignment) -> str:
    """Return a Praat TextGrid with two tiers, `words` and `tokens`."""
    tokens = [token for word in alignment.tokens for token in word]
    tiers = {"words": alignment.transcript.words, "tokens": tokens}
    return textgrid(alignment.transcript.duration, tiers)


FORMATS: dict[str, Callable[[Alignment], str]] = {
    "TextGrid": to_textgrid,
    "json": to_json,
    "ctm": lambda alignment: transcripts.to_ctm(alignment.transcript),
    "srt": lambda alignment: subtitles.to_srt(alignment.transcript),
    "vtt": lambda alignment: subtitles.to_vtt(alignment.transcript),
    "ass": lambda alignment: subtitles.to_ass(alignment.transcript),
    "labels": lambda alignment: transcripts.to_labels(alignment.transcript),
}
