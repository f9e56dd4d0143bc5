"""What all charts and pictures in PNG share: a style and the palette of the pages.

matplotlib is an extra and slow to import: only those that draw import it, and never pyplot, which may want a window.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING

from speechlstm.evaluation.pages.palette import SERIES, light
from speechlstm.types import SpeechlstmError

if TYPE_CHECKING:
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure


def can_draw() -> bool:
    """Return whether matplotlib is installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return False
    return True


def check_plots(otherwise: str = "") -> None:
    """Make sure that matplotlib is installed.

    Raises:
        SpeechlstmError: it is not.
    """
    if not can_draw():
        raise SpeechlstmError(f"charts need matplotlib: pip install 'speechlstm[plots]'{otherwise}")


@contextlib.contextmanager
def figure(width: float, height: float, dpi: int = 150) -> Iterator[Figure]:
    """Give a figure, in inches; its axes must be made within the context to have the style."""
    import matplotlib
    from cycler import cycler
    from matplotlib.figure import Figure

    with matplotlib.rc_context(
        {
            "font.size": 9,
            "text.color": light("ink"),
            "axes.labelcolor": light("ink"),
            "axes.edgecolor": light("quiet"),
            "xtick.color": light("quiet"),
            "ytick.color": light("quiet"),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.axisbelow": True,
            "axes.titlesize": 10,
            "axes.titlelocation": "left",
            "axes.prop_cycle": cycler(color=[light(name) for name in SERIES]),
            "grid.color": light("grid"),
            "legend.frameon": False,
            "legend.fontsize": 8,
        }
    ):
        yield Figure(figsize=(width, height), dpi=dpi, layout="constrained")


def colormap(name: str) -> Colormap:
    """Return the colors of a heat map as in the pages: of `"share"`, `"signed"` or `"loud"` values."""
    from matplotlib import colormaps
    from matplotlib.colors import LinearSegmentedColormap

    if name == "share":
        return colormaps["viridis"]
    anchors = {"signed": ("low", "middle", "high"), "loud": ("weak", "strong")}[name]
    return LinearSegmentedColormap.from_list(name, [light(anchor) for anchor in anchors])


def to_png(figure: Figure) -> bytes:
    """Return a figure as the content of a PNG file."""
    content = io.BytesIO()
    figure.savefig(content, format="png")
    return content.getvalue()
