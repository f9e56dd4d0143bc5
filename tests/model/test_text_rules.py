"""Rules for texts: what is normalized, and that rules are kept with the tokens."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy_texts import CASES

from speechlstm.model import registry
from speechlstm.model.tokenizer import from_dict, normalize


@given(text=st.text(), case=CASES)
def test_normalizing_twice_changes_nothing(text: str, case: str) -> None:
    assert normalize(normalize(text, case), case) == normalize(text, case)


@pytest.mark.parametrize(
    ("text", "case", "expected"),
    [
        ("  Hello\t\nWORLD  ", "lower", "hello world"),
        ("  Hello\t\nWORLD  ", "upper", "HELLO WORLD"),
        ("Hello", "keep", "Hello"),
        ("cafe\u0301", "lower", "caf\u00e9"),
        ("no\u00a0break\u3000wide", "lower", "no break wide"),
        ("Straße", "upper", "STRASSE"),
        ("ΑΣ", "lower", "ας"),
        (" \n", "lower", ""),
    ],
)
def test_normalize_table(text: str, case: str, expected: str) -> None:
    assert normalize(text, case) == expected


@pytest.mark.parametrize(
    ("text", "rules", "wanted"),
    [
        ("IĞDIR İzmir", {"language": "tr"}, "ığdır izmir"),
        ("I\u0307zmir", {"language": "az"}, "izmir"),
        ("ığdır izmir", {"case": "upper", "language": "tr"}, "IĞDIR İZMİR"),
        ("IĞDIR İzmir", {"case": "keep", "language": "tr"}, "IĞDIR İzmir"),
        ("IT IS", {}, "it is"),
        ("Well, \u201cdon't\u201d - he said\u2026", {"punctuation": "strip"}, "well don't he said"),
        (
            "'tis rock 'n' roll, well-known\u2014and so on!",
            {"punctuation": "strip"},
            "tis rock n roll well-known and so on",
        ),
        ("¿Qué? $5 + 3%", {"punctuation": "strip"}, "qué 5 3"),
        ("धीरे-धीरे, बार-बार।", {"punctuation": "strip"}, "धीरे-धीरे बार-बार"),
        ("x\u0301-ray -\u0301", {"punctuation": "strip"}, "x\u0301-ray \u0301"),
        ("A, b.", {"punctuation": "keep"}, "a, b."),
        ("...", {"punctuation": "strip"}, ""),
    ],
)
def test_rules_for_texts(text: str, rules: dict[str, str], wanted: str) -> None:
    assert normalize(text, **rules) == wanted
    assert normalize(wanted, **rules) == wanted, "once is enough"


@pytest.mark.parametrize("name", ["characters", "words", "subwords", "phones"])
def test_rules_are_kept_with_the_tokens(name: str, tmp_path: Path) -> None:
    (tmp_path / "lexicon").write_text("ığdır A B\nizmir B C\n")
    own = {"phones": {"lexicon": str(tmp_path / "lexicon")}, "subwords": {"vocab_size": 9}}.get(name, {})
    settings = {**own, "punctuation": "strip", "language": "tr"}
    made = registry.create("tokenizer", name, texts=["Iğdır, İzmir!"], **settings)
    again = from_dict(json.loads(json.dumps(made.to_dict())))
    assert again.normalize("IĞDIR; İZMİR") == made.normalize("IĞDIR; İZMİR") == "ığdır izmir"
    assert again.decode(again.encode("İZMİR.")) == "izmir"


def test_what_was_written_before_there_were_rules_loads_and_defaults_are_not_written() -> None:
    old = {"kind": "characters", "case": "upper", "tokens": ["<blank>", "<space>", "A"]}
    assert from_dict(old).to_dict() == old
