"""N-gram language models: estimated from text, kept in ARPA files, queried from compiled code."""

from speechlstm.lm.arpa import read_arpa, write_arpa
from speechlstm.lm.cache import load
from speechlstm.lm.kneser_ney import estimate
from speechlstm.lm.ngram import NGram, NGramArrays, query
from speechlstm.lm.trie import Trie

__all__ = ["NGram", "NGramArrays", "Trie", "estimate", "load", "query", "read_arpa", "write_arpa"]
