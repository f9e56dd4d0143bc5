"""How each kind of cell is written: its equations, as in `speechlstm.study.cells`, and the look of each part.

Pages and pictures take these from `page/notation.json`, so that a gate looks the same everywhere.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from speechlstm.study.cells import Gates

_FILE = Path(__file__).parent / "page" / "notation.json"


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


def notation(gates: Gates) -> Notation:
    """Return how the cell that computed some gates is written."""
    known = json.loads(_FILE.read_text(encoding="utf-8"))[type(gates).__name__]
    return Notation(**known | {"parts": {name: Part(**part) for name, part in known["parts"].items()}})
