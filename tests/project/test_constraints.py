"""The pinned versions of constraints.txt against what pyproject.toml asks for."""

from __future__ import annotations

import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def test_every_dependency_is_pinned_within_its_bounds() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [Requirement(text) for text in sum(extras.values(), project["dependencies"])]
    for requirement in wanted:
        if requirement.name != project["name"]:
            assert pins().get(requirement.name.lower(), "missing") in requirement.specifier, requirement


def test_constraints_are_only_pins() -> None:
    assert len(pins()) > 50
    assert "speechlstm" not in pins()
    assert all(version[0].isdigit() and "/" not in version + name for name, version in pins().items())
