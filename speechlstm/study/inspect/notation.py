"""How each kind of cell is written: its equations, and the symbol, name and color of each of its parts.

Pages and pictures take these from here, so that a gate looks the same wherever it stands. The equations are those that
`speechlstm.study.cells` computes.
"""

from __future__ import annotations

from dataclasses import dataclass

from speechlstm.study.cells import Gates, GRUGates, LSTMGates


@dataclass(frozen=True, slots=True)
class Part:
    """A gate or a value of a cell.

    Attributes:
        symbol: in the equations.
        title: its name.
        meaning: what it is, to follow its name and a colon.
        ink: its color, by its name in the palette.
        mark: `"circle"`, `"square"` or `"triangle"`, in scatter plots of gates.
        note: on its heat map.
        dashes: lengths of dashes and gaps, where a line of this color already means something else.
    """

    symbol: str
    title: str
    meaning: str
    ink: str
    mark: str = "circle"
    note: str = ""
    dashes: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Notation:
    """A kind of cell.

    Attributes:
        name: of the kind.
        parts: by the names of `speechlstm.study.cells`, in the order of the equations.
        equations: `(part, equation)`, a line each.
        remark: what they mean for memory, with the source.
    """

    name: str
    parts: dict[str, Part]
    equations: list[tuple[str, str]]
    remark: str


_ORDER = "units from those that forget fast, below, to those that remember"

LSTM = Notation(
    "LSTM",
    {
        "forget": Part("f", "Forget gate", "the share of the memory that is kept", "blue", note=_ORDER),
        "input": Part("i", "Input gate", "the share of the candidate that is written", "orange", "square"),
        "candidate": Part("g", "Candidate", "the value that could be written", "purple"),
        "cell": Part("c", "Cell state", "the memory", "ink", note="colors end at ±3, where tanh(c) is flat"),
        "output": Part("o", "Output gate", "the share of the memory that is shown", "green", "triangle"),
        "hidden": Part(
            "h", "Hidden state", "what is shown: to the next step and layer", "quiet", dashes=(4, 2)
        ),
    },
    [
        ("forget", "fₜ = σ(W_f xₜ + U_f hₜ₋₁ + b_f)"),
        ("input", "iₜ = σ(W_i xₜ + U_i hₜ₋₁ + b_i)"),
        ("candidate", "gₜ = tanh(W_g xₜ + U_g hₜ₋₁ + b_g)"),
        ("cell", "cₜ = fₜ · cₜ₋₁ + iₜ · gₜ"),
        ("output", "oₜ = σ(W_o xₜ + U_o hₜ₋₁ + b_o)"),
        ("hidden", "hₜ = oₜ · tanh(cₜ)"),
    ],
    "Where f is 1 and i is 0 the memory stays as it is, and so does the gradient on its way back (Hochreiter and "
    "Schmidhuber 1997, Gers et al. 2000). The backward direction runs from the end: there t − 1 is the frame after t.",
)
GRU = Notation(
    "GRU",
    {
        "reset": Part(
            "r", "Reset gate", "the share of the state that the candidate sees", "orange", "square"
        ),
        "update": Part("z", "Update gate", "the share of the state that is kept", "blue", note=_ORDER),
        "candidate": Part("n", "Candidate", "the value that replaces what is not kept", "purple"),
        "hidden": Part("h", "Hidden state", "the memory, all of which is shown", "ink"),
    },
    [
        ("reset", "rₜ = σ(W_r xₜ + U_r hₜ₋₁ + b_r)"),
        ("update", "zₜ = σ(W_z xₜ + U_z hₜ₋₁ + b_z)"),
        ("candidate", "nₜ = tanh(W_n xₜ + b_n + rₜ · (U_n hₜ₋₁ + d_n))"),
        ("hidden", "hₜ = (1 − zₜ) · nₜ + zₜ · hₜ₋₁"),
    ],
    "Where z is 1 the state stays as it is (Cho et al. 2014, in the variant of cuDNN and PyTorch).",
)
RNN = Notation(
    "plain RNN",
    {"hidden": Part("h", "Hidden state", "the memory, all of which is shown", "ink")},
    [("hidden", "hₜ = tanh(W xₜ + U hₜ₋₁ + b)")],
    "There are no gates: what is remembered is multiplied by U in each step (Elman 1990).",
)


def notation(gates: Gates) -> Notation:
    """Return how the cell that computed some gates is written."""
    return LSTM if isinstance(gates, LSTMGates) else GRU if isinstance(gates, GRUGates) else RNN
