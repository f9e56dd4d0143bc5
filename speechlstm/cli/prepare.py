"""Turn a corpus into manifests, one JSON Lines file per split."""

from __future__ import annotations

import sys
from pathlib import Path

from omegaconf import DictConfig

from speechlstm import configs
from speechlstm.data.corpora.base import Corpus, measure
from speechlstm.data.manifest import write_manifest
from speechlstm.types import SOME_FAILED, SpeechlstmError


@configs.main("prepare")
def main(cfg: DictConfig) -> int:
    """Read the corpus, measure its audio, write the manifests, show a table."""
    corpus: Corpus = measure(configs.build(cfg.corpus, root=Path(cfg.root).expanduser()), cfg.threads)
    for problem in corpus.problems:
        print(f"left out: {problem}", file=sys.stderr)
    if not any(corpus.splits.values()):
        raise SpeechlstmError(
            f"{cfg.root}: no usable utterances ({len(corpus.problems)} left out), nothing written"
        )
    written = {}
    for name, split in corpus.splits.items():
        if split:
            written[name] = Path(cfg.out).expanduser() / f"{name}.jsonl"
            write_manifest(written[name], split)
    print(f"{'split':<16} {'utterances':>10} {'speakers':>8} {'hours':>7} {'words':>8}  manifest")
    for name, path in written.items():
        split = corpus.splits[name]
        speakers = len({utterance.speaker for utterance in split if utterance.speaker is not None})
        hours = sum(utterance.duration for utterance in split) / 3600
        words = sum(len(utterance.text.split()) for utterance in split)
        print(f"{name:<16} {len(split):>10} {speakers or '-':>8} {hours:>7.2f} {words:>8}  {path}")
    if corpus.problems:
        print(f"{len(corpus.problems)} left out, named above", file=sys.stderr)
        return SOME_FAILED
    return 0


if __name__ == "__main__":
    main()
