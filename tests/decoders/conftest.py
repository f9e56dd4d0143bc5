"""The command `plugins`, where packages can be installed and a bundle spells."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from plugin_packages import SAID, Bundle
from spelling import write

import speechlstm
from speechlstm.cli import plugins as command


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Make a folder that packages can be installed into, and forget them afterwards."""
    (tmp_path / "site").mkdir()
    monkeypatch.syspath_prepend(tmp_path / "site")
    yield tmp_path / "site"
    for path in (tmp_path / "site").iterdir():
        sys.modules.pop(path.name, None)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """Return a bundle that spells, with files of its own."""
    (tmp_path / "bundle").mkdir()
    for name in ("config.json", "model.safetensors"):
        (tmp_path / "bundle" / name).write_text(name)
    return Bundle(tmp_path / "bundle")


@pytest.fixture
def plugins(
    bundle: Bundle,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    run_command: Callable[..., tuple[int, str, str]],
) -> Callable[..., tuple[int, str, str]]:
    """Return a function that runs `speechlstm plugins` in a folder with a manifest."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPEECHLSTM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(speechlstm, "load", lambda path, device: bundle)
    lines = []
    for name, (said, spelled) in SAID.items():
        write(Path(f"audio/{name}.wav"), spelled, 1.0)
        lines.append({"audio_filepath": f"audio/{name}.wav", "duration": 1.0, "text": said})
    Path("m.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return partial(run_command, command)
