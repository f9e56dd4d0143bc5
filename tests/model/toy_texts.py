"""Texts and a lexicon of a few words, and the kinds of tokenizers."""

from __future__ import annotations

from hypothesis import strategies as st

LEXICON = """;;; a comment

ONE    W AH N
ONE(2) HH W AH N
TO     T UW
TWO    T UW
TWENTY T W EH N T IY
A      AH
"""
TEXTS = ["one two", "two twenty one a", "to one"]
CASES = st.sampled_from(["lower", "upper", "keep"])


KINDS = ["characters", "words", "subwords", "phones"]
