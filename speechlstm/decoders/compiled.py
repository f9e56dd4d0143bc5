"""Compilation with numba: an on-disk cache whose failure does no harm, and no reference counting in loops."""

from __future__ import annotations

import glob
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from numba import njit
from numba.core import cgutils, config
from numba.core.caching import FunctionCache
from numba.extending import intrinsic

from speechlstm.types import SpeechlstmError


def compiled(function: Callable[..., Any], **options: Any) -> Any:
    """Compile a function when it is first called, and keep the result for other processes.

    Where nothing can be kept (no home folder and a package that cannot be written, a full disk), and where what was
    kept is damaged, it is compiled anew; numba's own `cache=True` ends with an error there.
    """
    if getattr(config, "DISABLE_JIT", 0):  # numba sets it by name
        return _Refused(function)
    made: Any = njit(nogil=True, **options)(function)
    with suppress(RuntimeError):  # there is no folder that can be written
        made._cache = _Cache(function)  # what `enable_caching` does, with numba's own cache
    return made


class _Refused:
    """A function that is not compiled: it would fail, as Python knows no records with fields."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.py_func = function

    def __call__(self, *arguments: Any) -> Any:
        raise SpeechlstmError("NUMBA_DISABLE_JIT is set, but this takes compiled code: unset it")


class _Cache(FunctionCache):
    """The compiled versions of one function on disk."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the version for a signature; None if it is not there, or cannot be read."""
        try:
            folder, name = Path(self._cache_path), self._impl.filename_base
            # A pipe would be waited for.
            if not all(path.is_file() for path in folder.glob(f"{glob.escape(name)}*")):
                return None
            return super().load_overload(sig, target_context)
        except Exception:  # unpickling junk can raise anything
            with suppress(OSError):
                self.flush()  # an empty index: numba reads the old one again before it saves
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep a version, if it can be."""
        with suppress(Exception):
            super().save_overload(sig, data)

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        # Numba looks at the function's own file only, but a version holds the code of all that it calls.
        return (*super()._index_key(sig, codegen), _sources())


@cache
def _sources() -> tuple[tuple[str, int, int], ...]:
    """Return what tells one state of this package's compiled functions from another."""
    paths = sorted(Path(__file__).parent.rglob("*.py"))
    return tuple((path.name, (status := path.stat()).st_mtime_ns, status.st_size) for path in paths)


def _uncounted(typing_context: Any, array: Any) -> Any:
    """Return an array as a view whose references are not counted: for arguments, which live as long as the call."""

    def make(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        view = context.make_array(signature.return_type)(context, builder, args[0])
        view.meminfo = cgutils.get_null_value(view.meminfo.type)
        return view._getvalue()

    return array(array), make


uncounted: Any = intrinsic(_uncounted)
