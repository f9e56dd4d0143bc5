"""The console command: `speechlstm COMMAND ...` hands over to `speechlstm/cli/COMMAND.py`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from speechlstm.data import console

_FOLDER = Path(__file__).parent
_NO_COMMANDS = ("__init__", "main", "devices")
_OWN_WORDS = ("completion", "plugins")  # these take more than settings and files
_GROUPS = {  # what people come to do
    "transcribe recordings": ("transcribe", "live", "serve", "align", "verify", "export"),
    "train a recognizer": ("prepare", "validate", "listen", "train"),
    "measure and decode": ("evaluate", "lm", "lexicon", "tune", "plugins", "models"),
    "understand the networks": ("inspect", "compare"),
}
_HYDRA_FLAGS = {
    "--hydra-help", "--cfg", "--resolve", "--package", "--run", "--multirun", "--config-path", "--config-name",
    "--config-dir", "--info", "-c", "-p", "-r", "-m", "-cp", "-cn", "-cd", "-i",
}  # fmt: skip
_HABITS = {  # what other programs call our settings
    "o": "out", "output": "out", "output_dir": "out", "output_file": "out", "outdir": "out",
    "f": "format", "output_format": "format", "model": "bundle", "model_path": "bundle", "checkpoint": "init_from",
    "device": "trainer", "gpus": "trainer.devices", "epochs": "trainer.max_epochs", "fp16": "trainer.precision",
    "lr": "optimizer.lr", "learning_rate": "optimizer.lr", "beam_size": "decoder=beam decoder.beam_size",
    "workers": "data.num_workers", "num_workers": "data.num_workers", "j": "threads", "jobs": "threads", "v": "verbose",
}  # fmt: skip


def commands() -> list[str]:
    """Return the names of all commands, those of one purpose together."""
    found = {path.stem for path in _FOLDER.glob("*.py")}.difference(_NO_COMMANDS)
    ordered = [name for group in _GROUPS.values() for name in group if name in found]
    return ordered + sorted(found.difference(ordered))


def summary(command: str) -> str:
    """Return the first line of a command's docstring, without importing its module."""
    with (_FOLDER / f"{command}.py").open(encoding="utf-8") as file:
        return file.readline().strip().strip('"')


def main() -> None:
    """Run the command that the first argument names. Exit status 2 when there is no such command."""
    console.end_with_parent()
    console.leave_at_once()  # until a command runs there is nothing to put in order
    console.open_streams()
    try:
        _run(*(sys.argv[1:] or ["--help"]))
    except BrokenPipeError:  # the reader of the output, such as `head`, has seen enough
        console.end(console.status_without_reader())
    except SystemExit as leaving:
        console.end(leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None))
    except BaseException:
        if not console.stopped():
            raise
    console.end(0)


def _run(name: str, *arguments: str) -> None:
    flags = arguments[: arguments.index("--")] if "--" in arguments else arguments
    if name in ("-h", "--help", "help"):
        print(_overview())
        return
    if name in ("-V", "--version") or ("--version" in flags and name != "--complete"):
        from speechlstm.types import __version__

        print(f"speechlstm {__version__}")
        return
    from speechlstm.model.registry import nearest, pass_over_broken_packages  # here an interrupt is silent

    pass_over_broken_packages()
    if name == "--complete":
        from speechlstm.configs.completion import complete

        print("\n".join(complete(arguments[0], arguments[1], commands())))
    elif name not in commands():
        _fail(f"no command {name!r}{nearest(name, commands())}; there are: {', '.join(commands())}")
    elif ("--help" in flags or "-h" in flags) and name != "completion":
        from speechlstm.configs.help import command_help

        print(command_help(name, summary(name), flags))
    else:
        if name != "completion":  # it has no settings
            _refuse_options(name, flags)
        sys.argv = [name, *arguments]
        _silence_lightning()
        module = _load(name)
        console.take_signals()
        module.main()


def _load(name: str) -> ModuleType:
    """Import a command with the packages that it needs, which fails where memory is short or no folder is there."""
    try:
        Path.cwd()  # PyTorch would end the program in words of its own
    except OSError as error:
        _fail(f"the current folder is not there ({error.strerror}); change to another one", 1)
    if name not in _OWN_WORDS:
        from speechlstm.configs.program import check  # after `--help`, which needs no Hydra

        check(name)
    try:
        return importlib.import_module(f"speechlstm.cli.{name}")
    except (ImportError, OSError, MemoryError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        _fail(f"a package cannot be loaded ({reason}); a limit of memory (ulimit -v) may be too low", 1)


def _overview() -> str:
    lines = ["usage: speechlstm COMMAND [FILE ...] [KEY=VALUE ...]"]
    shown: set[str] = set()
    for purpose, names in {**_GROUPS, "more": tuple(commands())}.items():
        there = [name for name in names if name in commands() and name not in shown]
        shown.update(there)
        if there:
            lines += ["", f"{purpose}:", *(f"  {name:<12} {summary(name)}" for name in there)]
    return "\n".join([*lines, "", "speechlstm COMMAND --help shows a command's settings, with examples."])


def _refuse_options(command: str, arguments: Sequence[str]) -> None:
    """Answer options in the style of other programs, such as `--format srt`, with how it is written here."""
    for argument, following in zip(arguments, [*arguments[1:], "VALUE"], strict=False):
        flag, equals, value = argument.partition("=")
        if not flag.startswith("-") or flag in _HYDRA_FLAGS or flag == "-" or Path(argument).exists():
            continue
        import difflib  # needed for mistakes only

        from speechlstm.configs.help import command_keys

        known = command_keys(command)
        key = flag.lstrip("-").replace("-", "_")
        habit = _HABITS.get(key, key)
        close = next((each for each in (key, habit, f"data.{habit}") if each.split()[-1] in known), None)
        if close := close or next(iter(difflib.get_close_matches(key, known, n=1)), None):
            switch = known[close.split()[-1]] in ("true", "false")
            _fail(f"no option {flag!r}: write {close}={value if equals else 'true' if switch else following}")
        _fail(
            f"no option {flag!r}: settings are written KEY=VALUE, and speechlstm {command} --help shows them"
        )


def _fail(message: str, status: int = 2) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(status)


def _silence_lightning() -> None:
    """Silence messages of Lightning that no user can act on: an advertisement, and a warning about its own code."""
    import logging
    import warnings

    rank_zero = logging.getLogger("pytorch_lightning.utilities.rank_zero")
    rank_zero.addFilter(lambda record: "litlogger" not in record.getMessage())
    warnings.filterwarnings("ignore", r".isinstance\(treespec, LeafSpec\). is deprecated")
