"""The only calls into Hydra: `main` runs a command with its config, `build` makes what a node describes."""

from __future__ import annotations

import contextlib
import difflib
import functools
import math
import os
import re
import sys
import traceback
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hydra
from hydra import compose, initialize_config_dir
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.errors import HydraException, OverrideParseException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from speechlstm.model import registry
from speechlstm.model.installed import CONF, conf_folders, missing_settings
from speechlstm.types import SOME_FAILED, SpeechlstmError, UsageError

_TARGETS = ("speechlstm.", "torch.optim.", "pytorch_lightning.")  # what a config may instantiate

_NULL_GROUP = "Config group override must be"  # Hydra's ValueError for `decoder=null`


class PluginSearchPath(SearchPathPlugin):
    """Appends `conf/` of every package with parts, none of them imported, and of the working folder."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Add the folders after the package's own, whose options go before those of the same name."""
        for name, folder in more_conf_folders():
            search_path.append(provider=name, path=f"file://{folder}")


def more_conf_folders() -> Iterator[tuple[str, Path]]:
    """Yield `(whose, conf folder)` of each place besides the package that may have options."""
    yield from conf_folders()
    own = Path.cwd() / "conf"
    if own.is_dir() and own != CONF:
        yield "working folder", own


Task = Callable[[DictConfig], int | float | None]


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
                for key in _leave_out(cfg, config_name, task_overrides()):
                    print(
                        f"{key} of the experiment is no setting of what was chosen: left out", file=sys.stderr
                    )
                status = task(cfg) or 0
                sys.stdout.flush()
            except BrokenPipeError:  # the reader of the output, such as `head`, has seen enough
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                status = 0
            except (SpeechlstmError, OmegaConfBaseException, OSError) as error:
                if cfg.get("debug"):
                    raise
                status = _report(error, config_name)
            except Exception:
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
                hydra.main(version_base="1.3", config_path=str(CONF), config_name=config_name)(wrapped)()
                if any(failed):
                    sys.exit(1 if all(failed) else SOME_FAILED)
            except (SpeechlstmError, HydraException, OmegaConfBaseException, OSError, ValueError) as error:
                foreign = isinstance(error, ValueError) and _NULL_GROUP not in str(error)
                if "debug=true" in sys.argv or foreign:
                    raise
                sys.exit(_report(error, config_name))
            except KeyboardInterrupt:
                sys.exit(130)

        return program

    return decorate


def _report(error: Exception, config_name: str) -> int:
    """Print an error as one line and return the exit status it means."""
    if isinstance(error, SpeechlstmError):
        status, message = error.exit_status, str(error)
    elif isinstance(error, OSError) and not isinstance(error, HydraException):  # a missing option is both
        where = f"{error.filename}: " if error.filename else ""
        status, message = 1, f"{where}{error.strerror or error}"
    else:
        status, message = UsageError.exit_status, explain(error, config_name, sys.argv[1:])
    print(f"error: {message}", file=sys.stderr)
    return status


def register_plugins() -> None:
    """Tell Hydra about the plugins' config folders; calling it again changes nothing."""
    OmegaConf.register_new_resolver("file_name", _file_name, replace=True)
    if PluginSearchPath not in Plugins.instance().discover(SearchPathPlugin):
        Plugins.instance().register(PluginSearchPath)


def _file_name(text: str) -> str:
    """Return the name of a file or folder for any text, such as the settings of a job: `${file_name:...}`."""
    name = text.replace("/", "+")
    return name if len(name.encode()) <= 120 else f"{name[:100]}-{zlib.crc32(text.encode()):08x}"


def load(config_name: str, overrides: list[str] | None = None) -> DictConfig:
    """Compose a config without running a command.

    Raises:
        UsageError: an override names a key or option that does not exist.
    """
    given = overrides or []
    try:
        cfg = _compose(config_name, given)
        _leave_out(cfg, config_name, given)
        return cfg
    except (HydraException, OmegaConfBaseException) as error:
        raise UsageError(explain(error, config_name, given)) from error


def task_overrides() -> list[str]:
    """Return the settings that the command line, or a sweep for this job, has given; "${...}" in them as it stands."""
    task: Any = OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)
    return list(task)


def _leave_out(cfg: DictConfig, config_name: str, overrides: list[str]) -> list[str]:
    """Remove what an experiment sets for another option than the one chosen beside it, and return the settings' names.

    `experiment=an4 scheduler=cosine` would give the cosine schedule the `pct_start` of the experiment's own.
    What the command line itself sets stays, whether it fits or not.
    """
    choices = _choices(overrides)
    if choices.pop("experiment", None) is None or not choices:
        return []
    given = [each.lstrip("+~").partition("=")[0] for each in overrides]
    left = []

    def compare(here: dict[str, Any], option: dict[str, Any], prefix: str) -> None:
        for name, value in here.items():
            key = f"{prefix}.{name}"
            if any(f"{setting}.".startswith(f"{key}.") for setting in given):
                continue
            if name not in option:
                parent = OmegaConf.select(cfg, prefix)
                with open_dict(parent):
                    del parent[name]
                left.append(key)
            elif isinstance(value, dict) and option[name] is None:
                OmegaConf.update(cfg, key, None)
                left.append(key)
            elif isinstance(value, dict) and isinstance(option[name], dict):
                compare(value, option[name], key)

    composed: Any = OmegaConf.to_container(cfg)
    options: Any = OmegaConf.to_container(_compose(config_name, list(choices.values())))
    for group in choices:
        compare(composed[group], options[group], group)
    return left


def _choices(overrides: list[str]) -> dict[str, str]:
    """Return the overrides that choose an option, by their group."""
    settings = ((each.partition("=")[0], each) for each in overrides if "=" in each)
    return {group: each for group, each in settings if (CONF / group).is_dir()}


def _compose(config_name: str, overrides: list[str]) -> DictConfig:
    register_plugins()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(config_name, overrides)


def build(cfg: DictConfig | dict[str, Any] | None, /, *args: Any, **sizes: Any) -> Any:
    """Make the object a config node describes; `sizes` are what follows from other stages.

    Raises:
        UsageError: the node's `_target_` lies outside the allowed packages, or its arguments do not fit.
    """
    if cfg is None:
        return None
    node = cfg if isinstance(cfg, DictConfig) else OmegaConf.create(cfg)
    if unset := sorted(key for key in OmegaConf.missing_keys(node) if key.rpartition(".")[2] not in sizes):
        raise UsageError(f"{unset[0]} is not set: add {unset[0]}=... to the command line")
    for target in _targets(OmegaConf.to_container(node, resolve=False)):
        if not str(target).startswith(_TARGETS):
            raise UsageError(f"config asks for {target!r}, but may only build from {', '.join(_TARGETS)}")
    try:
        # Hydra would make config nodes of `args` and `sizes`: slow for many texts, wrong for one with "${".
        make = hydra.utils.instantiate(node, _partial_=True, _convert_="all")
        return functools.partial(make, *args, **sizes) if node.get("_partial_") else make(*args, **sizes)
    except (SpeechlstmError, OSError):
        raise
    except Exception as error:  # whatever the constructors of other packages raise
        inner = isinstance(error, hydra.errors.InstantiationException)
        cause = error.__cause__ if inner and error.__cause__ else error
        if isinstance(cause, SpeechlstmError):
            raise cause from None
        raise UsageError(f"cannot build {node.get('_target_')}: {cause}") from error


def build_part(stage: str, cfg: DictConfig | dict[str, Any], /, **sizes: Any) -> Any:
    """Make the part of a recognizer that a config node names.

    Args:
        stage: features, encoder, tokenizer or decoder.
        cfg: the name of the part, and its settings.
        **sizes: what follows from other stages; goes before settings of that name.

    Raises:
        UsageError: no such part, a setting that it does not take, or one that is not set.
        PluginError: it cannot be imported or made.
    """
    node = cfg if isinstance(cfg, DictConfig) else OmegaConf.create(cfg)
    if unset := sorted(key for key in OmegaConf.missing_keys(node) if key not in sizes):
        raise UsageError(f"{stage}.{unset[0]} is not set: add {stage}.{unset[0]}=... to the command line")
    settings: Any = OmegaConf.to_container(node, resolve=True)
    if "name" not in settings:
        raise UsageError(f"{stage} has no name; there are: {', '.join(registry.names(stage))}")
    return registry.create(stage, **{**settings, **sizes})


def explain(error: Exception, config_name: str, overrides: list[str]) -> str:
    """Return Hydra's complaint in one line, with the nearest key or the options that exist.

    Args:
        error: what Hydra or OmegaConf raised.
        config_name: the command's config.
        overrides: what the command line asks for.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    message = lines[0] if lines else type(error).__name__
    if option := re.search(r"Could not (?:find|load) '([^']+)'", message):
        group, _, name = option[1].removesuffix(".yaml").rpartition("/")
        options = sorted(option_names(group))
        if fault := missing_settings(group, name):
            return fault
        return f"no {group or 'config'} {name!r}{_nearest(name, options)}; there are: {', '.join(options)}"
    if group_missing := re.search(r"You must specify '([^']+)'", message):
        group = group_missing[1]
        return f"{group} is not set: add {group}=... with one of: {', '.join(sorted(option_names(group)))}"
    if missing := re.search(r"Missing mandatory value: (\S+)", message):
        return f"{missing[1]} is not set: add {missing[1]}=... to the command line"
    if there := re.search(r"Could not append to config. An item is already at '([^']+)'", message):
        return f"there is a setting {there[1]!r} already: write {there[1]}=... without a +"
    if key := re.search(r"Could not (?:override|delete)[^']*'([^']+)'", message):
        known = _settings(config_name, overrides)
        if key[1] in ("device", "devices") and "trainer.devices" in known:
            return (
                f"no setting {key[1]!r}; devices are chosen by trainer=cpu, trainer=gpu or trainer.devices=2"
            )
        target = known.get(f"{key[1].rpartition('.')[0]}._target_", "speechlstm.")
        add = "" if target.startswith("speechlstm.") else f"; for another of {target}, write +{key[1]}=..."
        return f"no setting {key[1]!r}{_nearest(key[1], sorted(known))}{add}"
    ambiguous = re.search(r"Ambiguous value for argument '(.*)'", message)
    if ambiguous or isinstance(error, OverrideParseException):
        text = ambiguous[1] if ambiguous else getattr(error, "override", message)
        if "=" not in text:
            return f"{text!r} is not a setting: write KEY=VALUE"
        return f"cannot read {text}: a value with signs in it needs quotes twice, as in 'KEY=\"a, (b)\"'"
    if _NULL_GROUP in message:
        return "a group of settings cannot be null: choose one of its options, or leave it out with ~GROUP"
    where = next((line.split()[-1] for line in lines if line.startswith("full_key:")), "")
    detail = f"{message} {lines[1]}" if message.endswith("composing config:") and len(lines) > 1 else message
    return f"{where}: {detail}" if where else detail


def option_names(group: str) -> set[str]:
    """Return the names that can be chosen in a config group, those of plugins and the working folder included."""
    folders = [CONF / group, *(folder / group for _, folder in more_conf_folders())]
    return {path.stem for folder in folders for path in folder.glob("*.yaml")}


def _nearest(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def _settings(config_name: str, overrides: list[str]) -> dict[str, Any]:
    """Return all settings by their dotted names, with the options that the overrides choose."""
    tree: Any = {}
    for chosen in (list(_choices(overrides).values()), []):
        with contextlib.suppress(HydraException, OmegaConfBaseException):
            tree = tree or OmegaConf.to_container(_compose(config_name, chosen))

    def walk(node: Any, prefix: str) -> Iterator[tuple[str, Any]]:
        for name, value in node.items() if isinstance(node, dict) else ():
            yield f"{prefix}{name}", value
            yield from walk(value, f"{prefix}{name}.")

    return dict(walk(tree, ""))


def _targets(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "_target_" in node:
            yield node["_target_"]
        node = list(node.values())
    if isinstance(node, list):
        for item in node:
            yield from _targets(item)
