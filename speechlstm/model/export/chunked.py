"""Layers over chunks as operators of ONNX: a scan carries the state of the forward direction from chunk to chunk."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper

from speechlstm.model.encoder import ChunkedEncoder, RecurrentLayer
from speechlstm.model.export.graph import Graph
from speechlstm.model.export.recurrent import add_states, finish_layer, norm


def add_chunked_layers(graph: Graph, encoder: ChunkedEncoder, x: str, lengths: str) -> str:
    """Add what the layers of a `ChunkedEncoder` do to `(batch, frames, width)`.

    Between them a frame is in the row of its window: `(frames of a window, batch * chunks, width)`.
    """
    size, window = encoder.chunk_size, encoder.chunk_size + encoder.lookahead
    frames, width = graph.size(x, 1), encoder.output.in_features
    chunks = graph("Div", graph("Add", frames, size - 1), size)
    whole = graph("Add", graph("Mul", chunks, size), encoder.lookahead)
    missing = graph("Unsqueeze", graph("Sub", whole, frames), [0])
    x = graph("Pad", x, graph("Concat", [0, 0, 0, 0], missing, [0], axis=0))
    starts = graph("Mul", graph("Range", 0, chunks, 1), size)
    rows = graph("Add", graph("Unsqueeze", starts, [0]), np.arange(window)[:, None])
    # batch x frames of a window x chunks x width -> frames of a window x (batch * chunks) x width
    x = graph("Transpose", graph("Gather", x, rows, axis=1), perm=[1, 0, 2, 3])
    shape = graph("Shape", x)
    x = graph("Reshape", x, [window, -1, width])
    inside = graph("Sub", graph("Unsqueeze", lengths, [1]), starts)
    steps = graph.cast(graph("Reshape", graph("Max", graph("Min", inside, window), 1), [-1]), np.int32)
    for layer in encoder.layers:
        assert isinstance(layer, RecurrentLayer)
        normed = norm(graph, layer.norm, x)
        forward = _forward(graph, layer, normed, shape, size, window)
        backward = add_states(graph, layer, "_reverse", normed, steps)[0]
        x = finish_layer(graph, layer, x, [forward, backward])
    x = graph("Transpose", _sliced(graph, graph("Reshape", x, shape), 0, size), perm=[1, 2, 0, 3])
    x = graph("Reshape", x, [0, -1, width])
    return graph("Slice", x, [0], graph("Unsqueeze", frames, [0]), [1])


def _forward(graph: Graph, layer: RecurrentLayer, x: str, shape: str, size: int, window: int) -> str:
    """Add the forward direction: it starts a chunk in the state at the end of the chunk before."""
    units = layer.rnn.hidden_size
    apart = graph("Reshape", x, shape)
    chunks = graph("Transpose", _sliced(graph, apart, 0, size), perm=[2, 0, 1, 3])
    batch = graph("Slice", shape, [1], [2])
    count = 2 if layer.cell == "lstm" else 1
    zeros = graph("ConstantOfShape", graph("Concat", [1], batch, [units], axis=0))
    body = _chunk(graph, layer, count)
    scanned = graph.several("Scan", 2 * count + 1, *[zeros] * count, chunks, body=body, num_scan_inputs=1)
    own, *ends = scanned[count:]
    # chunks x frames x batch x units -> frames x (batch * chunks) x units
    states = graph("Reshape", graph("Transpose", own, perm=[1, 2, 0, 3]), [size, -1, units])
    if window == size:
        return states
    # chunks x 1 x batch x units -> 1 x (batch * chunks) x units
    first = [graph("Reshape", graph("Transpose", end, perm=[1, 2, 0, 3]), [1, -1, units]) for end in ends]
    ahead = add_states(graph, layer, "", _sliced(graph, x, size, window), first=first)[0]
    return graph("Concat", states, ahead, axis=0)


def _chunk(graph: Graph, layer: RecurrentLayer, count: int) -> onnx.GraphProto:
    """Return what is done to each chunk: states and `(frames, batch, width)` to states, hidden states, states."""
    body = Graph()
    body.scope = f"{graph.scope}/{graph.number()}/chunk"

    def named(name: str) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(f"{body.scope}/{name}", TensorProto.FLOAT, None)

    inputs = [named(f"state_{number}") for number in range(count)] + [named("frames")]
    hidden, *last = add_states(body, layer, "", inputs[-1].name, first=[each.name for each in inputs[:-1]])
    outputs = [(value, named(f"next_{number}")) for number, value in enumerate(last)]
    outputs += [(hidden, named("hidden"))]
    outputs += [(value, named(f"end_{number}")) for number, value in enumerate(last)]
    return body.finish("chunk", inputs, outputs)


def _sliced(graph: Graph, x: str, start: int, end: int) -> str:
    return graph("Slice", x, [start], [end], [0])
