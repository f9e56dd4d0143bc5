"""Pronunciations of words that no lexicon has, by a model of spelling learned from one that does."""

from speechlstm.decoders.pronunciation.model import Pronouncer

__all__ = ["Pronouncer"]
