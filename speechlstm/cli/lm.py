"""Make a language model from text, n-grams or an LSTM, and measure it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
from omegaconf import DictConfig, ListConfig, OmegaConf

import speechlstm
from speechlstm import configs
from speechlstm.configs.arguments import given_keys
from speechlstm.data.files import Outputs, file_path, write_atomically
from speechlstm.data.names import expanded
from speechlstm.decoders.lm import NGram, Trie, estimate, write_arpa
from speechlstm.decoders.lm.corpus import EOS_ID, UNK_ID, Corpus, Split, read_corpus, splitter
from speechlstm.decoders.lm.kneser_ney import FALLBACK, OrderSummary
from speechlstm.decoders.lm.ngram import Perplexity
from speechlstm.decoders.lm.pruning import Pruner
from speechlstm.decoders.lm.writing import MEGABYTE, fit_arpa
from speechlstm.types import SOME_FAILED, UsageError, counted

Measures = dict[str, Callable[[Corpus], Perplexity]]  # by the names of texts

_SHOWN = 10  # examples of each kind
_LSTM_WORDS = 12_000  # the default of vocab_size=, as all words would make the model slow and large
_OF_NGRAMS = ("order", "prune", "size_mb")
_OF_NEW_LSTMS = ("vocab_size", "lstm.embedding", "lstm.hidden")


@configs.main("lm")
def main(cfg: DictConfig) -> int:
    """Estimate, write and report. Exit status 3 when lines of a text were left out."""
    texts, manifests, tests = _paths(cfg.text), _paths(cfg.manifest), _paths(cfg.test)
    out = file_path(cfg.out)
    _check(cfg, texts, manifests, out)
    tokenizer = speechlstm.load(cfg.bundle).tokenizer if cfg.bundle is not None else None
    split = splitter(cfg.unit, cfg.case, tokenizer)
    corpora = {"text": read_corpus(split, texts, manifests)}
    if tests:
        listed = [path for path in tests if path.endswith(".jsonl")]
        corpora["test"] = read_corpus(split, [path for path in tests if path not in listed], listed)
    text = corpora["text"]
    _measured(cfg, corpora, out, split)
    print(f"{'written':<8} {out}")
    if text.marks:
        _note(f"{text.marks} <s> and </s> in the text are left out: each line has its own")
    if tokenizer is not None and cfg.unit == "word":
        strange = [word for word in text.words[EOS_ID + 1 :] if tokenizer.unknown(word)]
        if strange:
            _note(f"the recognizer has no tokens to write {_examples(strange)} with")
    problems = [problem for corpus in corpora.values() for problem in corpus.problems]
    for problem in problems[:_SHOWN]:
        print(f"left out: {problem}", file=sys.stderr)
    if problems:
        shown = f"the first {_SHOWN} " if len(problems) > _SHOWN else ""
        print(f"{len(problems)} left out, {shown}named above", file=sys.stderr)
    return SOME_FAILED if problems else 0


def _measured(cfg: DictConfig, corpora: dict[str, Corpus], out: Path, split: Split) -> None:
    """Write the model, and print what it is and how well it predicts."""
    text, vocab_size = corpora["text"], cfg.vocab_size
    if vocab_size is None and cfg.kind == "lstm":
        vocab_size = _LSTM_WORDS
    if cfg.kind == "lstm" and cfg.lstm.init_from is not None:
        limited = _within_model(text, cfg.lstm.init_from)
    else:
        limited = text.limited(vocab_size) if vocab_size is not None else text
    if cfg.words is not None:
        from speechlstm.decoders.beam.vocabulary import read_words  # brings torch and all of the search

        known = {part for word in read_words(str(cfg.words)) for part in split(word)}
        limited = limited.within(known)
    make = _lstm if cfg.kind == "lstm" else _ngram
    measures = make(cfg, limited, corpora, out)
    for name, measure in measures.items():
        print(_line(name, cfg.unit, measure(corpora[name])))


def _within_model(text: Corpus, path: str) -> Corpus:
    """Return the text with only the words of the LSTM that a training begins with."""
    from speechlstm.decoders.lm.lstm import load_lstm

    limited = text.within(load_lstm(path).ids)
    unknown = int(np.count_nonzero(limited.stream == UNK_ID))
    if unknown == limited.num_words:
        raise UsageError(f"lstm.init_from={path}: has no word of the text; train without it")
    if unknown:
        _note(f"{path} lacks {unknown / limited.num_words:.1%} of the text's running words: they are <unk>")
    return limited


def _lstm(cfg: DictConfig, text: Corpus, corpora: dict[str, Corpus], out: Path) -> Measures:
    """Train and write an LSTM; return what measures the test text: a training text is large, and scoring takes time."""
    from speechlstm.training.language import LanguageSettings, train_language_model  # brings Lightning

    given = cast(dict[str, Any], OmegaConf.to_container(cfg.lstm, resolve=True))
    accelerator = given.pop("accelerator")
    model = train_language_model(text, LanguageSettings(**given), out, accelerator)
    weights = sum(each.numel() for each in model.parameters())
    print(
        f"{'lstm':<8} {len(model.words):,} words, {weights:,} weights, {out.stat().st_size / MEGABYTE:.2f} MB"
    )
    return {"test": model.perplexity} if "test" in corpora else {}


def _ngram(cfg: DictConfig, text: Corpus, corpora: dict[str, Corpus], out: Path) -> Measures:
    """Estimate and write an n-gram model; return what measures each text."""
    trie, summaries = estimate(text, cfg.order, list(cfg.prune))
    pruned = ""
    if cfg.size_mb is not None:
        trie, pruned = _fitted(trie, text, corpora, cfg, out)
    else:
        write_arpa(trie, out)
    print(_table(summaries) + pruned)
    if len(summaries) < cfg.order:
        _note(
            f"no sentence has {counted(cfg.order, 'word')}, <s> and </s> counted: the order is {len(summaries)}"
        )
    if why := [
        f"{n}-grams ({summary.fallback})" for n, summary in enumerate(summaries, 1) if summary.fallback
    ]:
        fallback = ", ".join(map(str, FALLBACK))
        _note(
            f"the discounts are the fall-back {fallback} for {', '.join(why)}; more text would estimate them"
        )
    return dict.fromkeys(corpora, NGram.from_trie(trie).perplexity)


def _fitted(
    trie: Trie, text: Corpus, corpora: dict[str, Corpus], cfg: DictConfig, out: Path
) -> tuple[Trie, str]:
    """Write as much of a model as fits into `size_mb`; return it, and a line on what was left out."""
    before = NGram.from_trie(trie)
    measured = corpora.get("test", corpora["text"])
    perplexity = before.perplexity(measured).with_oov
    fitted, content = fit_arpa(Pruner.of(trie, text), cfg.size_mb, out.suffix == ".gz")
    write_atomically(out, content)
    left_out = sum(trie.counts) - sum(fitted.counts)
    kept = ", ".join(f"{count:,} {n}-grams" for n, count in enumerate(fitted.counts, 1))
    size = f"{len(content) / MEGABYTE:.2f} MB, perplexity {perplexity:.2f} before"
    return fitted, f"\n{'pruned':<8} {left_out:,} n-grams by relative entropy, {kept} left: {size}"


def _paths(value: Any) -> list[str]:
    values = [] if value is None else value if isinstance(value, ListConfig) else [value]
    return [str(expanded(each)) for each in values]


def _check(cfg: DictConfig, texts: list[str], manifests: list[str], out: Path) -> None:
    """Raise a UsageError for settings that do not fit together, before anything is read."""
    if not texts and not manifests:
        raise UsageError("no text: add text=FILE, or manifest=FILE for the texts of a manifest")
    if listed := [path for path in texts if path.endswith(".jsonl")]:
        raise UsageError(f"text={listed[0]} is a manifest by its name: give it as manifest={listed[0]}")
    if cfg.unit == "token" and cfg.bundle is None:
        raise UsageError("unit=token needs the tokenizer of a recognizer: add bundle=FOLDER")
    if cfg.kind == "lstm" and cfg.unit != "word":
        raise UsageError(f"unit={cfg.unit}, but an LSTM language model is one of words")
    if (cfg.kind == "lstm") != (out.suffix == ".safetensors"):
        wanted = (
            ".safetensors, for kind=lstm" if cfg.kind == "lstm" else ".arpa or .arpa.gz, without kind=lstm"
        )
        raise UsageError(f"out={out}: must end in {wanted}")
    for key in given_keys(configs.task_overrides()):
        if cfg.lstm.init_from is not None and key in _OF_NEW_LSTMS:
            raise UsageError(f"{key} has no effect with lstm.init_from, whose words and sizes stay")
        if (cfg.kind == "lstm" and key in _OF_NGRAMS) or (cfg.kind == "ngram" and key.startswith("lstm.")):
            raise UsageError(f"{key} has no effect with kind={cfg.kind}")
    Outputs(configs.reads(cfg), cfg.overwrite).check(out)


def _table(summaries: list[OrderSummary]) -> str:
    lines = [f"{'order':<8} {'n-grams':>12} {'kept':>12} {'D1':>8} {'D2':>8} {'D3+':>8}"]
    for n, summary in enumerate(summaries, 1):
        discounts = " ".join(f"{discount:>8.4f}" for discount in summary.discounts)
        lines.append(f"{n:<8} {summary.distinct:>12,} {summary.kept:>12,} {discounts}")
    return "\n".join(lines)


def _line(name: str, unit: str, result: Perplexity) -> str:
    counts = f"{counted(result.sentences, 'sentence')}, {counted(result.words, unit)}"
    line = f"{name:<8} {counts}, perplexity {result.with_oov:.2f}"
    if result.oov:
        count = sum(count for _, count in result.oov)
        words = [f"{word} ({times})" for word, times in result.oov]
        line += f" ({result.without_oov:.2f} without unknown {unit}s)\n"
        line += f"{'':<8} unknown: {count:,} ({count / result.words:.2%}), {_examples(words)}"
    return line


def _examples(words: list[str]) -> str:
    more = f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
    return f"{len(words)} different: {', '.join(words[:_SHOWN])}{more}"


def _note(message: str) -> None:
    print(f"note: {message}", file=sys.stderr)
