"""Channels apart: one of them, or each with a transcript of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from speechlstm.data.audio import audio_info
from speechlstm.decoders import Decoder
from speechlstm.transcription.batches import SpeechModel
from speechlstm.transcription.recognizer import transcribe
from speechlstm.transcription.transcript import Transcript
from speechlstm.types import AudioError, Utterance


def transcribe_channels(
    recognizer: SpeechModel, decoder: Decoder, paths: Sequence[str], channel: int | str, *options: Any
) -> Iterator[tuple[int, Transcript | AudioError]]:
    """Transcribe one channel of each file, or all of them.

    Args:
        recognizer: gives the log-probabilities.
        decoder: turns them into hypotheses.
        paths: of the files.
        channel: which one, counted from 0; `"each"` all of them, and the transcript holds one of each.
        *options: the further arguments of `speechlstm.transcription.recognizer.transcribe`.

    Yields:
        `(index in paths, transcript or the reason why there is none)`, each as soon as it is done.
    """
    counts = [1 if channel != "each" else _channels(path) for path in paths]
    parts = [(index, number) for index, count in enumerate(counts) for number in range(count)]
    wanted = [
        Utterance(paths[index], 0.0, "", "", channel=number if channel == "each" else int(channel))
        for index, number in parts
    ]
    done: dict[int, dict[int, Transcript | AudioError]] = {}
    for place, result in transcribe(recognizer, decoder, wanted, *options):
        index, number = parts[place]
        done.setdefault(index, {})[number] = result
        if len(done[index]) == counts[index]:
            found = done.pop(index)
            yield index, _merged([found[number] for number in sorted(found)])


def _channels(path: str) -> int:
    try:
        return audio_info(path, exact=False).channels
    except AudioError:  # reading it will tell
        return 1


def _merged(results: list[Transcript | AudioError]) -> Transcript | AudioError:
    """Return one transcript of all channels, or what is wrong with the first that failed."""
    made: list[Transcript] = []
    for result in results:
        if isinstance(result, AudioError):
            return result
        made.append(result)
    if len(made) == 1:
        return made[0]
    words = sorted((word for each in made for word in each.words), key=lambda word: word.start)
    return replace(
        made[0],
        text=" ".join(word.text for word in words),
        words=words,
        score=sum(each.score for each in made),
        duration=max(each.duration for each in made),
        parts={},
        alternatives=[],
        tokens=[],
        warnings=list(dict.fromkeys(warning for each in made for warning in each.warnings)),
        channels=made,
    )
