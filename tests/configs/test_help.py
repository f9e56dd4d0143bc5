"""The help of each command: usage, examples, every setting with its comment, only its own groups, nothing imported."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from speechlstm import configs
from speechlstm.cli import main as cli
from speechlstm.configs import help as helping


@pytest.mark.parametrize("command", [name for name in cli.commands() if name != "completion"])
def test_every_setting_of_a_command_stands_in_its_help(command: str) -> None:
    """The oracle is YAML's own reading of the file."""
    file = yaml.safe_load((configs.CONF / f"{command}.yaml").read_text(encoding="utf-8"))
    text = helping.command_help(command, "Do it.", [])
    shown = helping.read(configs.CONF / f"{command}.yaml").settings

    def leaves(node: dict[str, Any], prefix: str = "") -> dict[str, Any]:
        found = {}
        for name, value in node.items():
            if f"{prefix}{name}" not in shown and isinstance(value, dict):
                found |= leaves(value, f"{prefix}{name}.")
            else:
                found[f"{prefix}{name}"] = value
        return found

    wanted = leaves({name: value for name, value in file.items() if name not in ("defaults", "hydra")})
    assert wanted.keys() <= shown.keys()
    for key, value in wanted.items():
        assert yaml.safe_load(shown[key].value) == value
        assert f"  {key}=" in text and (shown[key].comment or shown[key].value[0] == "$"), key


@pytest.mark.parametrize("command", [name for name in cli.commands() if name != "completion"])
def test_help_begins_with_usage_and_up_to_three_examples(command: str) -> None:
    text = helping.command_help(command, "Do it.", [])
    assert re.match(rf"usage: speechlstm {command}\b[^\n]*\n\nDo it\.\n\n", text)
    examples = re.search(r"^examples:\n((?:  .+\n)+)", text, re.MULTILINE)
    assert examples and 2 <= examples[1].count("\n") <= 3
    assert all(f"speechlstm {command}" in line for line in examples[1].splitlines())


def test_a_command_lists_its_own_groups_only() -> None:
    text = helping.command_help("transcribe", "Do it.", [])
    assert "  decoder=      beam, greedy; null: the decoder that comes with the bundle" in text
    assert "  trainer=" in text
    assert "encoder=" not in text and "corpus=" not in text


def test_prepare_needs_no_corpus_and_shows_the_one_that_is_given() -> None:
    assert "corpus.held_out" not in helping.command_help("prepare", "Do it.", [])
    text = helping.command_help("prepare", "Do it.", ["corpus=fsdd"])
    assert re.search(r"  corpus.held_out_speaker=null +use all recordings of", text) and "fsdd*" in text


def test_an_option_is_shown_with_what_it_builds_on() -> None:
    text = helping.command_help("train", "Do it.", ["encoder=bgru"])
    assert re.search(r"  encoder.cell=gru +lstm, gru, or rnn", text)
    assert re.search(r"  encoder.hidden_size=320 +units of each direction", text)
    assert "bgru*" in text and "blstm*" not in text


def test_an_experiment_shows_what_it_chooses_and_sets() -> None:
    text = helping.command_help("train", "Do it.", ["experiment=an4"])
    assert "words*" in text and "  trainer.max_epochs=40" in text


def test_an_option_that_does_not_exist_is_named() -> None:
    text = helping.command_help("train", "Do it.", ["encoder=nope"])
    assert "no encoder 'nope'; there are: bgru, blstm" in text


def test_options_of_a_given_folder_are_shown(tmp_path: Path) -> None:
    (tmp_path / "decoder").mkdir()
    (tmp_path / "decoder" / "tuned.yaml").write_text("# Tuned.\nname: beam\nbeam_size: 8  # kept\n")
    text = helping.command_help("transcribe", "Do it.", ["--config-dir", str(tmp_path), "decoder=tuned"])
    assert "tuned*" in text and re.search(r"  decoder.beam_size=8 +kept", text)


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["prepare", "corpus=an4", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        f"import sys; sys.argv = ['speechlstm', *{arguments}]\n"
        "from speechlstm.cli.main import main; main()\n"
        "heavy = {'torch', 'hydra', 'omegaconf', 'numpy', 'pytorch_lightning'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout.startswith("usage: "), done.stderr
