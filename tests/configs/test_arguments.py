"""Arguments of a command line: which are files and which settings, and how a setting is quoted for Hydra."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import example, given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from speechlstm.configs.arguments import quoted, split
from speechlstm.types import UsageError

NAMES = st.text(
    st.sampled_from("\\'\"${}[],=: ()~+?\n\tab0é日") | st.characters(exclude_characters="\0/"), min_size=1
)


@given(NAMES)
@example("\\${a}")
@example("a\\")
@example("\udcff")
@example("'")
@example("\\'")
def test_any_value_comes_through_hydra_unchanged_if_it_must_be_quoted(value: str) -> None:
    text = quoted(f"out={value}")
    if text != f"out={value}":
        cfg = OmegaConf.create({"out": ""})
        OmegaConf.update(cfg, "out", OverridesParser.create().parse_override(text).value())
        assert cfg.out == value


@pytest.mark.parametrize(
    ("arguments", "settings", "files"),
    [
        ([], [], []),
        (["format=srt"], ["format=srt"], []),
        (["a.wav", "format=srt", "b c.wav"], ["format=srt"], ["a.wav", "b c.wav"]),
        (["no, name=1.wav"], [], ["no, name=1.wav"]),
        (["+x=1", "++x.y=2", "~z", "decoder@d=greedy"], ["+x=1", "++x.y=2", "~z", "decoder@d=greedy"], []),
        (["x.wav", "--cfg", "job", "-m"], ["--cfg", "job", "-m"], ["x.wav"]),
        (["--", "format=srt", "--help"], [], ["format=srt", "--help"]),
        (["out=été", "bundle=a b"], ["out='été'", "bundle=a b"], []),
        (["inputs=[a]"], ["inputs=[a]"], []),
        (["x" * 5000, "\0"], [], ["x" * 5000, "\0"]),
    ],
)
def test_files_are_distinguished_from_settings(
    arguments: list[str], settings: list[str], files: list[str]
) -> None:
    assert split(arguments) == (settings, files)
    assert split([*settings, "--", *files]) == (settings, files)  # the command line of another rank


def test_what_exists_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("format=srt", "-m", "~z"):
        Path(name).touch()
    assert split(["-m", "format=srt", "~z", "out=x"]) == (["out=x"], ["-m", "format=srt", "~z"])


def test_files_both_ways_are_refused() -> None:
    with pytest.raises(UsageError, match="one way only"):
        split(["inputs=[a]", "b.wav"])


def test_only_what_hydra_cannot_read_is_quoted() -> None:
    assert quoted("out=${oc.env:HOME}/x") == "out=${oc.env:HOME}/x"
    assert quoted("out=модель/x") == "out='модель/x'"
    assert quoted("~out") == "~out"
    assert (
        quoted("format=srt,json") == "format='srt,json'"
        and quoted("lr=interval(1,2)") == "lr='interval(1,2)'"
    )
    assert quoted("format=srt,json", sweeps=True) == "format=srt,json"
    assert split(["-m", "lr=1,2"]) == (["-m", "lr=1,2"], [])
