"""What an evaluation comes to, for people and for programs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from speechlstm.data.console import LONGEST, printable
from speechlstm.evaluation.errorreport import Comparison, compared
from speechlstm.evaluation.metrics import Counts, Score, corpus, errors
from speechlstm.model.tokenizer import Phones, Tokenizer
from speechlstm.model.tokenizer.phones import BOUNDARY
from speechlstm.transcription.transcript import Transcript
from speechlstm.types import UsageError, Utterance, counted

_SHOWN = 10  # worst utterances, and most frequent confusions


@dataclass(frozen=True, slots=True)
class Results:
    """The score of the utterances that could be read, and how it came about."""

    setup: Mapping[str, str]  # what was evaluated with what, by name
    utterances: Sequence[Utterance]  # with normalized references
    transcripts: Sequence[Transcript]  # of the utterances
    failed: int  # how many could not be read
    seconds: float  # that the recognition took
    score: Score  # of words and characters
    phones: Counts | None  # phone errors of a recognizer of phones
    comparison: Comparison | None  # with another recognizer

    @property
    def audio_seconds(self) -> float:
        """How long the recordings are."""
        return sum(transcript.duration for transcript in self.transcripts)

    def worst(self) -> list[tuple[int, Utterance, str]]:
        """Return number, utterance and hypothesis of those with most errors."""
        indices = self.score.worst(_SHOWN)
        return [(index, self.utterances[index], self.transcripts[index].text) for index in indices]


def score(
    tokenizer: Tokenizer,
    utterances: Sequence[Utterance],
    transcripts: Sequence[Transcript],
    others: Mapping[str, str] | None,
    failed: int,
    seconds: float,
    setup: Mapping[str, str],
    fold: Callable[[str], str] = str,
) -> Results:
    """Count the errors of transcripts; `fold` makes all texts comparable, see `comparable`."""
    phones = phone_errors(tokenizer, utterances, transcripts)
    utterances = [replace(utterance, text=fold(utterance.text)) for utterance in utterances]
    transcripts = [replace(transcript, text=fold(transcript.text)) for transcript in transcripts]
    others = {name: fold(text) for name, text in others.items()} if others is not None else None
    pairs = zip(utterances, transcripts, strict=True)
    total = corpus((utterance.text, transcript.text) for utterance, transcript in pairs)
    comparison = compared(utterances, transcripts, others) if others is not None else None
    return Results(setup, utterances, transcripts, failed, seconds, total, phones, comparison)


def comparable(kind: str | None) -> Callable[[str], str]:
    """Return the function that makes texts comparable with those of other recognizers.

    `english` and `basic` are the normalizers that Whisper's error rates are measured with (Radford et al. 2022,
    appendix C): punctuation, case, spelled numbers, contractions, British spelling; or punctuation and case alone.

    Raises:
        UsageError: the package whisper-normalizer is not installed.
    """
    if kind is None:
        return str
    try:
        from whisper_normalizer import basic, english
    except ImportError:
        raise UsageError("normalize needs the extra normalize: pip install 'speechlstm[normalize]'") from None
    normalizers = {"english": english.EnglishTextNormalizer, "basic": basic.BasicTextNormalizer}
    fold: Callable[[str], str] = normalizers[kind]()
    return lambda text: " ".join(fold(text).split())


def phone_errors(
    tokenizer: Tokenizer, utterances: Sequence[Utterance], transcripts: Sequence[Transcript]
) -> Counts | None:
    """Count phone errors, if the tokens are phones.

    The reference is each word's first pronunciation, which the recognizer was trained on; boundaries between words
    are no phones. An utterance with a word that the lexicon lacks is not counted.
    """
    if not isinstance(tokenizer, Phones):
        return None
    total = Counts()
    for utterance, transcript in zip(utterances, transcripts, strict=True):
        if tokenizer.unknown(utterance.text):
            continue
        reference = [tokenizer.tokens[token] for token in tokenizer.encode(utterance.text)]
        both = ([phone for phone in phones if phone != BOUNDARY] for phones in (reference, transcript.tokens))
        total += errors(*(" ".join(phones) for phones in both))
    return total


def as_json(results: Results) -> dict[str, Any]:
    """Return the results as plain JSON; rates are fractions, null where infinite."""
    score = results.score
    return dict(results.setup) | {
        "utterances": len(results.utterances),
        "failed": results.failed,
        "wer": _finite(score.wer),
        "wer_interval": [_finite(end) for end in score.interval()],
        "cer": _finite(score.cer),
        "ser": score.ser,
        "words": _counts(score.words),
        "characters": _counts(score.characters),
        "phones": _counts(results.phones) if results.phones else None,
        "audio_seconds": round(results.audio_seconds, 3),
        "seconds": round(results.seconds, 3),
        "real_time_factor": results.seconds / results.audio_seconds,
        "confusions": [
            {"reference": reference, "hypothesis": hypothesis, "count": count}
            for reference, hypothesis, count in score.confusions[:_SHOWN]
        ],
        "worst": [
            {"id": u.id, "audio_filepath": u.audio_filepath, "text": u.text, "pred_text": hypothesis}
            | {"errors": score.utterances[index].errors}
            for index, u, hypothesis in results.worst()
        ],
        "comparison": asdict(results.comparison) if results.comparison else None,
    }


def as_table(results: Results) -> str:
    """Return the results as lines for people."""
    score = results.score
    low, high = score.interval()
    speed = results.audio_seconds / results.seconds
    lines = [
        *(f"{key:<10} {value}" for key, value in results.setup.items()),
        f"{'audio':<10} {counted(len(results.utterances), 'utterance')}, {results.audio_seconds:.1f} s,"
        f" in {results.seconds:.1f} s: real-time factor {1 / speed:.4f}, {speed:.0f} times faster",
        "",
        f"{'':<10} {'errors':>8} {'ins':>6} {'del':>6} {'sub':>6} {'of':>8}",
        _row("words", score.words) + f"   95 % interval {low:.2%} to {high:.2%}",
        _row("characters", score.characters),
        *([_row("phones", results.phones)] if results.phones else []),
        f"{'sentences':<10} {score.ser:>8.2%} {'':>20} {len(results.utterances):>8}",
    ]
    if (other := results.comparison) is not None:
        low, high = other.interval
        lines += [
            "",
            f"word errors {other.rates[0]:.2%}, of the other hypotheses {other.rates[1]:.2%}, on"
            f" {counted(other.utterances, 'utterance')}: difference {other.difference:+.2%},"
            f" 95 % interval {low:+.2%} to {high:+.2%}, p = {other.p:.2g} (paired bootstrap)",
            f"{counted(other.better, 'utterance')} better, {other.worse} worse, {other.changed} changed",
        ]
    if score.confusions:
        lines += ["", "most frequent confusions"]
        for reference, hypothesis, count in score.confusions[:_SHOWN]:
            lines.append(f"{count:>6}  {reference or '(nothing)'} -> {hypothesis or '(nothing)'}")
    worst = results.worst()
    if worst:
        lines += ["", "worst utterances"]
    for index, u, hypothesis in worst:
        lines += [f"{score.utterances[index].errors:>6}  {u.id}", f"{'ref':>11}: {u.text}"]
        lines.append(f"{'hyp':>11}: {hypothesis}")
    given = len(results.utterances) + results.failed
    if results.failed:
        lines += ["", f"not in the score, because it could not be read: {results.failed} of {given}"]
    return "\n".join(printable(line, LONGEST) for line in lines)


def _row(name: str, counts: Counts) -> str:
    parts = f"{counts.insertions:>6} {counts.deletions:>6} {counts.substitutions:>6} {counts.length:>8}"
    return f"{name:<10} {counts.rate:>8.2%} {parts}"


def _counts(counts: Counts) -> dict[str, int]:
    return {
        "reference": counts.length,
        "errors": counts.errors,
        "insertions": counts.insertions,
        "deletions": counts.deletions,
        "substitutions": counts.substitutions,
    }


def _finite(rate: float) -> float | None:
    return rate if math.isfinite(rate) else None
