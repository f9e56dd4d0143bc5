"""Decoders: CTC log-probabilities to token sequences. Importing this package imports no decoder."""

from speechlstm.decoders.base import Decoder
from speechlstm.decoders.registry import create, names

__all__ = ["Decoder", "create", "names"]
