"""Synthesize a corpus of letters, numbers and commands in the manner of AN4, spoken by espeak-ng.

One of the corpora that the small bundle was trained on, and the clips that ship with the package:

    python scripts/espeak.py data/espeak --train 1200
    python scripts/espeak.py speechlstm/data/samples --samples
    python scripts/espeak.py plugins/speechlstm-english/samples --sentences
"""

from __future__ import annotations

import argparse
import ctypes
import random
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from speechlstm.data import progress
from speechlstm.data.manifest import write_manifest
from speechlstm.types import SpeechlstmError, UsageError, Utterance

SAMPLE_RATE = 16_000  # Hz

# A voice is an accent and a variant, the shape of the vocal tract. The splits share accents but no variant.
ACCENTS = ("en-us", "en-us", "en-us-nyc", "en", "en-gb-x-rp", "en-gb-x-gbclan", "en-gb-scotland", "en-029")
VARIANTS = {
    "train": (
        *(
            "m1",
            "m2",
            "m3",
            "m4",
            "m5",
            "m7",
            "m8",
            "f1",
            "f2",
            "f3",
            "f4",
            "Andy",
            "Annie",
            "Gene",
            "Michael",
        ),
        *("linda", "Denis", "zac", "john", "paul", "anika", "belinda", "grandpa", "grandma", "ian", "shelby"),
    ),
    "dev": ("m6", "f5", "Mike", "steph", "adam", "Alicia"),
    "samples": ("edward", "Andrea", "robert"),
}
Clips = tuple[tuple[str, str, str, int, int, str], ...]
SAMPLES: Clips = (  # name, accent, variant, pitch and words a minute, text
    ("name", "en-us", "edward", 45, 130, "c h a r l o t t e"),
    ("number", "en-us", "Andrea", 55, 140, "four one two five five oh one nine"),
    ("address", "en", "robert", 50, 135, "seventy three o a k l a n d"),
    ("enter", "en-us", "Andrea", 50, 130, "enter nine"),
    ("rubout", "en-us", "edward", 40, 140, "rubout k t w six hundred and eighteen"),
    ("stop", "en", "robert", 55, 125, "stop"),
)
SENTENCES: Clips = (  # the same of ordinary English
    ("letter", "en-us", "m3", 50, 130, "she opened the letter and read it twice before she said a word"),
    ("station", "en-us", "f2", 50, 130, "we waited at the station until the last train had gone"),
    ("road", "en-us", "m7", 50, 130, "the old man walked slowly down the road with his dog"),
)

# espeak-ng reads a lone "a" as the article, and "rubout" as one strange word.
_SPOKEN = {"a": "eigh", "rubout": "rub out"}
_DIGITS, _TEENS, _TENS, _ORDINALS, _MONTHS, _COMMANDS, _WORDS = map(
    str.split,
    (
        "zero one two three four five six seven eight nine",
        "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen",
        "twenty thirty forty fifty sixty seventy eighty ninety",
        "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth",
        "january february march april may june july august september october november december",
        "erase rubout enter repeat stop help yes no start go",
        "right one go zero up down left five eight",  # as in Speech Commands
    ),
)


def write_corpus(folder: Path, sizes: dict[str, int], seed: int = 0) -> None:
    """Synthesize `folder/audio/{split}/*.flac` at 16 kHz and `folder/{split}.jsonl`.

    The same seed gives the same texts and voices; a larger split begins with the smaller one.

    Args:
        folder: what to write into.
        sizes: utterances of each split; no voice is in two of them.
        seed: of the texts, voices, pitches and rates.
    """
    for split, size in sizes.items():
        utterances = []
        for index in progress.track(range(size), f"synthesizing {split}", unit="utterance"):
            rng = random.Random(f"{seed} {split} {index}")
            text = sentence(rng)
            voice = f"{rng.choice(ACCENTS)}+{rng.choice(VARIANTS[split])}"
            waveform = speak(text, voice, rng.randint(25, 75), rng.randint(110, 190), rng.randint(0, 8))
            waveform = _record(waveform, np.random.default_rng(rng.getrandbits(64)))
            name = f"espeak-{split}-{index:05}"
            path = folder / "audio" / split / f"{name}.flac"
            utterances.append(_write(path, waveform, text, voice))
        write_manifest(folder / f"{split}.jsonl", utterances)


def write_samples(folder: Path, clips: Clips = SAMPLES) -> None:
    """Synthesize the clips that ship with a model, with their manifest `samples.jsonl`."""
    utterances = []
    for index, (name, accent, variant, pitch, rate, text) in enumerate(clips):
        voice = f"{accent}+{variant}"
        waveform = _record(speak(text, voice, pitch, rate), np.random.default_rng(index))
        utterances.append(_write(folder / f"{name}.flac", waveform, text, voice))
    write_manifest(folder / "samples.jsonl", utterances)


def sentence(rng: random.Random) -> str:
    """Make up a text: a command, a spelled name, a number, a date, an address or some of them together."""
    kinds: tuple[tuple[int, Callable[[], str]], ...] = (
        (4, lambda: _letters(rng, 3, 9)),
        (3, lambda: _digits(rng, 1, 8)),
        (3, lambda: _number(rng)),
        (2, lambda: rng.choice(_COMMANDS)),
        (2, lambda: rng.choice(_WORDS)),
        (4, lambda: f"{rng.choice(_COMMANDS[:3])} {_letters(rng, 1, 5)} {_number(rng)}"),
        (2, lambda: f"{_letters(rng, 1, 5)} {_number(rng)}"),
        (2, lambda: f"enter {_number(rng)}"),
        (2, lambda: f"{_digits(rng, 1, 4)} {_letters(rng, 3, 6)}"),
        (1, lambda: f"{rng.choice(_MONTHS)} {_ordinal(rng)} nineteen {_below_hundred(rng, 10)}"),
        (1, lambda: f"{rng.choice(_MONTHS)} {_ordinal(rng)} {_below_hundred(rng, 10)}"),
    )
    make = rng.choices([make for _, make in kinds], [weight for weight, _ in kinds])[0]
    return make()


def _letters(rng: random.Random, least: int, most: int) -> str:
    """Spell half of the time something like a name, consonants and vowels in turn, otherwise any letters."""
    count = rng.randint(least, most)
    if rng.random() < 0.5:
        return " ".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=count))
    start = rng.randrange(2)
    pools = ("bcdfghjklmnprstvwyz", "aeiou")
    spelled = "".join(
        rng.choice(pools[(start + place) % 2]) * (2 if rng.random() < 0.1 else 1) for place in range(count)
    )
    return " ".join(spelled[:most])


def _digits(rng: random.Random, least: int, most: int) -> str:
    zero = rng.choice(("zero", "oh"))
    return " ".join(rng.choice((zero, *_DIGITS[1:])) for _ in range(rng.randint(least, most)))


def _number(rng: random.Random) -> str:
    kind = rng.randrange(6)
    if kind == 0:
        return _below_hundred(rng, 1)
    if kind == 1:
        return f"{_below_hundred(rng, 10)} {_below_hundred(rng, 10)}"
    if kind == 2:
        return f"{_below_hundred(rng, 10)} oh {rng.choice(_DIGITS[1:])}"
    if kind == 3:
        return f"{rng.choice(_DIGITS[1:])} hundred and {_below_hundred(rng, 1)}"
    if kind == 4:
        hundreds = f"{rng.choice(_DIGITS[1:])} hundred and {_below_hundred(rng, 1)}"
        return f"{rng.choice(_DIGITS[1:])} thousand {hundreds}"
    return _digits(rng, 2, 5)


def _below_hundred(rng: random.Random, least: int) -> str:
    value = rng.randrange(least, 100)
    if value < 10:
        return _DIGITS[value]
    if value < 20:
        return _TEENS[value - 10]
    tens = _TENS[value // 10 - 2]
    return f"{tens} {_DIGITS[value % 10]}" if value % 10 else tens


def _ordinal(rng: random.Random) -> str:
    if rng.random() < 0.5:
        return rng.choice(_ORDINALS)
    if rng.random() < 0.5:
        return rng.choice([*(f"{teen}th" for teen in _TEENS[3:]), "twentieth", "thirtieth"])
    return f"twenty {rng.choice(_ORDINALS[:9])}"


def speak(text: str, voice: str, pitch: int = 50, rate: int = 150, gap: int = 0) -> NDArray[np.float32]:
    """Synthesize a text.

    Args:
        text: words and single letters, lower case.
        voice: accent and variant, such as `en-us+f2`.
        pitch: 0 to 100; 50 is the voice's own.
        rate: words a minute, 80 to 450.
        gap: pause between words in hundredths of a second.

    Returns:
        `(samples,)` at 16 kHz within [-1, 1].

    Raises:
        UsageError: the synthesizer is not installed, or has no such voice.
    """
    library, blocks, native_rate = _synthesizer()
    if library.espeak_SetVoiceByName(voice.encode()) != 0:
        raise UsageError(f"espeak-ng has no voice {voice!r}; wanted an accent and variant such as en-us+f2")
    for parameter, value in ((1, rate), (3, pitch), (7, gap)):  # espeakRATE, espeakPITCH, espeakWORDGAP
        library.espeak_SetParameter(parameter, value, 0)
    spoken = " ".join(_SPOKEN.get(word, word) for word in text.split()).encode() + b"\0"
    blocks.clear()
    # from position 0 to the end; 1 is espeakCHARS_UTF8
    status = library.espeak_Synth(spoken, len(spoken), 0, 0, 0, 1, None, None)
    if status != 0 or not blocks:
        raise SpeechlstmError(f"espeak-ng could not say {text!r} with voice {voice!r} (status {status})")
    waveform = np.concatenate(blocks).astype(np.float32) / 32768
    resampled = soxr.resample(waveform, native_rate, SAMPLE_RATE, quality="HQ")
    return np.asarray(np.clip(resampled, -1, 1), np.float32)


@cache
def _synthesizer() -> tuple[Any, list[NDArray[np.int16]], int]:
    """Start espeak-ng once a process: the library, the list it puts its audio into, and its rate in Hz."""
    try:
        import espeakng_loader
    except ImportError:
        raise UsageError("speech synthesis needs a package: pip install espeakng-loader") from None
    library: Any = ctypes.CDLL(str(espeakng_loader.get_library_path()))
    data = str(espeakng_loader.get_data_path())
    # 2: AUDIO_OUTPUT_SYNCHRONOUS, nothing is played; 0x8000: espeakINITIALIZE_DONT_EXIT, report a failure
    rate = library.espeak_Initialize(2, 0, data.encode(), 0x8000)
    if rate <= 0:
        raise SpeechlstmError(
            f"espeak-ng cannot read its data in {data} (a path of 160 characters or more is too long for it)"
        )
    library.espeak_Synth.argtypes = [
        *(ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int, ctypes.c_uint, ctypes.c_uint),
        *(ctypes.c_void_p, ctypes.c_void_p),
    ]
    blocks: list[NDArray[np.int16]] = []

    def receive(samples: Any, count: int, events: Any) -> int:
        if samples and count:
            blocks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    signature = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
    # an attribute, or it would be collected while espeak-ng still calls it
    library.receive = signature(receive)
    library.espeak_SetSynthCallback(library.receive)
    return library, blocks, rate


def _record(waveform: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Make it more like a recording: pauses at both ends, some loudness, and the noise that every room has."""
    before, after = (int(seconds * SAMPLE_RATE) for seconds in rng.uniform(0.1, 0.4, 2))
    peak = max(float(np.abs(waveform).max()), 1e-3)
    clip = np.pad(waveform, (before, after)) * (rng.uniform(0.15, 0.8) / peak)
    noise = rng.standard_normal(len(clip)) * 10 ** rng.uniform(-4, -2.3)
    return np.asarray(np.clip(clip + noise, -1, 1), np.float32)


def _write(path: Path, waveform: NDArray[np.float32], text: str, voice: str) -> Utterance:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, waveform, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    return Utterance(str(path), len(waveform) / SAMPLE_RATE, text, path.stem, speaker=voice)


def main() -> None:
    """Write the corpus, or the clips of the package."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="what to write into")
    parser.add_argument("--train", type=int, default=3000, help="utterances of train")
    parser.add_argument("--dev", type=int, default=200, help="utterances of dev, spoken by other voices")
    parser.add_argument("--seed", type=int, default=0, help="of texts, voices, pitches and rates")
    clips = parser.add_mutually_exclusive_group()
    clips.add_argument("--samples", action="store_true", help="the clips that ship with the package instead")
    clips.add_argument("--sentences", action="store_true", help="those that ship with the English model")
    arguments = parser.parse_args()
    if arguments.samples or arguments.sentences:
        write_samples(arguments.folder, SENTENCES if arguments.sentences else SAMPLES)
    else:
        write_corpus(arguments.folder, {"train": arguments.train, "dev": arguments.dev}, arguments.seed)


if __name__ == "__main__":
    main()
