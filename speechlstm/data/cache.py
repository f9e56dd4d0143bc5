"""Where what can be computed again is kept."""

from __future__ import annotations

import os
from pathlib import Path


def user_cache() -> Path:
    """Return the folder: `SPEECHLSTM_CACHE`, else `speechlstm` in `XDG_CACHE_HOME`, else in `~/.cache`."""
    if own := os.environ.get("SPEECHLSTM_CACHE"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "speechlstm"
