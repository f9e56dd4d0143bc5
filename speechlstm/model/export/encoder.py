"""Features to log-probabilities, as operators of ONNX.

ONNX's recurrent operators take the lengths of the utterances, and reverse each within its own: both directions are one
operator, and padding has no influence. Between the layers frames come first, as the operators take them.
"""

from __future__ import annotations

import numpy as np
from torch import nn

from speechlstm.model.encoder import ChunkedEncoder, Encoder, LookaheadEncoder, RecurrentLayer
from speechlstm.model.encoder.lookahead import RowConvolution
from speechlstm.model.encoder.stack import Subsampling
from speechlstm.model.export.chunked import add_chunked_layers
from speechlstm.model.export.graph import Graph, check_kind
from speechlstm.model.export.recurrent import add_states, finish_layer, norm

KINDS = (Encoder, LookaheadEncoder, ChunkedEncoder)


def add_encoder(graph: Graph, encoder: nn.Module, features: str, lengths: str) -> tuple[str, str]:
    """Add what `Stack.forward` does in evaluation, and return log-probabilities and their lengths.

    Features are `(batch, frames, num_features)`, zero past each length, lengths `(batch,)` int64 frames.

    Raises:
        UsageError: the encoder is not among `KINDS`.
    """
    check_kind("encoder", encoder, KINDS)
    assert isinstance(encoder, Encoder)
    x, lengths = _subsampled(graph, encoder.subsample, features, lengths)
    within = graph("Unsqueeze", graph.within(lengths, graph.size(x, 1)), [2])
    if isinstance(encoder, ChunkedEncoder):
        x = add_chunked_layers(graph, encoder, x, lengths)
    else:
        x = _layers(graph, encoder, x, lengths, within)
    x = graph.linear(norm(graph, encoder.norm, x), encoder.output.weight, encoder.output.bias)
    x = graph("LogSoftmax", x, axis=-1)
    return graph("Where", within, x, 0.0), lengths


def _subsampled(graph: Graph, layer: Subsampling, x: str, lengths: str) -> tuple[str, str]:
    x = graph("Unsqueeze", x, [1])
    for conv, stride in zip((layer.conv1, layer.conv2), layer.strides, strict=True):
        if conv is layer.conv2:
            within = graph.within(lengths, graph.size(x, 2))
            x = graph("Mul", x, graph("Unsqueeze", graph.cast(within, np.float32), [1, 3]))
        assert conv.bias is not None
        x = graph("Relu", graph("Conv", x, conv.weight, conv.bias, strides=[stride, 2], pads=[1, 1, 1, 1]))
        lengths = graph("Div", graph("Add", lengths, stride - 1), stride)
    # batch x channels x frames x bands -> batch x frames x (channels * bands)
    x = graph("Reshape", graph("Transpose", x, perm=[0, 2, 1, 3]), [0, 0, -1])
    x = graph.linear(x, layer.linear.weight, layer.linear.bias)
    within = graph("Unsqueeze", graph.within(lengths, graph.size(x, 1)), [2])
    return graph("Where", within, x, 0.0), lengths


def _layers(graph: Graph, encoder: Encoder, x: str, lengths: str, within: str) -> str:
    """Add layers over whole utterances `(batch, frames, width)`."""
    x = graph("Transpose", x, perm=[1, 0, 2])
    steps = graph.cast(graph("Max", lengths, 1), np.int32)
    for layer in encoder.layers:
        if isinstance(layer, RowConvolution):
            x = _row_convolution(graph, layer, x, within)
            continue
        assert isinstance(layer, RecurrentLayer)
        normed = norm(graph, layer.norm, x)
        directions = ("", "_reverse") if layer.bidirectional else ("",)
        states = [add_states(graph, layer, each, normed, steps)[0] for each in directions]
        x = finish_layer(graph, layer, x, states)
    return graph("Transpose", x, perm=[1, 0, 2])


def _row_convolution(graph: Graph, layer: RowConvolution, x: str, within: str) -> str:
    normed = graph("Transpose", norm(graph, layer.norm, x), perm=[1, 0, 2])
    normed = graph("Transpose", graph("Where", within, normed, 0.0), perm=[0, 2, 1])
    width = layer.conv.in_channels
    change = graph("Conv", normed, layer.conv.weight, group=width, pads=[0, layer.lookahead])
    return graph("Add", x, graph("Transpose", change, perm=[2, 0, 1]))
