"""Config files of other people: whether they are text, YAML, and of a size to be loaded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from speechlstm.configs import folders
from speechlstm.types import UsageError

_MOST = 100_000  # bytes of a file, and values in it once its aliases are expanded
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def check(arguments: Sequence[str]) -> None:
    """See that folders of `--config-dir` are there, and that the files in them and in plugins in use can be loaded.

    Raises:
        UsageError: one is not; the message begins with the file and its line.
    """
    given = list(folders.given_conf_folders(arguments))
    for folder in given:
        if not folder.is_dir():
            raise UsageError(f"--config-dir {folder}: no such folder")
    for folder in folders.conf_folders(arguments)[1:]:
        paths = sorted([*folder.glob("*.yaml"), *folder.glob("*/*.yaml")])
        if folder in given or any(path.stem in argument for path in paths for argument in arguments):
            for path in paths:
                for line, problem in _problems(path):  # of a plugin: only who uses it is held up
                    raise UsageError(f"{path}:{line}: {problem}")


def _problems(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and kind of what makes a file unfit."""
    if not path.is_file() or path.stat().st_size > _MOST:
        yield 1, f"no file of settings, or of more than {_MOST} bytes"
        return
    try:
        text = path.read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=_LOADER)
        repeated = list(_repeated(root, {})) if root is not None else []
    except UnicodeDecodeError as error:
        yield error.object.count(b"\n", 0, error.start) + 1, f"not UTF-8 text ({error.reason})"
    except yaml.reader.ReaderError as error:
        yield text.count("\n", 0, error.position) + 1, f"not text ({error.reason})"
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        yield (mark.line + 1 if mark else 1), f"not valid YAML: {error.problem}"
    except RecursionError:
        yield 1, "nested too deeply"
    else:
        if root is not None and not isinstance(root, yaml.MappingNode):
            yield 1, "must hold settings, as in KEY: VALUE"
        yield from repeated


def _repeated(root: yaml.Node, sizes: dict[int, int]) -> Iterator[tuple[int, str]]:
    """Yield keys that stand twice in one mapping, and aliases that make a file far larger than it is.

    Args:
        root: of a file, or of a part of it.
        sizes: gets the number of values of each part, by its `id`; 0 while it is being counted.
    """
    line = root.start_mark.line + 1
    if id(root) in sizes:
        if not sizes[id(root)]:
            yield line, "holds itself by an alias"
        return
    sizes[id(root)] = 0
    inner = [root.value] if isinstance(root, yaml.ScalarNode) else root.value
    keys: set[str] = set()
    for item in inner if isinstance(root, yaml.MappingNode) else ():
        key = str(item[0].value)
        if key in keys:
            yield item[0].start_mark.line + 1, f"{key} is set twice"
        keys.add(key)
    parts = [node for item in inner for node in (item if isinstance(item, tuple) else [item])]
    nodes = [node for node in parts if isinstance(node, yaml.Node)]
    for node in nodes:
        yield from _repeated(node, sizes)
    sizes[id(root)] = 1 + sum(sizes[id(node)] for node in nodes)
    if sizes[id(root)] > _MOST:
        yield line, f"more than {_MOST} values, once its aliases are expanded"
