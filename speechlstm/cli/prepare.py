"""Turn a corpus into manifests, one JSON Lines file per split."""

from __future__ import annotations

import sys

from omegaconf import DictConfig

from speechlstm import configs
from speechlstm.data.audio import holder, parse_channel
from speechlstm.data.corpora.base import Corpus, measure, with_dev
from speechlstm.data.files import Outputs, folder_path
from speechlstm.data.manifest import write_manifest
from speechlstm.data.names import expanded
from speechlstm.types import SOME_FAILED, SpeechlstmError, Utterance, counted


@configs.main("prepare")
def main(cfg: DictConfig) -> int:
    """Read the corpus, measure its audio, write the manifests, show a table."""
    out = folder_path(cfg.out)
    corpus: Corpus = configs.build(cfg.corpus, root=expanded(cfg.root))
    audio = [holder(utterance.audio_filepath) for split in corpus.splits.values() for utterance in split]
    outputs = Outputs(audio, cfg.overwrite)
    for name in {*corpus.splits, "dev"}:
        outputs.check(out / f"{name}.jsonl")
    corpus = measure(corpus, cfg.threads, cfg.strict_audio, parse_channel(cfg.channel))
    corpus = with_dev(corpus, cfg.dev_fraction, cfg.seed)
    for problem in corpus.problems:
        print(f"left out: {problem}", file=sys.stderr)
    if not any(corpus.splits.values()):
        raise SpeechlstmError(
            f"{cfg.root}: no usable utterances ({len(corpus.problems)} left out), nothing written"
        )
    print(f"{'split':<16} {'utterances':>10} {'speakers':>8} {'hours':>7} {'words':>8}  manifest")
    for name, split in corpus.splits.items():
        path = out / f"{name}.jsonl"
        write_manifest(path, split)
        hours = sum(utterance.duration for utterance in split) / 3600
        words = sum(len(utterance.text.split()) for utterance in split)
        print(
            f"{name:<16} {len(split):>10} {len(_speakers(split)) or '-':>8} {hours:>7.2f} {words:>8}  {path}"
        )
    if note := speaker_note(corpus.splits.get("train", []), corpus.splits.get("dev", [])):
        print(f"note: {note}", file=sys.stderr)
    if corpus.problems:
        print(f"{len(corpus.problems)} left out, named above", file=sys.stderr)
        return SOME_FAILED
    return 0


def speaker_note(train: list[Utterance], dev: list[Utterance]) -> str | None:
    """Return why the error rate on `dev` will not be that on new speakers, if so."""
    if not train or not dev:
        return None
    flattered = "error rates on dev are lower than on new speakers"
    if shared := _speakers(train) & _speakers(dev):
        return f"{counted(len(shared), 'speaker')} of dev also in train: {flattered}"
    if unnamed := sum(utterance.speaker is None for utterance in [*train, *dev]):
        return (
            f"{counted(unnamed, 'utterance')} without a speaker: if train and dev share speakers, {flattered}"
        )
    return None


def _speakers(split: list[Utterance]) -> set[str]:
    return {utterance.speaker for utterance in split if utterance.speaker is not None}
