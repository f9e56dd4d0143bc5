"""An ONNX graph as it grows, operator by operator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from torch import Tensor

from speechlstm.types import UsageError

OPSET = 17  # the first with layer normalization; all runtimes of the last years have it
IR_VERSION = 9

Value = str | Tensor | NDArray[Any] | list[int] | int | float


def check_kind(stage: str, part: object, kinds: Sequence[type]) -> None:
    """Raise a UsageError for a part that is not exactly of one of the kinds that can be exported."""
    if type(part) not in kinds:
        known = ", ".join(kind.__name__ for kind in kinds)
        raise UsageError(
            f"{stage} {type(part).__name__} cannot be exported to ONNX; those that can be are: {known}"
        )


class Graph:
    """Operators and constants, each under a name of its own.

    Attributes:
        scope: what the names of the next operators begin with.
    """

    def __init__(self) -> None:
        self.scope = ""
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def __call__(self, operator: str, *inputs: Value, **attributes: Any) -> str:
        """Add an operator by its ONNX name, with one output, and return the name of that.

        Inputs are names of values, or constants: whole numbers become int64, others float32; `""` is left out.
        """
        return self.several(operator, 1, *inputs, **attributes)[0]

    def several(self, operator: str, outputs: int, *inputs: Value, **attributes: Any) -> list[str]:
        """Add an operator with several outputs and return their names; the rest is as in a call."""
        name = f"{self.scope}/{operator}_{self.number()}"
        made = [f"{name}:{number}" for number in range(outputs)]
        given = [value if isinstance(value, str) else self.constant(value) for value in inputs]
        self._nodes.append(helper.make_node(operator, given, made, name, **attributes))
        return made

    def number(self) -> int:
        """Return the number of the next operator."""
        return len(self._nodes)

    def constant(self, value: Tensor | NDArray[Any] | list[int] | int | float, name: str = "") -> str:
        """Add a constant and return its name."""
        name = name or f"{self.scope}/constant_{len(self._constants)}"
        array = value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
        if array.dtype == np.float64:
            array = array.astype(np.float32)
        self._constants.append(numpy_helper.from_array(np.asarray(array, order="C"), name))
        return name

    def cast(self, value: str, dtype: type[Any]) -> str:
        """Return a value in another type of numbers."""
        return self("Cast", value, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def size(self, value: str, axis: int) -> str:
        """Return the size of one axis, a scalar."""
        return self("Gather", self("Shape", value), axis)

    def within(self, lengths: str, size: str) -> str:
        """Return `(batch, size)`: true before the end of each utterance."""
        return self("Less", self("Range", 0, size, 1), self("Unsqueeze", lengths, [1]))

    def total(self, value: str, axes: list[int]) -> str:
        """Return the sum over axes, which stay with size 1."""
        return self("ReduceSum", value, axes, keepdims=1)

    def linear(self, x: str, weight: Tensor, bias: Tensor) -> str:
        """Return `x @ weight.T + bias`."""
        return self("Add", self("MatMul", x, weight.detach().T), bias)

    def finish(
        self, name: str, inputs: list[onnx.ValueInfoProto], outputs: list[tuple[str, onnx.ValueInfoProto]]
    ) -> onnx.GraphProto:
        """Return what has been added as ONNX's own graph; `outputs` are values, and as what they come out."""
        for value, info in outputs:
            self._nodes.append(helper.make_node("Identity", [value], [info.name]))
        return helper.make_graph(self._nodes, name, inputs, [info for _, info in outputs], self._constants)

    def model(
        self, name: str, inputs: list[onnx.ValueInfoProto], outputs: list[tuple[str, onnx.ValueInfoProto]]
    ) -> onnx.ModelProto:
        """Return the graph as a model; the arguments are those of `finish`."""
        graph = self.finish(name, inputs, outputs)
        opset = [helper.make_opsetid("", OPSET)]
        return helper.make_model(
            graph, opset_imports=opset, ir_version=IR_VERSION, producer_name="speechlstm"
        )
