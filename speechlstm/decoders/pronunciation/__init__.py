"""Pronunciations of words outside a lexicon, by a spelling model learned from its entries."""

from speechlstm.decoders.pronunciation.model import Pronouncer

__all__ = ["Pronouncer"]
