"""Decoders on simulated posteriors: what beam search costs and what it makes of the same log-probabilities.

    python benchmarks/decoders.py corpus.txt [utterances=200] [only=plain,words,subwords,threads]

The text gives a language model (all but its last lines) and the utterances (its last lines, cut to fit 12 s). Log-probs
are simulated: 40 ms frames, 32 characters or 1,000 subwords, each token in one frame or two, half of the frames blank
with more than 0.95, every fourth to tenth token mistaken for one of three that look like it. Utterances per second of
processor time, one thread; all decoders in one run, on the same log-probabilities, with the same thresholds: no
token below 1e-3 of a frame (fast-ctc-decode: `beam_cut_threshold`), with a language model at most 5 tokens of a
frame, and none that lies 14 natural logs below the best. Decoders that are not installed are left out. For real
log-probabilities there is `speechlstm plugins bench=MANIFEST`.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from speechlstm.decoders import create
from speechlstm.decoders.lm import estimate, write_arpa
from speechlstm.decoders.lm.corpus import read_corpus, splitter
from speechlstm.decoders.posteriors import padded
from speechlstm.evaluation.metrics import corpus
from speechlstm.model.tokenizer import Characters, Subwords, Tokenizer
from speechlstm.types import SpeechlstmError

FRAMES = 300
REPETITIONS = 3  # of which the fastest counts
BEAMS = (25, 50, 100)
TUNED = {"max_tokens": 5, "beam_threshold": 14.0}


def main() -> None:
    """Print a table for each condition."""
    options = dict(each.split("=", 1) for each in sys.argv[1:] if "=" in each)
    (path,) = (each for each in sys.argv[1:] if "=" not in each)
    count = int(options.get("utterances", 200))
    only = options.get("only", "plain,words,subwords,threads").split(",")
    torch.set_num_threads(1)
    lines = [" ".join(line.lower().split()) for line in Path(path).read_text(encoding="utf-8").splitlines()]
    lines = [line for line in lines if line]
    references = [cut(line, 145) for line in lines if len(line) > 60][-count:]
    known = lines[: lines.index(next(line for line in lines if cut(line, 145) == references[0]))]
    letters = sorted({letter for line in lines for letter in line if letter != " "})
    characters = Characters.from_texts(["".join(letters) + "0123456789"[: max(0, 30 - len(letters))]])
    rows = list(simulate(characters, references))
    described(characters, rows, references)
    with tempfile.TemporaryDirectory() as folder:
        if "plain" in only:
            plain(characters, rows, references)
        if "words" in only:
            words(characters, rows, references, known, Path(folder))
        if "subwords" in only:
            subwords = Subwords.from_texts(known, vocab_size=1000)
            pieces = list(simulate(subwords, references))
            described(subwords, pieces, references)
            plain(subwords, pieces, references)
        if "threads" in only:
            threads(characters, rows)


def plain(tokenizer: Tokenizer, rows: Sequence[Tensor], references: Sequence[str]) -> None:
    """Compare searches without a language model."""
    print("\nno language model")
    show("greedy", tokenizer, rows, references)
    for beam in BEAMS:
        ours = show("beam", tokenizer, rows, references, beam_size=beam, beam_threshold=14.0, threads=1)
        show("fast_ctc", tokenizer, rows, references, ours, beam_size=beam, beam_cut_threshold=1e-3)
        show("flashlight", tokenizer, rows[:40], references[:40], ours, beam_size=beam, **TUNED)


def words(
    tokenizer: Tokenizer,
    rows: Sequence[Tensor],
    references: Sequence[str],
    known: Sequence[str],
    folder: Path,
) -> None:
    """Compare searches with a word 3-gram, its words as the lexicon."""
    text, arpa, lexicon = folder / "known.txt", folder / "lm.arpa", folder / "lexicon.txt"
    text.write_text("\n".join(known) + "\n", encoding="utf-8")
    model, _ = estimate(read_corpus(splitter("word"), [text]), 3)
    write_arpa(model, arpa)
    vocabulary = sorted({word for line in known for word in line.split()})
    for size in (len(vocabulary), 50_000):
        extra = invented(vocabulary, size - len(vocabulary))
        every = [*vocabulary, *extra]
        lexicon.write_text("".join(f"{word} {' '.join(word)}\n" for word in every), encoding="utf-8")
        print(f"\nword 3-gram, lexicon of {len(every):,} words, weight 1")
        common: dict[str, Any] = {"lm": str(arpa), "lm_weight": 1.0}
        for beam in BEAMS:
            settings = common | TUNED | {"beam_size": beam}
            ours = show(
                "beam",
                tokenizer,
                rows,
                references,
                lexicon="strict",
                words=str(lexicon),
                threads=1,
                **settings,
            )
            show("flashlight", tokenizer, rows, references, ours, lexicon=str(lexicon), **settings)
        if not extra:  # a graph has the words of its language model
            for width in (12.0, 16.0):
                show("wfst", tokenizer, rows, references, ours, beam=width, **common)


def threads(tokenizer: Tokenizer, rows: Sequence[Tensor]) -> None:
    """Measure wall time of a batch with one thread and with two."""
    batch, lengths = padded(list(rows))
    spent = {}
    for number in (1, 2):
        decoder = create("beam", tokenizer=tokenizer, beam_size=50, threads=number)
        decoder(batch[:4], lengths[:4])
        spent[number] = min(_wall(lambda made=decoder: made(batch, lengths)) for _ in range(5))
    print(f"\nbeam 50, wall time: two threads are {spent[1] / spent[2]:.2f} times as fast as one")


def show(
    name: str,
    tokenizer: Tokenizer,
    rows: Sequence[Tensor],
    references: Sequence[str],
    ours: float = 0.0,
    **params: Any,
) -> float:
    """Print and return how many utterances a decoder does in a second of processor time."""
    try:
        decoder = create(name, tokenizer=tokenizer, **params)
    except SpeechlstmError as error:
        print(f"  {name:<11} left out: {error}")
        return 0.0
    searches = [search(name, decoder, row) for row in rows]
    searches[0]()
    spent = []
    for _ in range(REPETITIONS):
        begin = time.process_time()
        for each in searches:
            each()
        spent.append(time.process_time() - begin)
    hypotheses = [decoder.decode(row)[0] for row in rows]
    texts = [tokenizer.decode(each.tokens) if each.text is None else each.text for each in hypotheses]
    score = corpus(zip(references, texts, strict=True))
    rate = len(rows) / min(spent)
    width = params.get("beam_size", params.get("beam", ""))
    ratio = f"beam is {ours / rate:5.1f} x as fast" if ours else ""
    print(
        f"  {name:<11}{width!s:>5} {rate:>9,.0f} utterances/CPU s  WER {score.wer:7.2%}  {ratio}", flush=True
    )
    return rate


def search(name: str, decoder: Any, row: Tensor) -> Callable[[], Any]:
    """Return the search of one utterance as a function to time."""
    if name == "fast_ctc":
        from fast_ctc_decode import beam_search

        probs = row.exp().numpy()
        alphabet = "".join(chr(0xE000 + token) for token in range(row.shape[1]))
        return lambda: beam_search(probs, alphabet, decoder.beam_size, decoder.beam_cut_threshold)
    if name == "flashlight":
        end = torch.full((1, row.shape[1]), -1e4)
        end[0, decoder.separator] = 0.0
        closed = torch.cat([row, end]).contiguous()
        return lambda: decoder.search.decode(closed.data_ptr(), *closed.shape)
    if name == "wfst":
        from kaldi_decoder import DecodableCtc

        scaled = DecodableCtc(row.div(decoder.lm_weight).contiguous().numpy())
        return lambda: decoder._paths(scaled)
    return lambda: decoder.decode(row)


def cut(line: str, most: int) -> str:
    """Return as many whole words as fit."""
    return line if len(line) <= most else line[: most + 1].rpartition(" ")[0]


def simulate(tokenizer: Tokenizer, texts: Sequence[str], seed: int = 0) -> Iterator[Tensor]:
    """Yield `(frames, vocab)` log-probabilities of each text."""
    rng = np.random.default_rng(seed)
    vocab = len(tokenizer)
    alike = np.array([rng.choice(np.arange(1, vocab), 3) for _ in range(vocab)])
    for text in texts:
        tokens = tokenizer.encode(text)
        frames = min(FRAMES, max(2 * len(tokens) + 2, round(FRAMES * len(text) / 145)))
        logits = rng.normal(0, 1, (frames, vocab))
        logits[:, 0] += 9.5 + rng.normal(0, 1, frames)
        places = np.sort(rng.choice(np.arange(1, frames - 1), len(tokens), replace=False))
        for place, token in zip(places, tokens, strict=True):
            logits[place] = rng.normal(0, 1, vocab)
            logits[place, token] += 9.0
            if rng.random() < rng.uniform(0.10, 0.25):
                logits[place, alike[token, rng.integers(3)]] += rng.uniform(6, 10)
            if rng.random() < 0.3:
                logits[place, 0] += rng.uniform(5, 9)
            if rng.random() < 0.2:
                logits[place + 1, token] += rng.uniform(5, 10)
        yield torch.tensor(logits, dtype=torch.float32).log_softmax(-1)


def described(tokenizer: Tokenizer, rows: Sequence[Tensor], references: Sequence[str]) -> None:
    """Print what was simulated."""
    every = torch.cat(list(rows)).exp()
    print(
        f"{len(rows)} utterances of {np.mean([len(row) for row in rows]):.0f} frames, {len(tokenizer)} tokens, "
        f"{sum(len(text.split()) for text in references)} words; blank above 0.95 in "
        f"{(every[:, 0] > 0.95).float().mean():.0%} of the frames; "
        f"{(every[:, 1:] > 1e-3).sum(1).float().mean():.1f} tokens a frame above 1e-3"
    )


def invented(words: Sequence[str], count: int, seed: int = 0) -> list[str]:
    """Return words that are not there but could be: the beginning of one and the end of another."""
    rng = np.random.default_rng(seed)
    known, made = set(words), []
    while len(made) < count:
        first, second = (words[index] for index in rng.integers(0, len(words), 2))
        word = first[: len(first) // 2 + 1] + second[len(second) // 2 :]
        if word not in known:
            known.add(word)
            made.append(word)
    return made


def _wall(work: Any) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
