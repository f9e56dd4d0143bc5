"""Benchmarks are run by hand; that what they import is there is seen here."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

BENCHMARKS = sorted((Path(__file__).parents[2] / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_what_a_benchmark_imports_from_the_package_is_there(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] == "speechlstm":
            for name in (alias.name for alias in node.names):
                if not hasattr(importlib.import_module(str(node.module)), name):
                    importlib.import_module(f"{node.module}.{name}")
