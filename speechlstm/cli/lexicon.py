"""Predict pronunciations of words that a lexicon lacks, and count those that are heard."""

from __future__ import annotations

import random
import sys
from pathlib import Path

from omegaconf import DictConfig, ListConfig

import speechlstm
from speechlstm import configs
from speechlstm.data import progress
from speechlstm.data.audio import holders
from speechlstm.data.files import Outputs, file_path, write_atomically
from speechlstm.data.manifest import read_usable
from speechlstm.data.names import expanded
from speechlstm.decoders.lm.corpus import EOS_ID, read_corpus, splitter
from speechlstm.decoders.pronunciation import Pronouncer, count_heard, fits, with_probabilities
from speechlstm.evaluation import logprobs, metrics
from speechlstm.model.tokenizer import normalize
from speechlstm.model.tokenizer.lexicon import Pronunciations, read_lexicon, to_text
from speechlstm.model.tokenizer.phones import Phones
from speechlstm.transcription.recognizer import Recognizer
from speechlstm.types import SOME_FAILED, SpeechlstmError, UsageError, counted

_SHOWN = 10  # words named in a message


@configs.main("lexicon")
def main(cfg: DictConfig) -> int:
    """Write the lexicon, or measure. Exit status 3 when words could not be pronounced."""
    _check(cfg)
    if cfg.heard is not None:
        return _listen(cfg)
    known = _known(cfg)
    if cfg.test is not None:
        return _measure(known, cfg.test)
    paths = [
        str(expanded(each)) for each in (cfg.words if isinstance(cfg.words, ListConfig) else [cfg.words])
    ]
    out = file_path(cfg.out)
    Outputs(configs.reads(cfg), cfg.overwrite).check(out)
    listed = [path for path in paths if path.endswith(".jsonl")]
    corpus = read_corpus(splitter("word", cfg.case), [path for path in paths if path not in listed], listed)
    return _write(out, corpus.words[EOS_ID + 1 :], known, cfg.variants)


def _check(cfg: DictConfig) -> None:
    """Raise a UsageError for settings that do not fit together, before anything is read."""
    if (cfg.lexicon is None) == (cfg.bundle is None):
        raise UsageError(
            "give the pronunciations to learn from: either lexicon=FILE or bundle=NAME, one with a lexicon"
        )
    if cfg.heard is not None:
        if None in (cfg.bundle, cfg.out) or cfg.words is not None or cfg.test is not None:
            raise UsageError(
                "heard= takes the bundle= that is to hear, and the lexicon to write, out=FILE; neither words= nor test="
            )
    elif cfg.test is None and (cfg.words is None or cfg.out is None):
        raise UsageError(
            "give the words to pronounce, words=FILE, and the lexicon to write, out=FILE; or test=0.05 to measure"
        )


def _known(cfg: DictConfig) -> Pronunciations:
    if cfg.bundle is None:
        return read_lexicon(expanded(cfg.lexicon), lambda word: normalize(word, cfg.case))
    return _phones(speechlstm.load(cfg.bundle), cfg.bundle).lexicon.entries


def _phones(bundle: Recognizer, name: str) -> Phones:
    if not isinstance(bundle.tokenizer, Phones):
        raise UsageError(f"bundle={name} has no lexicon: its tokens are {bundle.tokenizer.kind}, not phones")
    return bundle.tokenizer


def _listen(cfg: DictConfig) -> int:
    """Write the lexicon of a bundle with probabilities of pronunciations, as they are heard in speech with its text."""
    out = file_path(cfg.out)
    utterances, bad = read_usable(cfg.heard)
    Outputs([*configs.reads(cfg), *holders(utterances)], cfg.overwrite).check(out)
    bundle = speechlstm.load(cfg.bundle)
    tokenizer = _phones(bundle, cfg.bundle)
    known = tokenizer.lexicon.entries
    usable = [each for each in utterances if each.text.strip() and not tokenizer.unknown(each.text)]
    if not usable:
        raise SpeechlstmError(f"{cfg.heard}: no utterance with a text whose words are all in the lexicon")
    speech = logprobs.compute(bundle, usable)
    spoken = [
        (row, tokenizer.normalize(each.text).split())
        for each, row in zip(speech.utterances, speech.rows, strict=True)
    ]
    fitting = [(row, words) for row, words in spoken if fits(len(row), words, known)]
    counts = count_heard(
        progress.track(fitting, "listening", len(fitting), unit="utterance"), known, tokenizer.tokens
    )
    made = with_probabilities(known, counts)
    write_atomically(out, _lines(made))
    other = [word for word in counts if made[word][0] != known[word][0]]
    print(
        f"{out}: {counted(len(made), 'word')}, {len(counts):,} of them with the probabilities of their pronunciations, "
        f"from {counted(len(fitting), 'utterance')}; {len(other):,} are mostly spoken otherwise than by their "
        "first pronunciation"
    )
    left_out = {
        "without a text, or with words that the lexicon lacks": len(utterances) - len(usable),
        "shorter than their texts can be spoken": len(spoken) - len(fitting),
    }
    for reason, count in left_out.items():
        if count:
            print(f"{counted(count, 'utterance')} left out: {reason}", file=sys.stderr)
    return SOME_FAILED if bad or speech.problems else 0


def _write(out: Path, words: list[str], known: Pronunciations, variants: int) -> int:
    """Write the words with their pronunciations, those of the lexicon as they are there."""
    unknown = [word for word in words if word not in known]
    made: Pronunciations = {}
    if unknown:
        pronouncer = Pronouncer(known)
        for word in progress.track(unknown, "pronouncing", unit="word"):
            made[word] = [phones for phones, _ in pronouncer.pronounce(word, variants)]
    silent = [word for word in unknown if not made[word]]
    write_atomically(out, _lines({word: known.get(word) or made[word] for word in words}))
    print(
        f"{out}: {counted(len(words) - len(unknown), 'word')} as in the lexicon, "
        f"{len(unknown) - len(silent):,} by their spelling"
    )
    if silent:
        more = f" and {len(silent) - _SHOWN} more" if len(silent) > _SHOWN else ""
        print(
            f"{counted(len(silent), 'word')} left out, because the lexicon has no word with such letters: "
            f"{', '.join(silent[:_SHOWN])}{more}",
            file=sys.stderr,
        )
    return SOME_FAILED if silent else 0


def _lines(entries: Pronunciations) -> str:
    """Return the text of a lexicon."""
    return "".join(
        f"{word}{f'({index})' if index > 1 else ''} {to_text(phones)}\n"
        for word, ways in entries.items()
        for index, phones in enumerate(ways, 1)
    )


def _measure(known: Pronunciations, share: float) -> int:
    """Learn from the other words, and print the error rates on a random share of the words."""
    words = sorted(known)
    random.Random(0).shuffle(words)
    count = round(len(words) * share)
    if not 0 < count < len(words):
        raise UsageError(
            f"test={share} of {counted(len(words), 'word')} leaves none to measure on, or none to learn from"
        )
    pronouncer = Pronouncer({word: known[word] for word in words[count:]})
    phones, wrong = metrics.Counts(), 0
    for word in progress.track(words[:count], "pronouncing", unit="word"):
        best = pronouncer.pronounce(word)
        spoken = " ".join(best[0][0]) if best else ""
        closest = min(
            (metrics.errors(" ".join(variant), spoken) for variant in known[word]), key=lambda each: each.rate
        )
        phones += closest
        wrong += closest.errors > 0
    low, high = metrics.share_interval(wrong, count)
    print(
        f"{counted(count, 'word')} held out, learned from {len(words) - count:,}: phones {phones.rate:.2%} wrong, "
        f"words {wrong / count:.2%} ({low:.2%} to {high:.2%})"
    )
    return 0
