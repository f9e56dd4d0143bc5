"""Compiled functions work without a cache, despite a broken one, and are made anew when what they call has changed."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from speechlstm.decoders import compiled as module
from speechlstm.decoders.compiled import compiled

SOURCE = "from speechlstm.decoders.compiled import compiled\n\n@compiled\ndef twice(x):\n    return 2 * x\n"


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module with a compiled function, whose cache lies beside it."""
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setattr("numba.core.config.CACHE_DIR", "")
    (tmp_path / "made.py").write_text(SOURCE)
    return tmp_path / "made.py"


def hits(path: Path) -> int:
    """Return how many versions a new process takes from the cache."""
    spec: Any = importlib.util.spec_from_file_location("made", path)
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    assert made.twice(21) == 42
    return sum(made.twice.stats.cache_hits.values())


def test_without_a_place_for_the_cache() -> None:
    namespace: dict[str, Any] = {}
    exec(compile("def twice(x):\n    return 2 * x\n", "<nowhere>", "exec"), namespace)
    assert compiled(namespace["twice"])(21) == 42


@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
@pytest.mark.parametrize("content", [b"", b"junk", b"\x80\x04K\x01.", bytes(999)])
def test_a_damaged_cache_is_discarded(path: Path, suffix: str, content: bytes) -> None:
    assert (hits(path), hits(path)) == (0, 1)
    [broken] = [each for each in path.parent.rglob(f"*{suffix}") if "twice" in each.name]
    whole = broken.read_bytes()
    for damage in (content, whole[: len(whole) // 2]):
        broken.write_bytes(damage)
        assert (hits(path), hits(path)) == (0, 1), "made anew, and kept"


def test_what_is_called_has_changed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (hits(path), hits(path)) == (0, 1)
    monkeypatch.setattr(module, "_sources", lambda: (("fusion.py", 1, 2),))
    assert (hits(path), hits(path)) == (0, 1)
