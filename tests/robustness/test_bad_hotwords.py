"""Bad hotwords, in files and as settings, and weights of any size: one line that names what is wrong."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from small_arpa import CHARACTERS, HUGE, refused

from speechlstm.configs.arguments import quoted
from speechlstm.decoders import create
from speechlstm.decoders.beam.hotwords import read_hotwords
from speechlstm.decoders.posteriors import noise


def test_weights_of_any_size_are_no_crash() -> None:
    log_probs = noise(12, len(CHARACTERS), 1)
    for settings in ({"word_bonus": 100}, {"word_bonus": -100}, {"hotword_boost": 100}, {"unk_score": 100}):
        for lexicon in ("none", "soft"):
            decoder = create("beam", CHARACTERS, hotwords=["ab", "b"], lexicon=lexicon, **settings)
            assert math.isfinite(decoder(log_probs)[0][0].score)
        [(name, value)] = settings.items()
        refused(lambda name=name, value=value: create("beam", CHARACTERS, **{name: 1.01 * value}), 2, name)


HOTWORDS: dict[str, tuple[bytes, str]] = {
    "a boost of nan": (b"ab\nb\tnan\n", ":2: the boost of 'b' is 'nan'"),
    "a boost of inf": (b"ab\tinf\n", ":1: the boost"),
    "a negative boost": (b"ab\t-1\n", ":1: the boost"),
    "a boost of 1e999": (b"ab\t1e999\n", ":1: the boost"),
    "a boost in words": (b"ab\tmuch\n", ":1: the boost"),
    "two tabs": (b"ab\t1\t2\n", ":1: the boost"),
    "NUL": (b"ab\nb\0\n", ":2: not text"),
    "surrogates": (b"ab\n\xed\xa0\xbd\n", ":2: not UTF-8"),
    "Latin-1": (b"\xfc", ":1: not UTF-8"),
    "an endless line": (b"a" * HUGE, ":1: a line of more than 4 MB"),
}


@pytest.mark.parametrize("case", HOTWORDS)
def test_files_of_hotwords(tmp_path: Path, case: str) -> None:
    content, message = HOTWORDS[case]
    path = tmp_path / "hot.txt"
    path.write_bytes(content)
    refused(lambda: create("beam", CHARACTERS, hotwords=path), 1, f"{path}{message}")


@pytest.mark.parametrize(
    ("given", "status", "part"),
    [
        (5, 2, "hotwords is 5"),
        (2.5, 2, "hotwords is 2.5"),
        (True, 2, "hotwords is True"),
        ([["a"]], 2, "['a'] is not a phrase"),
        ([{"a": 1}], 2, "is not a phrase"),
        ({"a": -1}, 2, "the boost of 'a' is -1"),
        ({"a": math.nan}, 2, "the boost of 'a' is nan"),
        ({"a": "much"}, 2, "the boost of 'a' is 'much'"),
        ({"a": [1]}, 2, "the boost of 'a'"),
        ({"a": None}, 2, "the boost of 'a'"),
        ("grüße", 2, "no such file; phrases are given as a list, hotwords=[grüße]"),
        ("a\0b", 2, "no such file"),
        ("x" * 5000, 2, "no such file"),
        (["grüße"], 1, "hotword 'grüße' cannot be spelled"),
        (["\ud83d"], 1, "cannot be spelled"),
        (["a\0b"], 1, "cannot be spelled"),
        (["ab" * (6 << 20)], 1, "more than 1000 characters"),
        ([5], 1, "hotword '5' cannot be spelled"),
        ([True], 1, "hotword 'true' cannot be spelled"),
        ([None], 1, "hotword 'null' cannot be spelled"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_hotwords(given: Any, status: int, part: str) -> None:
    refused(lambda: create("beam", CHARACTERS, hotwords=given), status, part)


@pytest.mark.parametrize(
    "phrase",
    [
        "grüße",
        "yes&no",
        "rock'n'roll",
        "x=y",
        "50%",
        "(a)",
        "{c}",
        "#1",
        "a:b",
        "!no",
        "null",
        "true",
        "ёж",
        "日本",
    ],
)
def test_a_list_of_phrases_on_the_command_line(phrase: str) -> None:
    for text, wanted in ((f"[{phrase}]", [phrase]), (f"[new york,{phrase}, a]", ["new york", phrase, "a"])):
        override = OverridesParser.create().parse_override(quoted(f"decoder.hotwords={text}"))
        assert list(read_hotwords(override.value(), 1.0)) == wanted
