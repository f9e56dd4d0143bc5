"""Names of files and folders as people write them."""

from __future__ import annotations

import os
from pathlib import Path


def expanded(name: object) -> Path:
    """Return the path that a name means: `~` at its beginning is the user's home, and `~NAME` that of another user.

    Where there is no such home the name means itself, as in a shell.
    """
    path = Path(name if isinstance(name, os.PathLike) else str(name))
    try:
        return path.expanduser()
    except RuntimeError:
        return path
