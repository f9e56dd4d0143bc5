"""Running servers for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from service import Server, other_model, start
from warm import Server as Warm


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of two models."""
    other = other_model(tmp_path_factory.mktemp("models"))
    made = start(tmp_path_factory.mktemp("server"), f"bundle=[small,{other}]")
    yield made
    made.process.kill()
    made.process.wait()


@pytest.fixture(scope="session")
def narrow(tmp_path_factory: pytest.TempPathFactory, warm: Warm) -> Iterator[Server]:
    """A server that takes little, and asks for a key."""
    limits = ("max_megabytes=0.5", "max_seconds=4", "upload_seconds=1")
    made = start(tmp_path_factory.mktemp("narrow"), *limits, key="sésame", warm=warm)
    yield made
    made.process.kill()
    made.process.wait()
