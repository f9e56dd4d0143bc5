"""Features to log-probabilities: subsampling, a stack of layers, log-softmax.

`Encoder` is the stacked bidirectional recurrent network, the baseline. The others differ only in their layers. With all
of them, an utterance gives the same result alone and in any batch. The settings are explained in `conf/encoder/`.
"""

from speechlstm.model.encoder.chunked import ChunkedEncoder
from speechlstm.model.encoder.conformer import ConformerEncoder
from speechlstm.model.encoder.lookahead import LookaheadEncoder
from speechlstm.model.encoder.recurrent import Encoder, RecurrentLayer, reversal, take, weights_follow
from speechlstm.model.encoder.stack import Stack

__all__ = [
    "ChunkedEncoder",
    "ConformerEncoder",
    "Encoder",
    "LookaheadEncoder",
    "RecurrentLayer",
    "Stack",
    "reversal",
    "take",
    "weights_follow",
]
