"""Features to log-probabilities: subsampling, a stack of layers, log-softmax.

`Encoder` is the stacked bidirectional recurrent network that the rest is measured against. Its siblings differ in
the layers alone, and all keep the same promise: an utterance gives the same result alone and in any batch.
"""

from speechlstm.encoder.chunked import ChunkedEncoder
from speechlstm.encoder.conformer import ConformerEncoder
from speechlstm.encoder.lookahead import LookaheadEncoder
from speechlstm.encoder.recurrent import Encoder, RecurrentLayer, reversal, take
from speechlstm.encoder.stack import Stack

__all__ = [
    "ChunkedEncoder",
    "ConformerEncoder",
    "Encoder",
    "LookaheadEncoder",
    "RecurrentLayer",
    "Stack",
    "reversal",
    "take",
]
