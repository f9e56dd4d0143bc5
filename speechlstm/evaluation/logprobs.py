"""Log-probabilities of a manifest, computed once and kept: what decoders are compared on."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from speechlstm.data import progress
from speechlstm.data.audio import holder
from speechlstm.data.files import user_cache, write_atomically
from speechlstm.transcription.batches import recognize
from speechlstm.transcription.recognizer import Recognizer
from speechlstm.types import AudioError, SpeechlstmError, Utterance, counted


@dataclass(frozen=True, slots=True)
class LogProbs:
    """What a recognizer computes from a manifest."""

    utterances: list[Utterance]  # those whose audio could be read, in the manifest's order
    rows: list[Tensor]  # `(frames, vocab)` natural logs of each
    problems: list[AudioError]  # why the others could not be read


def compute(
    bundle: Recognizer,
    utterances: Sequence[Utterance],
    folder: Path | None = None,
    batch_seconds: float = 120.0,
    threads: int = 1,
    strict_audio: bool = False,
) -> LogProbs:
    """Return the log-probabilities of utterances, from the cache if these were computed before.

    A cached file is known by the bundle's content, by runtime and precision, and by place, size and time of change of
    each audio file. It is written when all audio could be read whole.

    Raises:
        SpeechlstmError: none of the audio could be read.
    """
    place = (folder or user_cache() / "log-probs") / f"{_key(bundle, utterances)}.safetensors"
    if (rows := _read(place, len(utterances), len(bundle.tokenizer))) is not None:
        return LogProbs(list(utterances), rows, [])
    computed: dict[int, Tensor] = {}
    problems: list[AudioError] = []
    whole = True
    with progress.bar("recognizing", len(utterances), "utterance") as bar:
        for batch in recognize(bundle, utterances, batch_seconds, threads, None, strict_audio):
            for recording in batch.recordings:
                computed[recording.index] = recording.log_probs.float().cpu().clone()
                progress.warn(utterances[recording.index].id, recording.warnings)
                whole = whole and not recording.warnings
            for _, problem in batch.failures:
                progress.fail(problem)
                problems.append(problem)
            bar.update(len(batch.recordings) + len(batch.failures))
    if not computed:
        raise SpeechlstmError(f"none of {counted(len(utterances), 'utterance')} could be read")
    order = sorted(computed)
    rows = [computed[index] for index in order]
    if whole and not problems:
        lengths = torch.tensor([len(row) for row in rows])
        try:
            write_atomically(place, save({"log_probs": torch.cat(rows), "lengths": lengths}))
        except OSError as error:  # they are there; only the next time will take as long
            print(f"{place}: not kept: {error.strerror}", file=sys.stderr)
    return LogProbs([utterances[index] for index in order], rows, problems)


def _key(bundle: Recognizer, utterances: Sequence[Utterance]) -> str:
    """Return a name for what these utterances give with this bundle."""
    digest = hashlib.sha256(json.dumps([bundle.runtime, bundle.precision]).encode())
    for name in ("config.json", "model.safetensors"):
        digest.update(hashlib.sha256((bundle.path / name).read_bytes()).digest())
    for utterance in utterances:
        path = Path(utterance.audio_filepath).resolve()
        try:
            status = holder(str(path)).stat()
            seen = [status.st_size, status.st_mtime_ns]
        except OSError:  # reading it will tell
            seen = []
        digest.update(
            json.dumps(
                [os.fsdecode(path), *seen, utterance.offset, utterance.duration, utterance.channel]
            ).encode()
        )
    return digest.hexdigest()[:32]


def _read(place: Path, count: int, vocab: int) -> list[Tensor] | None:
    """Return the rows of a cached file; None when there is none, or it is damaged."""
    try:
        content = load_file(place)
        log_probs, lengths = content["log_probs"], content["lengths"].tolist()
    except (OSError, SafetensorError, KeyError):
        return None
    if len(lengths) != count or log_probs.shape != (sum(lengths), vocab):
        return None
    return list(torch.split(log_probs, lengths))
