"""lhotse's CutSets, and Shar folders, whose audio stays in its tar shards and is read there at random.

An utterance of a Shar is a path into a shard (`speechlstm.data.audio.tar`), so what holds for files holds for a
corpus of any size: buckets, ranks, validation and going on after an interruption are the same.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from speechlstm.data import progress
from speechlstm.data.audio import tar
from speechlstm.data.corpora.base import Corpus, expect, split_name
from speechlstm.types import UsageError, Utterance

# cuts.jsonl.gz, cuts_train.jsonl.gz, librispeech_cuts_dev-clean.jsonl.gz; of a Shar: cuts.000000.jsonl.gz
_NAME = re.compile(r"(?:.+[_-])?cuts(?:[_-](?P<split>[^.]+))?(?P<shard>\.[^.]+)?\.jsonl(?:\.gz)?")
_TOLERANCE = 0.1  # seconds that a supervision may reach beyond its cut, for times that were rounded


def read(root: str | Path) -> Corpus:
    """Read a folder of cuts, or of folders of cuts, each of which is a split of its own name.

    A cut with one supervision is an utterance; of one with several each supervision is an utterance, with its own
    stretch of the audio. A cut must be of a recording with one channel in a file, as it was recorded: what is mixed,
    padded, perturbed, at an address or the output of a command is left out and named. Relative names are looked for
    from the working directory, as lhotse does, and then beside the cuts. Of a Shar the field `recording` is read, in
    whatever format (wav, flac, opus, mp3, original); features and arrays, so lilcom, are not.

    Args:
        root: holds `*cuts*.jsonl.gz`, the split being what follows after `cuts_`, or else `train`; or is a Shar,
            `cuts.000000.jsonl.gz` beside `recording.000000.tar` and so on; or holds folders that are so.

    Raises:
        UsageError: lhotse is not installed, no such folder, cuts that cannot be read, or a shard without its audio.
    """
    root = Path(root)
    expect(root, "lhotse's cuts", "*cuts*.jsonl*", "*/*cuts*.jsonl*")
    files = [path for pattern in ("*", "*/*") for path in sorted(root.glob(pattern))]
    named = [(path, match) for path in files if (match := _NAME.fullmatch(path.name))]
    problems: list[str] = []
    splits: dict[str, list[Utterance]] = {}
    for path, match in progress.track(named, "reading cuts", unit="file"):
        name = match["split"] or ("train" if path.parent == root else path.parent.name)
        shard = path.with_name(f"recording{match['shard'] or ''}.tar")
        splits.setdefault(split_name(name), []).extend(_file(path, shard, problems))
    return Corpus(splits, problems)


def _file(path: Path, shard: Path, problems: list[str]) -> Iterator[Utterance]:
    # Data and description of each cut stand one after the other, in the order of the cuts.
    members = itertools.islice(tar.members(shard), 0, None, 2) if shard.is_file() else None
    for number, cut in enumerate(_cuts(path), 1):
        where = f"{path}:{number}: {cut.id}"
        member, name = next(members, ("", "nothing more")) if members else ("", "")
        if members and Path(name).with_suffix("") != Path(cut.id):
            raise UsageError(f"{where}: {shard.name} goes on with {name}; cuts and shard must be of one Shar")
        if reason := _unfit(cut, member):
            problems.append(f"{where}: {reason}")
            continue
        audio = member or cut.recording.sources[0].source
        if cut.recording.sources[0].type == "shar" and not member:
            raise UsageError(
                f"{where}: is of a Shar, but there is no {shard.name}; features alone are not read"
            )
        if not member and not Path(audio).is_absolute() and not Path(audio).is_file():
            audio = str(path.parent / audio)
        for each in cut.supervisions:
            name, start, end = each.id, max(0.0, each.start), min(cut.duration, each.end)
            if each.start < -_TOLERANCE or each.end > cut.duration + _TOLERANCE:
                problems.append(
                    f"{where}: supervision {name} reaches beyond it, so that some of its text may be missing"
                )
            elif not (each.text or "").strip():
                problems.append(f"{where}: supervision {name} has no text")
            else:
                if len(cut.supervisions) == 1:
                    name, start, end = cut.id, 0.0, cut.duration
                offset = cut.start + start
                yield Utterance(audio, end - start, each.text, name, offset, each.speaker, each.language)


def _cuts(path: Path) -> Iterator[Any]:
    """Yield the cuts of a file, which may be large, one after the other."""
    try:
        from lhotse import CutSet
    except ImportError:
        raise UsageError("cuts need the package lhotse: pip install 'speechlstm[lhotse]'") from None
    cuts = iter(CutSet.from_jsonl_lazy(path))
    for number in itertools.count(1):
        try:
            cut = next(cuts)
        except StopIteration:
            return
        except Exception as error:  # whatever gzip, JSON readers and lhotse's constructors raise
            raise UsageError(
                f"{path}:{number}: no cut of lhotse's ({type(error).__name__}: {error})"
            ) from error
        yield cut


def _unfit(cut: Any, member: str) -> str | None:
    """Return why a cut cannot be read from files as they are; `member` is its path in a Shar, or empty."""
    if type(cut).__name__ != "MonoCut":
        return f"a {type(cut).__name__}, but must be a stretch of one channel"
    if not cut.has_recording or member.endswith(".nodata"):
        return "no recording"
    if len(cut.recording.sources) != 1 or cut.recording.num_channels != 1:
        return f"one of {cut.recording.num_channels} channels; write a Shar, which takes it out"
    if cut.recording.transforms:
        return "changed as it is read (transforms of its recording); write a Shar, or use augment="
    if (kind := cut.recording.sources[0].type) not in ("file", "shar"):
        return f"its audio is a {kind}, but must be a file or in a Shar"
    return None if cut.supervisions else "no supervision, so no text"
