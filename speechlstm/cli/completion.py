"""Print the script by which bash, zsh or fish complete commands, settings and files on TAB."""

from __future__ import annotations

import sys

from speechlstm.configs.completion import SCRIPTS


def main() -> None:
    """Print the script of the shell that the only argument names. Exit status 2 for any other."""
    if len(sys.argv) != 2 or sys.argv[1] not in SCRIPTS:
        print(f"error: name the shell, as in: speechlstm completion {'|'.join(SCRIPTS)}", file=sys.stderr)
        sys.exit(2)
    print(SCRIPTS[sys.argv[1]], end="")


if __name__ == "__main__":
    main()
