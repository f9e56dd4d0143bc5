"""Which decoder a command uses: the bundle's own, the settings on the command line, another one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from spelling import SpellingBundle, write

import speechlstm
from speechlstm.cli import transcribe as command

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Work in a folder with a recording of "hallo", and a bundle whose decoder knows only "hello" and "hollow"."""
    made = SpellingBundle()
    (tmp_path / "words.txt").write_text("hello\nhollow\n")
    made.bundle = SimpleNamespace(
        decoder={"name": "beam", "lexicon": "strict", "words": str(tmp_path / "words.txt"), "beam_size": 50}
    )
    monkeypatch.setattr(speechlstm, "load", lambda path, **where: made)
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.wav", "hallo")
    return tmp_path


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ([], "hello"),
        (["decoder=beam"], "hello"),
        (["decoder=beam", "decoder.beam_size=20", "decoder.threads=1"], "hello"),
        (["decoder=beam", "decoder.hotwords=[hallo]"], "hallo"),
        (["decoder=beam", "decoder.lexicon=none"], "hallo"),
        (["decoder=beam", "decoder.words=other.txt"], "hallow"),
        (["decoder=greedy"], "hallo"),
        (["--config-dir", "conf", "decoder=tuned"], "hallo"),
    ],
)
def test_the_bundle_s_settings_are_the_defaults_of_its_decoder(
    settings: list[str], text: str, folder: Path, run_command: Run
) -> None:
    (folder / "other.txt").write_text("hallow\n")
    (folder / "conf/decoder").mkdir(parents=True)
    (folder / "conf/decoder/tuned.yaml").write_text("name: beam\nbeam_size: 10\nlexicon: none\n")
    assert run_command(command, "a.wav", *settings)[:2] == (0, f"{text}\n")


def test_settings_without_their_decoder_are_explained(folder: Path, run_command: Run) -> None:
    status, _, errors = run_command(command, "a.wav", "decoder.hotwords=[hallo]")
    assert status == 2
    assert (
        errors
        == "error: decoder.hotwords needs a decoder to be chosen: add decoder=... with one of: beam, greedy\n"
    )
