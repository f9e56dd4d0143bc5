"""Packages to start from: the files beside this one with a name put in, one folder for each stage."""

from __future__ import annotations

import re
from pathlib import Path
from string import Template

from speechlstm.data.names import expanded
from speechlstm.model import registry
from speechlstm.types import UsageError

_FILES = Path(__file__).parent
_NAME = re.compile(r"[a-z]([a-z0-9_]*[a-z0-9])?")
_NO_TEXT = ("true", "false", "null", "yes", "no", "on", "off")  # to YAML


def write(stage: str, name: str, folder: Path | None = None) -> Path:
    """Write a package with one part, which passes the contract of its stage as it is.

    Returns:
        The folder.

    Raises:
        UsageError: a name that cannot be, or is taken, or a folder that is there already.
    """
    if not _NAME.fullmatch(name) or name in _NO_TEXT:
        rule = "lowercase letters, digits, and _, a letter first and no _ last"
        raise UsageError(f"name is {name!r}, but must be {rule}, and none of {', '.join(_NO_TEXT)}")
    if name in registry.names(stage):
        package = registry.package_of(registry.entry(stage, name))
        raise UsageError(f"{package} already has {stage} {name!r}; choose another name")
    if registry.folder_of(f"speechlstm_{name}"):
        raise UsageError(f"the package speechlstm_{name} is installed already; choose another name")
    folder = Path(name) if folder is None else expanded(folder)
    if folder.exists():
        raise UsageError(f"{folder}: already exists; choose another folder with out=")
    values = {
        "name": name,
        "project": f"speechlstm-{name.replace('_', '-')}",
        "package": f"speechlstm_{name}",
        "kind": "".join(word.capitalize() for word in name.split("_")) + stage.capitalize(),
        "stage": stage,
        "group": registry.GROUPS[stage],
    }
    module = folder / values["package"]
    for source, target in (
        ("pyproject.toml.txt", folder / "pyproject.toml"),
        ("README.md.txt", folder / "README.md"),
        (f"{stage}/module.py.txt", module / "__init__.py"),
        (f"{stage}/settings.yaml.txt", module / "conf" / stage / f"{name}.yaml"),
        (f"{stage}/test.py.txt", folder / "tests" / f"test_{name}.py"),
    ):
        target.parent.mkdir(parents=True, exist_ok=True)
        text = Template((_FILES / source).read_text(encoding="utf-8")).substitute(values)
        target.write_text(text, encoding="utf-8")
    return folder
