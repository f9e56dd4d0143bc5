"""Pronunciations: of words outside a lexicon, by a spelling model learned from its entries; and as they are heard."""

from speechlstm.decoders.pronunciation.heard import count_heard, fits, with_probabilities
from speechlstm.decoders.pronunciation.model import Pronouncer

__all__ = ["Pronouncer", "count_heard", "fits", "with_probabilities"]
