"""Memory that was freed, and that the C library keeps."""

from __future__ import annotations

import ctypes
import sys


def give_back() -> None:
    """Give the memory that was freed back to the system, where the C library is glibc.

    It keeps what threads freed, in pieces of the sizes of batches that do not come again. A call takes some
    milliseconds. Done after each window, this keeps ten hours of speech below 1 GB, for 8 % more CPU; after each eighth
    it does not.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim:
        trim(0)
