"""Print a script that completes commands, settings, and files in bash, zsh, or fish."""

from __future__ import annotations

import sys

from speechlstm.configs.completion import SCRIPTS

_HELP = """usage: speechlstm completion bash|zsh|fish

Print the script by which a shell completes commands, settings and files on TAB.

to have it in every new shell:
  bash   speechlstm completion bash >> ~/.bashrc
  zsh    speechlstm completion zsh >> ~/.zshrc        (below the line with compinit)
  fish   speechlstm completion fish > ~/.config/fish/completions/speechlstm.fish"""


def main() -> None:
    """Print the script of the shell that the only argument names. Exit status 2 for any other."""
    if {"--help", "-h"}.intersection(sys.argv[1:]):
        print(_HELP)
    elif len(sys.argv) == 2 and sys.argv[1] in SCRIPTS:
        print(SCRIPTS[sys.argv[1]].read_text(encoding="utf-8"), end="")
    else:
        print(f"error: name the shell, as in: speechlstm completion {'|'.join(SCRIPTS)}", file=sys.stderr)
        sys.exit(2)
