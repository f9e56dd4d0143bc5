"""Channels transcribed separately."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from speechlstm.data.audio import audio_info
from speechlstm.decoders import Decoder
from speechlstm.transcription.batches import SpeechModel
from speechlstm.transcription.jobs import Part
from speechlstm.transcription.lookup import finders, found
from speechlstm.transcription.recognizer import transcribe
from speechlstm.transcription.transcript import Transcript
from speechlstm.types import AudioError


def transcribe_each(
    recognizer: SpeechModel, decoder: Decoder, inputs: Sequence[Part], *options: Any
) -> Iterator[tuple[int, Transcript | AudioError]]:
    """Transcribe each channel of each recording by itself; the transcript holds one of each.

    Args:
        recognizer: gives the log-probabilities.
        decoder: turns them into hypotheses.
        inputs: the recordings, or parts of them.
        *options: the further arguments of `speechlstm.transcription.recognizer.transcribe`.

    Yields:
        `(index in inputs, transcript or the reason why there is none)`, each as soon as it is done.
    """
    seekers = finders(inputs)
    try:
        for window in found(inputs, _channels, seekers):
            yield from ((index, count) for index, count in window if isinstance(count, AudioError))
            counts = {index: count for index, count in window if not isinstance(count, AudioError)}
            parts = [(index, number) for index, count in counts.items() for number in range(count)]
            wanted = [replace(inputs[index], channel=number) for index, number in parts]
            done: dict[int, dict[int, Transcript | AudioError]] = {}
            for place, result in transcribe(recognizer, decoder, wanted, *options) if wanted else ():
                index, number = parts[place]
                done.setdefault(index, {})[number] = result
                if len(done[index]) == counts[index]:
                    of_channels = done.pop(index)
                    yield index, _merged([of_channels[number] for number in sorted(of_channels)])
    finally:
        seekers.shutdown(wait=False, cancel_futures=True)


def _channels(index: int, part: Part) -> int | AudioError:
    try:
        return audio_info(part.audio, exact=False, track=part.track).channels
    except AudioError as error:
        return error


def _merged(results: list[Transcript | AudioError]) -> Transcript | AudioError:
    """Return one transcript of all channels, or what is wrong with the first that failed."""
    made: list[Transcript] = []
    for result in results:
        if isinstance(result, AudioError):
            return result
        made.append(result)
    if len(made) == 1:
        return made[0]
    whole = replace(
        made[0],
        score=sum(each.score for each in made),
        duration=max(each.duration for each in made),
        parts={},
        alternatives=[],
        tokens=[],
        warnings=list(dict.fromkeys(warning for each in made for warning in each.warnings)),
    )
    return with_channels(whole, made)


def with_channels(transcript: Transcript, channels: list[Transcript]) -> Transcript:
    """Return a transcript with those of its channels; its words and text are theirs, by when they begin."""
    words = sorted((word for each in channels for word in each.words), key=lambda word: word.start)
    return replace(transcript, text=" ".join(word.text for word in words), words=words, channels=channels)
