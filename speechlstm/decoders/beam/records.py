"""Records of the tables that the search looks up: tokens, the lexicon and its words, and hotwords."""

from __future__ import annotations

import numpy as np

TOKEN = np.dtype([("kind", np.int32), ("lm", np.int32)])  # CONTINUES and so on; the word of a model of tokens

# The lexicon as a trie. The last record closes the one before it, and is OUTSIDE, which numba finds at index -1.
PLACE = np.dtype(
    [
        ("first", np.int32),  # children are from here to `first` of the next node, sorted by their tokens
        ("token", np.int32),  # that leads to the node
        ("first_word", np.int32),  # its words are from here to `first_word` of the next
        ("ahead", np.float64),  # weighted log of the best that can come of a partial word, without context
        ("down", np.float64),  # what the step to the node multiplies into the probability
        ("out", np.float64),  # and the step from the node to OUTSIDE
    ],
    align=True,
)

# Its words, by the nodes where they end.
WORD = np.dtype(
    [
        ("lm", np.int32),  # the language model's word
        (
            "spoken",
            np.float64,
        ),  # weighted log of the probability that it is pronounced so, by that of its best way
    ],
    align=True,
)

# The words at or below each of its nodes.
BELOW = np.dtype(
    [
        ("low", np.int32),  # in the order of their tokens: from here
        ("high", np.int32),  # to before here
        ("best", np.float64),  # the greatest log-probability of them without any context
        ("lacks", np.bool_),  # the language model does not have all of them
    ],
    align=True,
)

# Hotwords as a trie.
HOT = np.dtype(
    [
        ("first", np.int32),  # children, as above
        ("token", np.int32),
        ("fail", np.int32),  # where to go on when a phrase breaks off
        ("score", np.float64),  # bonus of a partial phrase
        ("kept", np.float64),  # what of it stays when it breaks off: that of a whole phrase within
        ("whole", np.float64),  # the same, if a word ends here
    ],
    align=True,
)
