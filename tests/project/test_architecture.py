"""The house as it is meant to be: arrows run down, nothing runs in circles, files and functions stay small."""

from __future__ import annotations

import ast
import shutil
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest

import speechlstm

PACKAGE = Path(speechlstm.__file__).parent
# From the roof to the ground. `__init__` and `__main__` stand above all: they are how the house is entered.
ROOMS = (
    *("cli", "study", "training", "evaluation", "transcription", "decoders", "configs", "model", "data"),
    "types",
)
MOST_LINES = 300  # of a file
MOST_STEPS = 60  # lines of a function
SOURCES = sorted(path for path in PACKAGE.rglob("*.py") if "templates" not in path.parts)
ROOT = Path(__file__).parents[2]
OTHERS = sorted(
    path for name in ("tests", "benchmarks", "scripts", "plugins") for path in (ROOT / name).rglob("*.py")
)


def upward(graph: grimp.ImportGraph, package: str) -> list[str]:
    """Return the imports that run from a room into one above it."""
    floors = {f"{package}.{room}": floor for floor, room in enumerate(ROOMS)}

    def floor(module: str) -> int | None:
        return floors.get(".".join(module.split(".")[:2]))

    return [
        f"{importer} imports {imported}"
        for importer in sorted(graph.modules)
        for imported in sorted(graph.find_modules_directly_imported_by(importer))
        if (here := floor(importer)) is not None and (there := floor(imported)) is not None and there < here
    ]


def circles(graph: grimp.ImportGraph) -> list[str]:
    """Return each module from which imports lead back to it, packages taken apart from what they hold."""
    return [
        module
        for module in sorted(graph.modules)
        for imported in graph.find_modules_directly_imported_by(module)
        if graph.find_shortest_chain(imported, module) is not None
    ]


def test_the_rooms_are_those_of_the_plan() -> None:
    there = {
        path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert there == {*ROOMS, "__init__", "__main__"}
    assert len(there) <= 12


def test_imports_run_down_and_not_in_circles() -> None:
    graph = grimp.build_graph("speechlstm", cache_dir=None, exclude_type_checking_imports=True)
    assert not upward(graph, "speechlstm")
    assert not circles(graph)
    users = {module.split(".")[1] for module in graph.find_modules_that_directly_import("speechlstm")}
    assert users <= {"cli"}  # the package's front is for those who call it, not for its rooms


def test_a_planted_upward_import_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(PACKAGE, tmp_path / "planted", ignore=shutil.ignore_patterns("*.safetensors", "conf"))
    for path in (tmp_path / "planted").rglob("*.py"):
        path.write_text(path.read_text(encoding="utf-8").replace("speechlstm.", "planted."), encoding="utf-8")
    victim = tmp_path / "planted/data/manifest.py"
    hidden = "\n\ndef hidden() -> None:\n    import planted.cli.main\n"
    victim.write_text(victim.read_text(encoding="utf-8") + hidden, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    graph = grimp.build_graph("planted", cache_dir=None, exclude_type_checking_imports=True)
    assert upward(graph, "planted") == ["planted.data.manifest imports planted.cli.main"]


def test_only_configs_calls_hydra() -> None:
    graph = grimp.build_graph(
        "speechlstm", include_external_packages=True, cache_dir=None, exclude_type_checking_imports=True
    )
    callers = graph.find_modules_that_directly_import("hydra")
    assert {module.split(".")[1] for module in callers} <= {"configs", "cli", "training"}
    configured = graph.find_modules_that_directly_import("omegaconf") | callers
    assert not {
        module
        for module in configured
        if module.split(".")[1] in ("decoders", "data", "types", "transcription")
    }


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Yield each function of a file and its lines."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or 0) - node.lineno + 1


def length(path: Path) -> int:
    """Return how many lines a file has."""
    return len(path.read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_and_functions_stay_small(path: Path) -> None:
    assert length(path) <= MOST_LINES
    assert {function: lines for function, lines in functions(path) if lines > MOST_STEPS} == {}


def test_files_of_tests_and_tools_stay_small() -> None:
    assert len(OTHERS) > 100
    assert [str(path.relative_to(ROOT)) for path in OTHERS if length(path) > MOST_LINES] == []
