"""How each kind of cell is written: its equations, as in `speechlstm.study.cells`, and the look of each part.

Pages and pictures take these from here, so that a gate looks the same everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

from speechlstm.study.cells import Gates, GRUGates, LSTMGates


@dataclass(frozen=True, slots=True)
class Part:
    """A gate or a value of a cell."""

    symbol: str  # in the equations
    title: str  # its name
    meaning: str
    ink: str  # its color, by its name in the palette
    mark: str = "circle"  # in scatter plots of gates: circle, square or triangle
    note: str = ""  # on its heat map
    dashes: tuple[int, int] | None = None  # lengths of dashes and gaps


@dataclass(frozen=True, slots=True)
class Notation:
    """A kind of cell."""

    name: str
    parts: dict[str, Part]  # by the names of `speechlstm.study.cells`, in the order of the equations
    equations: list[tuple[str, str]]  # (part, equation)
    remark: str  # what they mean for memory, with the source


_ORDER = "units sorted from fast forgetting (bottom) to long memory (top)"

LSTM = Notation(
    "LSTM",
    {
        "forget": Part("f", "Forget gate", "the share of the memory that is kept", "blue", note=_ORDER),
        "input": Part("i", "Input gate", "the share of the candidate that is written", "orange", "square"),
        "candidate": Part("g", "Candidate", "the value that could be written", "purple"),
        "cell": Part("c", "Cell state", "the memory", "ink", note="colors end at ±3, where tanh(c) is flat"),
        "output": Part("o", "Output gate", "the share of the memory that is output", "green", "triangle"),
        "hidden": Part("h", "Hidden state", "the output, to the next step and layer", "quiet", dashes=(4, 2)),
    },
    [
        ("forget", "fₜ = σ(W_f xₜ + U_f hₜ₋₁ + b_f)"),
        ("input", "iₜ = σ(W_i xₜ + U_i hₜ₋₁ + b_i)"),
        ("candidate", "gₜ = tanh(W_g xₜ + U_g hₜ₋₁ + b_g)"),
        ("cell", "cₜ = fₜ · cₜ₋₁ + iₜ · gₜ"),
        ("output", "oₜ = σ(W_o xₜ + U_o hₜ₋₁ + b_o)"),
        ("hidden", "hₜ = oₜ · tanh(cₜ)"),
    ],
    "Where f is 1 and i is 0, the memory does not change, nor does the gradient on its way back (Hochreiter and "
    "Schmidhuber 1997, Gers et al. 2000). The backward direction runs from the end: there, t − 1 is the frame after t.",
)
GRU = Notation(
    "GRU",
    {
        "reset": Part(
            "r", "Reset gate", "the share of the state that the candidate sees", "orange", "square"
        ),
        "update": Part("z", "Update gate", "the share of the state that is kept", "blue", note=_ORDER),
        "candidate": Part("n", "Candidate", "the value that replaces what is not kept", "purple"),
        "hidden": Part("h", "Hidden state", "the memory, all of which is output", "ink"),
    },
    [
        ("reset", "rₜ = σ(W_r xₜ + U_r hₜ₋₁ + b_r)"),
        ("update", "zₜ = σ(W_z xₜ + U_z hₜ₋₁ + b_z)"),
        ("candidate", "nₜ = tanh(W_n xₜ + b_n + rₜ · (U_n hₜ₋₁ + d_n))"),
        ("hidden", "hₜ = (1 − zₜ) · nₜ + zₜ · hₜ₋₁"),
    ],
    "Where z is 1, the state does not change (Cho et al. 2014, in the variant of cuDNN and PyTorch).",
)
RNN = Notation(
    "plain RNN",
    {"hidden": Part("h", "Hidden state", "the memory, all of which is output", "ink")},
    [("hidden", "hₜ = tanh(W xₜ + U hₜ₋₁ + b)")],
    "There are no gates: the memory is multiplied by U in each step (Elman 1990).",
)


def notation(gates: Gates) -> Notation:
    """Return how the cell that computed some gates is written."""
    return LSTM if isinstance(gates, LSTMGates) else GRU if isinstance(gates, GRUGates) else RNN
