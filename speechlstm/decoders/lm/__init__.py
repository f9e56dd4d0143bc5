"""N-gram language models: estimated from text, kept in ARPA files, queried from compiled code."""

from speechlstm.decoders.lm.arpa import read_arpa
from speechlstm.decoders.lm.cache import load
from speechlstm.decoders.lm.kneser_ney import estimate
from speechlstm.decoders.lm.ngram import NO_MODEL, NGram, NGramArrays, query
from speechlstm.decoders.lm.trie import Trie
from speechlstm.decoders.lm.writing import write_arpa

__all__ = ["NO_MODEL", "NGram", "NGramArrays", "Trie", "estimate", "load", "query", "read_arpa", "write_arpa"]
