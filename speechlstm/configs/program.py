"""Runs a command's function as a program: config in, exit status out."""

from __future__ import annotations

import contextlib
import functools
import math
import os
import re
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from speechlstm.configs import arguments, files, folders, unused
from speechlstm.configs.composing import check_fit, composed, register_plugins, task_overrides
from speechlstm.configs.help import read
from speechlstm.configs.limits import accepts, limits
from speechlstm.configs.mistakes import explain
from speechlstm.configs.urls import refuse_urls
from speechlstm.data.console import Output, data_on_stdout, note_failures, status_without_reader, stopped
from speechlstm.data.files import folder_path, is_stdout
from speechlstm.data.lines import MOST_DIGITS
from speechlstm.data.names import expanded
from speechlstm.types import SOME_FAILED, SpeechlstmError, UsageError

Task = Callable[[DictConfig], int | float | None]

_FILES = ("out", "report", "plot")  # settings that name a file for the result
_WRITTEN = ("out", "report", "plot", "cache", "trainer")  # settings that name what a command writes
_EXPLAINED = (SpeechlstmError, HydraException, OmegaConfBaseException, OSError, ValueError)
_files: list[str] = []  # plain names on the command line


def inputs(cfg: DictConfig) -> list[str]:
    """Return the files and folders that a command is given, by their plain names or as `inputs=[...]`."""
    given = _files or [str(name) for name in cfg.inputs]
    if any(
        not name.strip() for name in given
    ):  # the current folder, as `Path("")` would have it, is not meant
        raise UsageError("one of the files is '', an empty name; was a variable of the shell not set?")
    return given


def reads(cfg: DictConfig) -> list[str]:
    """Return every text in a command's settings that may name a file which it reads, and the files of a bundle."""
    container = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(container, dict)
    found = _texts([value for key, value in container.items() if key not in _WRITTEN])
    if (bundle := container.get("bundle")) and Path(str(bundle)).is_dir():
        found += map(str, Path(str(bundle)).iterdir())
    return found


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    values = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for each in values for text in _texts(each)]


def arguments_again() -> list[str]:
    """Return the settings and files of the command line, or of this job of a sweep, for another process."""
    return [*task_overrides(), *(["--", *_files] if _files else [])]


def main(config_name: str) -> Callable[[Task], Callable[[], None]]:
    """Make a command's function into a program: config in, exit status out.

    The function gets the composed config and returns the exit status (None means 0), or, as a float, the objective
    that a sweep is to make small. Errors of the package are printed as one line; `debug=true` on the command line
    shows the traceback too. A job of a sweep that fails does not end the others; the exit status is 3 then.
    """

    def decorate(task: Task) -> Callable[[], None]:
        failed: list[bool] = []  # of each job of a sweep in this process

        @functools.wraps(task)
        def wrapped(cfg: DictConfig) -> float:
            status: int | float
            try:
                check_fit(cfg, config_name, HydraConfig.get().runtime.choices, task_overrides())
                _check_files(cfg, config_name)
                with _streams(cfg):
                    status = task(cfg) or 0
            except BrokenPipeError:  # the reader of the output, such as `head`, has seen enough
                status = status_without_reader()
            except (SpeechlstmError, OmegaConfBaseException, OSError) as error:
                if cfg.get("debug") is True:
                    raise
                status = _report(error, config_name)
            except Exception as error:
                if stopped():  # by a signal, of which code in C has made another error
                    raise KeyboardInterrupt from error
                if HydraConfig.get().mode is not RunMode.MULTIRUN:
                    raise
                traceback.print_exc()  # a fault of this package, of which other jobs may be free
                status = 1
            if HydraConfig.get().mode is RunMode.MULTIRUN:
                failed.append(isinstance(status, int) and status != 0)
                return math.nan if failed[-1] else status
            if isinstance(status, int) and status:
                sys.exit(status)
            return status

        @functools.wraps(task)
        def program() -> None:
            register_plugins()
            os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come back here, to be explained
            try:
                _read_command_line(config_name)
                _run(config_name, wrapped)
                if any(failed):
                    sys.exit(1 if all(failed) else SOME_FAILED)
            except _EXPLAINED as error:
                if "debug=true" in sys.argv or not _is_explained(error):
                    raise
                sys.exit(_report(error, config_name))
            except KeyboardInterrupt:
                sys.exit(stopped() or 130)
            finally:
                unused.take_back()

        return program

    return decorate


def check(config_name: str) -> None:
    """Report settings that cannot be composed, and end the program, before a command's packages are imported.

    Those take seconds. That a command has settings of its own by their names is seen without composing anything.
    """
    given = sys.argv[1:]
    if "debug=true" in given or any(each.startswith(("-", "hydra.")) for each in given):
        return
    try:
        _read_command_line(config_name)
        known = read(folders.CONF / f"{config_name}.yaml").settings
        if not all(each.partition("=")[0] in known for each in sys.argv[1:]):
            composed(config_name, sys.argv[1:])
    except _EXPLAINED as error:
        if _is_explained(error):
            sys.exit(_report(error, config_name))
    finally:
        sys.argv[1:], _files[:] = given, []


def _run(config_name: str, task: Callable[[DictConfig], float]) -> None:
    """Run a function with the config that the command line asks for, as `hydra.main` does.

    That composes the config once more beforehand, only to see whether a setting asks for a sweep.
    """
    if any(given.startswith(("-", "hydra.mode")) for given in sys.argv[1:]):
        hydra.main(version_base="1.3", config_path=str(folders.CONF), config_name=config_name)(task)()
        return
    with hydra.initialize_config_dir(str(folders.CONF), config_name, version_base="1.3"):
        running = GlobalHydra.instance().hydra
        assert running is not None
        running.run(config_name, task, [*sys.argv[1:], "hydra.mode=RUN"])


def _read_command_line(config_name: str) -> None:
    """Leave in `sys.argv` what Hydra reads, and see that there is what it names."""
    for given in sys.argv[1:]:  # which Python would refuse in words of its own
        if digits := re.search(rf"\d{{{MOST_DIGITS + 1},}}", given):
            raise UsageError(
                f"{given[:40]}...: a number of {len(digits[0])} digits, but at most {MOST_DIGITS} can be read"
            )
    file = read(folders.CONF / f"{config_name}.yaml")
    texts = [key for key, limit in limits(file).items() if accepts("text", limit)]
    files.check(sys.argv[1:])
    sys.argv[1:], _files[:] = arguments.split(sys.argv[1:], "inputs" in file.settings, texts)


def _streams(cfg: DictConfig) -> contextlib.AbstractContextManager[None]:
    """Keep messages off a standard output that takes data; say whether the command is in vain without it."""
    note_failures(False)
    files = [cfg.get(key) for key in _FILES if cfg.get(key)]
    data = any(map(is_stdout, files))
    if isinstance(sys.stdout, Output):
        sys.stdout.needed = data or not files
    return data_on_stdout() if data else contextlib.nullcontext()


def _check_files(cfg: DictConfig, config_name: str) -> None:
    """See that files are local where they must be, and that no result takes the place of another."""
    refuse_urls(cfg, config_name, _files)
    keys: dict[str, str] = {}
    for key in _FILES:
        if (value := cfg.get(key)) is not None:
            path = "-" if is_stdout(value) else os.path.realpath(expanded(value))
            other = keys.setdefault(path, key)
            if other != key:
                raise UsageError(f"{other} and {key} are the same file, {value}: give each a name of its own")


def _is_explained(error: Exception) -> bool:
    """Return whether an error of Hydra's start is the user's; other ValueErrors are faults of this package."""
    unwritable_log = isinstance(error.__cause__, OSError)
    of_hydra = ("Config group override must be", "The --resolve flag", "Only one of --run")
    others = isinstance(error, ValueError) and not isinstance(error, OmegaConfBaseException)  # some are both
    return not others or unwritable_log or str(error).startswith(of_hydra)


def _report(error: Exception, config_name: str) -> int:
    """Print an error as one line and return the exit status it means."""
    if isinstance(error, ValueError) and isinstance(error.__cause__, OSError):
        error = error.__cause__
    if isinstance(error, SpeechlstmError):
        status, message = error.exit_status, str(error)
    elif isinstance(error, OSError) and not isinstance(error, HydraException):  # a missing option is both
        name = (
            error.filename.decode(errors="replace") if isinstance(error.filename, bytes) else error.filename
        )
        if isinstance(error, FileExistsError | NotADirectoryError):  # Hydra makes the folder of a run
            try:
                folder_path(str(name))
            except UsageError as file:
                return _report(file, config_name)
        where = f"{name}: " if name else ""
        ours = Path(str(name)).name in unused.HYDRAS
        instead = "; make room for it, or choose another out=" if ours else ""
        status, message = 1, f"{where}{error.strerror or error}{instead}"
    else:
        status, message = UsageError.exit_status, explain(error, config_name, sys.argv[1:], composed)
    print(f"error: {message}", file=sys.stderr)
    return status
