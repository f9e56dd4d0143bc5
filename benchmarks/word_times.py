"""How far the times of words are from those of a reference aligner: decoders and `speechlstm align`.

    python benchmarks/word_times.py data/librispeech/dev-sample.jsonl librispeech/alignments bundle=... decoder=beam
    python benchmarks/word_times.py join fsdd/recordings

The first takes the words of a manifest's utterances from TextGrids named by their ids, anywhere below the folder. The
second joins recordings of single words, named `{word}_{speaker}_{number}`, some with pauses between them, so that the
times are known: for recognizers whose tokens are whole words. A decoder's word counts if it is right, which edit
distance tells; the aligner is given the text. "Spikes" are the frames of the tokens as they are, "words" what
`speechlstm.transcription.boundaries` makes of them. Errors are in milliseconds; bias is the mean of found minus
reference.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
from omegaconf import DictConfig
from rapidfuzz.distance import Levenshtein
from tqdm import tqdm

import speechlstm
from speechlstm import configs
from speechlstm.cli.devices import choose_devices, make_decoder
from speechlstm.data.audio import load_audio
from speechlstm.data.manifest import read_manifest
from speechlstm.decoders import Decoder
from speechlstm.transcription.align import forced_alignment
from speechlstm.transcription.batches import recognize
from speechlstm.transcription.recognizer import Recognizer
from speechlstm.transcription.textgrid import textgrid
from speechlstm.transcription.transcript import Word
from speechlstm.types import Hypothesis, SpeechlstmError, Utterance

RATE = 16_000
DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
INTERVAL = re.compile(r'name = "(\w+)"|xmin = (\S+)\s+xmax = (\S+)\s+text = "((?:[^"]|"")*)"')

Errors = dict[
    str, list[tuple[float, float, str]]
]  # by what was measured: errors of start and end, and the speaker


def main() -> None:
    """Measure and print one line for each way to find times."""
    places = [argument for argument in sys.argv[1:] if "=" not in argument]
    if len(places) != 2:
        sys.exit(str(__doc__))
    cfg = configs.load("transcribe", [argument for argument in sys.argv[1:] if "=" in argument])
    bundle = speechlstm.load(cfg.bundle, device=choose_devices(cfg.trainer).device)
    decoder = make_decoder(cfg, bundle)
    with tempfile.TemporaryDirectory() as folder:
        if places[0] == "join":
            utterances, references = join(Path(places[1]), Path(folder))
        else:
            utterances = read_manifest(places[0])
            references = {path.stem: path for path in Path(places[1]).rglob("*.TextGrid")}
        errors, total = measure(bundle, decoder, cfg, utterances, references)
    print(
        f"{bundle.name}, decoder {type(decoder).__name__}, {len(utterances)} utterances, {total} words with times\n"
    )
    print(f"{'':<25} {'':>6}  {'start':^29}  {'end':^29}")
    columns = "  median   mean   90 %   bias"
    print(f"{'':<25} {'words':>6}  {columns:>29}  {columns:>29}")
    for name, found in errors.items():
        print(row(name, found))
    speakers = sorted({speaker for found in errors.values() for *_, speaker in found})
    print("\nby speaker")
    for name in ("decoder, words", "aligner, words"):
        for speaker in speakers:
            print(row(f"{name}, {speaker}", [error for error in errors[name] if error[2] == speaker]))


def measure(
    bundle: Recognizer,
    decoder: Decoder,
    cfg: DictConfig,
    utterances: list[Utterance],
    references: dict[str, Path],
) -> tuple[Errors, int]:
    """Return the errors of decoder and aligner, spikes and words, and how many words have a reference."""
    errors: Errors = defaultdict(list)
    total = 0
    progress = tqdm(total=len(utterances), unit="utterance", disable=None)
    for batch in recognize(bundle, utterances, cfg.batch_seconds, cfg.threads or 1):
        for _, failure in batch.failures:
            sys.exit(f"failed: {failure}")
        decoded = decoder(batch.log_probs, batch.lengths)
        for recording, (best, *_) in zip(batch.recordings, decoded, strict=True):
            progress.update()
            utterance = utterances[recording.index]
            text = bundle.tokenizer.normalize(utterance.text)
            reference = known(utterance, text, references)
            if not reference:
                continue
            total += len(reference)
            hypotheses = {"decoder": best}
            log_probs = recording.log_probs.float().cpu().numpy()
            try:
                hypotheses["aligner"], _ = forced_alignment(log_probs, bundle.tokenizer.encode(text))
            except SpeechlstmError as error:
                print(f"{utterance.id}: {error}", file=sys.stderr)
            for name, found in hypotheses.items():
                words = recording.transcript([found], bundle).words
                plain = spikes(bundle, found)
                for kind, placed in (("spikes", plain), ("words", words)):
                    for start, end in differences(placed, reference):
                        errors[f"{name}, {kind}"].append((start, end, utterance.speaker or ""))
    return errors, total


def spikes(bundle: Recognizer, found: Hypothesis) -> list[Word]:
    """Return the words from the beginning of their first token's first frame to the end of their last token's last."""
    shift = bundle.frame_shift
    return [
        Word(text, found.starts[first] * shift, found.ends[end - 1] * shift, 1.0)
        for text, first, end in bundle.tokenizer.words(found.tokens)
    ]


def differences(found: list[Word], reference: list[Word]) -> Iterator[tuple[float, float]]:
    """Yield the errors of start and end, in seconds, of the words that are right."""
    texts = [word.text for word in reference], [word.text for word in found]
    for block in Levenshtein.opcodes(*texts):
        if block.tag == "equal":
            for offset in range(block.src_end - block.src_start):
                word, truth = found[block.dest_start + offset], reference[block.src_start + offset]
                yield word.start - truth.start, word.end - truth.end


def known(utterance: Utterance, text: str, references: dict[str, Path]) -> list[Word]:
    """Return the words of an utterance with the times of its TextGrid, or none if the two have other words."""
    path = references.get(utterance.id)
    if path is None:
        print(f"{utterance.id}: no TextGrid", file=sys.stderr)
        return []
    timed = [(start, end) for start, end, label in read_tier(path, "words") if label]
    if len(timed) != len(text.split()):
        print(
            f"{utterance.id}: {len(timed)} words in {path.name}, but {len(text.split())} in the text",
            file=sys.stderr,
        )
        return []
    return [Word(word, *times, 1.0) for word, times in zip(text.split(), timed, strict=True)]


def read_tier(path: Path, name: str) -> list[tuple[float, float, str]]:
    """Return the intervals of a TextGrid's tier: start, end, label."""
    tiers: dict[str, list[tuple[float, float, str]]] = {}
    for tier, start, end, label in INTERVAL.findall(path.read_text(encoding="utf-8")):
        if tier:
            intervals = tiers.setdefault(tier, [])
        else:
            intervals.append((float(start), float(end), label.replace('""', '"')))
    return tiers[name]


def join(recordings: Path, folder: Path, count: int = 200) -> tuple[list[Utterance], dict[str, Path]]:
    """Write utterances of three to seven words, a speaker each, half of them with a pause, in weak noise."""
    rng = np.random.default_rng(0)
    by_speaker = defaultdict(list)
    for path in sorted(recordings.iterdir()):
        word, speaker, _ = path.stem.split("_")
        by_speaker[speaker].append((DIGITS[int(word)] if word.isdigit() else word, path))
    utterances, references = [], {}
    for number in range(count):
        name, speaker = f"{number:03d}", sorted(by_speaker)[number % len(by_speaker)]
        parts, words = [np.zeros(round(rng.uniform(0.1, 0.5) * RATE))], []
        for _ in range(rng.integers(3, 8)):
            word, path = by_speaker[speaker][rng.integers(len(by_speaker[speaker]))]
            start = sum(map(len, parts)) / RATE
            parts.append(load_audio(path, RATE))
            words.append(Word(word, start, start + len(parts[-1]) / RATE, 1.0))
            parts.append(np.zeros(round(rng.uniform(0.05, 0.4) * RATE * rng.integers(2))))
        parts.append(np.zeros(round(rng.uniform(0.1, 0.5) * RATE)))
        waveform = np.concatenate(parts)
        waveform += rng.normal(size=len(waveform)) * 10 ** (-rng.uniform(50, 70) / 20)
        soundfile.write(folder / f"{name}.wav", waveform.clip(-1, 1), RATE)
        references[name] = folder / f"{name}.TextGrid"
        references[name].write_text(textgrid(len(waveform) / RATE, {"words": words}), encoding="utf-8")
        text = " ".join(word.text for word in words)
        utterances.append(
            Utterance(str(folder / f"{name}.wav"), len(waveform) / RATE, text, name, speaker=speaker)
        )
    return utterances, references


def row(name: str, errors: list[tuple[float, float, str]]) -> str:
    """Return a line of the table."""
    cells = []
    for side in (0, 1):
        values = 1000 * np.array([error[side] for error in errors] or [np.nan])
        size = np.abs(values)
        figures = (np.median(size), size.mean(), np.percentile(size, 90))
        cells.append("  " + " ".join(f"{figure:>6.0f}" for figure in figures) + f" {values.mean():>+6.0f}")
    return f"{name:<25} {len(errors):>6}  {cells[0]}  {cells[1]}"


if __name__ == "__main__":
    main()
