"""Recurrent layers as operators of ONNX, over `(frames, batch, width)`, as these take them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from speechlstm.model.encoder import RecurrentLayer
from speechlstm.model.export.graph import Graph

# For each cell its operator, the order of its gates there by their place in PyTorch, and what else must be known.
_CELLS: dict[str, tuple[str, tuple[int, ...], dict[str, int]]] = {
    "lstm": ("LSTM", (0, 3, 1, 2), {}),  # input, output, forget, candidate
    "gru": ("GRU", (1, 0, 2), {"linear_before_reset": 1}),  # update, reset, candidate
    "rnn": ("RNN", (0,), {}),
}


def norm(graph: Graph, layer: nn.Module, x: str) -> str:
    """Add a layer normalization, or nothing where there is none."""
    if not isinstance(layer, nn.LayerNorm):
        return x
    return graph("LayerNormalization", x, layer.weight, layer.bias, epsilon=layer.eps)


def weights(layer: RecurrentLayer, suffix: str) -> list[Tensor]:
    """Return the weights of one direction as its operator takes them: of the input, of the state, biases."""
    order = _CELLS[layer.cell][1]

    def ordered(weight: Tensor) -> Tensor:
        gates = torch.split(weight.detach(), layer.rnn.hidden_size)
        return torch.cat([gates[place] for place in order])

    entering, recurrent, *biases = map(ordered, layer.weights(suffix))
    return [entering[None], recurrent[None], torch.cat(biases)[None]]


def add_states(
    graph: Graph, layer: RecurrentLayer, suffix: str, x: str, steps: str = "", first: list[str] | None = None
) -> list[str]:
    """Add one direction of a layer, `""` or `"_reverse"`, to `(frames, batch, width)`.

    The backward direction is reversed within `steps`, `(batch,)` int32 lengths of at least 1; `first` are the states
    `(1, batch, hidden_size)` to begin with.

    Returns:
        hidden states `(frames, batch, hidden_size)`, and the last ones `(1, batch, hidden_size)`.
    """
    operator, _, options = _CELLS[layer.cell]
    given: list[Any] = [x, *weights(layer, suffix), steps, *(first or [])]
    outputs = 3 if layer.cell == "lstm" else 2
    attributes = {"hidden_size": layer.rnn.hidden_size, "direction": "reverse" if suffix else "forward"}
    states, *last = graph.several(operator, outputs, *given, **attributes, **options)
    return [graph("Squeeze", states, [1]), *last]


def finish_layer(graph: Graph, layer: RecurrentLayer, x: str, states: list[str]) -> str:
    """Add what follows the hidden states of all directions: projection and residual path."""
    change = graph("Concat", *states, axis=2) if len(states) > 1 else states[0]
    if isinstance(layer.project, nn.Linear):
        change = graph.linear(change, layer.project.weight, layer.project.bias)
    return graph("Add", x, change) if layer.residual else change
