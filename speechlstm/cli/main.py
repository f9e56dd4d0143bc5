"""The console command: `speechlstm COMMAND ...` hands over to `speechlstm/cli/COMMAND.py`."""

from __future__ import annotations

import ast
import difflib
import importlib
import logging
import os
import sys
import warnings
from pathlib import Path

_COMMANDS = Path(__file__).parent


def commands() -> dict[str, str]:
    """Return each command's name and the first line of its module's docstring, without importing any."""
    modules = sorted(
        path for path in _COMMANDS.glob("*.py") if path.stem not in ("__init__", "main", "devices")
    )
    summaries = (
        (path.stem, ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))) for path in modules
    )
    return {name: (summary or "").partition("\n")[0] for name, summary in summaries}


def main() -> None:
    """Run the command that the first argument names. Exit status 2 when there is no such command."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    known = commands()
    if name in ("-h", "--help", "help"):
        print("usage: speechlstm COMMAND [FILE ...] [KEY=VALUE ...]\n")
        print("\n".join(f"  {command:<12} {summary}" for command, summary in known.items()))
        print("\nspeechlstm COMMAND --help shows a command's settings.")
        return
    if name in ("-V", "--version"):
        from speechlstm import __version__

        print(f"speechlstm {__version__}")
        return
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        print(f"error: no command {name!r}{hint}; there are: {', '.join(known)}", file=sys.stderr)
        sys.exit(2)
    # Lightning starts further ranks by running `sys.argv` again, so it must name the command's own file.
    sys.argv = [str(_COMMANDS / f"{name}.py"), *sys.argv[2:]]
    # That file's folder must not be searched for modules: its inspect.py is not the standard library's.
    os.environ["PYTHONSAFEPATH"] = "1"
    sys.modules["__main__"].__spec__ = None
    _silence_lightning()
    importlib.import_module(f"speechlstm.cli.{name}").main()


def _silence_lightning() -> None:
    """Leave out what Lightning says to nobody here: an advertisement, and how it calls torch itself."""
    rank_zero = logging.getLogger("pytorch_lightning.utilities.rank_zero")
    rank_zero.addFilter(lambda record: "litlogger" not in record.getMessage())
    warnings.filterwarnings("ignore", r".isinstance\(treespec, LeafSpec\). is deprecated")


if __name__ == "__main__":
    main()
