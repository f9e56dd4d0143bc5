"""What several test files share: where the real corpora are, if they are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("unhurried", deadline=None)  # a busy machine is no failure
settings.load_profile("unhurried")


@pytest.fixture(scope="session")
def corpora() -> Path:
    """Return the folder of real speech; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("SPEECHLSTM_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no real speech at {folder}; set SPEECHLSTM_DATA")
    return folder
