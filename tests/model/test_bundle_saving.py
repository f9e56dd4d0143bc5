"""Saving a bundle: where it fails the old one stays, and nothing else is lost."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from small_bundle import log_probs_of, make

from speechlstm.model import bundle as bundles
from speechlstm.model.bundle import load_bundle
from speechlstm.model.selftest import save_bundle
from speechlstm.types import OutputError, SpeechlstmError


@pytest.mark.parametrize("fails_at", ["config.json", "README.md", "model.safetensors"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_an_interrupted_save_leaves_the_old_bundle(
    small: Path, monkeypatch: pytest.MonkeyPatch, fails_at: str, error: BaseException
) -> None:
    write = bundles.write_atomically

    def full(path: Path, content: str | bytes) -> None:
        if path.name == fails_at:
            raise error
        write(path, content)

    monkeypatch.setattr(bundles, "write_atomically", full)
    before = log_probs_of(load_bundle(small))
    with pytest.raises(type(error)):
        save_bundle(make(seed=1), small, "new")
    assert [path.name for path in small.parent.iterdir()] == ["small"], "nothing half-written"
    assert torch.equal(log_probs_of(load_bundle(small)), before)


def test_when_the_new_bundle_cannot_take_its_place_the_old_one_returns(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def refuse(self: Path, target: Path) -> Path:
        if self.name.endswith(".tmp"):
            raise PermissionError(13, "Permission denied", str(target))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(PermissionError):
        save_bundle(make(seed=1), small, "new")
    assert [path.name for path in small.parent.iterdir()] == ["small"]
    assert torch.equal(log_probs_of(load_bundle(small)), log_probs_of(make()))


def test_a_file_in_the_way_is_not_destroyed(tmp_path: Path) -> None:
    (tmp_path / "small").write_text("mine")
    with pytest.raises(SpeechlstmError, match="small: a file, but must be a folder"):
        save_bundle(make(), tmp_path / "small", "")
    assert (tmp_path / "small").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["small"]


def test_a_folder_that_is_no_bundle_is_not_destroyed(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("years of work")
    with pytest.raises(SpeechlstmError, match="thesis: holds something else than a bundle"):
        save_bundle(make(), tmp_path / "thesis", "")
    assert (tmp_path / "thesis" / "chapter1.tex").read_text() == "years of work"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", "{}"),
        ("config.json", '{"format": 2}'),
        ("config.json", "[["),
        ("config.json", '["format"]'),
    ],
)
def test_a_config_of_another_program_is_not_a_bundle(name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / name).write_text(content)
    with pytest.raises(OutputError, match="model: holds something else than a bundle"):
        save_bundle(make(), tmp_path / "model", "")
    assert (tmp_path / "model" / name).read_text() == content


@pytest.mark.parametrize("name", ["lm.arpa", "decoder.json", ".git"])
def test_what_was_added_to_a_bundle_is_not_lost(name: str, small: Path) -> None:
    (small / name).write_text("by hand")
    with pytest.raises(
        OutputError, match=f"small: holds {re.escape(name)}, which would be lost; move it away"
    ):
        save_bundle(make(), small, "")
    assert (small / name).read_text() == "by hand"
    (small / name).unlink()
    save_bundle(make(seed=1), small, "")


@pytest.mark.parametrize("again", ["other", "small"])
def test_the_files_of_a_decoder_are_kept_and_named_as_before(small: Path, again: str) -> None:
    (small / "words.txt").write_text("any\ntext\n")
    (small / "decoder.json").write_text('{"name": "beam", "lexicon": "words.txt", "beam_size": 4}')
    save_bundle(load_bundle(small), place := small.with_name(again), "")
    loaded = load_bundle(place)
    assert loaded.decoder == {"name": "beam", "lexicon": str(place / "words.txt"), "beam_size": 4}
    assert (place / "words.txt").read_text() == "any\ntext\n"
    assert '"lexicon": "words.txt"' in (place / "decoder.json").read_text()
