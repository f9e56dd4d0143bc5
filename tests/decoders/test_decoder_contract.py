"""The contract for decoders: greedy search keeps it, and for each clause there is a decoder that breaks only that."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from contract_breakers import BROKEN, AtHomeOnly, Good

from speechlstm.decoders import Decoder
from speechlstm.decoders.contract import DecoderContract
from speechlstm.model.contract import check
from speechlstm.model.registry import parameters

NO_GPU = "a gpu is taken"
SPAWN = "test_a_spawned_process_gives_the_same"


class TestGreedy(DecoderContract):
    name = "greedy"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install the breakers as a package, so that processes and configs find them by name."""
    folder = tmp_path / "broken_decoders" / "conf" / "decoder"
    folder.mkdir(parents=True)
    (tmp_path / "broken_decoders" / "__init__.py").write_text("from contract_breakers import *\n")
    points = []
    for kind in [Good, *(kind for kind, _, _ in BROKEN)]:
        settings = {"name": kind.__name__} | parameters("decoder", kind)
        lines = [f"{key}: {'null' if value is None else value}\n" for key, value in settings.items()]
        (folder / f"{kind.__name__}.yaml").write_text(
            "".join(line for line in lines if "left_out" not in line)
        )
        points.append(f"{kind.__name__} = broken_decoders:{kind.__name__}\n")
    info = tmp_path / "broken-0.3.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 0.3\n")
    (info / "entry_points.txt").write_text("[speechlstm.decoders]\n" + "".join(points))
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def contract(name: str, **attributes: Any) -> type[DecoderContract]:
    return type("Contract", (DecoderContract,), {"name": name, **attributes})


def failures(kind: type[DecoderContract]) -> dict[str, str]:
    return {verdict.clause: verdict.reason for verdict in check(kind) if verdict.outcome == "failed"}


@pytest.mark.parametrize(
    ("kind", "clause", "reason"), BROKEN, ids=lambda value: getattr(value, "__name__", "")
)
def test_a_broken_decoder_fails_exactly_its_clause(
    site: Path, kind: type[Decoder], clause: str, reason: str
) -> None:
    # A new process takes seconds; those whose fault does not lie there are spared it.
    spared = {} if kind is AtHomeOnly else {SPAWN: lambda self: None}
    found = failures(contract(kind.__name__, **spared))
    assert list(found) == [clause], found
    wanted = reason.replace("BROKEN", f"decoder '{kind.__name__}' of broken 0.3")
    assert re.search(wanted, found[clause], re.DOTALL), found[clause]


def test_every_clause_has_its_breaker() -> None:
    clauses = {
        name.removeprefix("test_").replace("_", " ") for name in dir(DecoderContract) if "test_" in name
    }
    assert clauses == {clause for _, clause, _ in BROKEN} | {NO_GPU}


def test_a_good_one_passes_and_skips_say_why(site: Path) -> None:
    verdicts = {verdict.clause: verdict for verdict in check(contract("Good"))}
    assert {verdict.outcome for verdict in verdicts.values()} == {"passed", "skipped"}
    assert all(verdict.reason for verdict in verdicts.values() if verdict.outcome == "skipped")
    assert verdicts["a wider beam finds no less"].reason == "the decoder has no beam_size"


def test_a_closed_vocabulary_is_declared_by_its_words(site: Path) -> None:
    [reason] = failures(
        contract("JoinsAcrossBlanks", words=["tea", "bee"], **{SPAWN: lambda self: None})
    ).values()
    assert "'bee' is decoded as 'be'" in reason
    verdicts = check(contract("JoinsAcrossBlanks", words=["tea", "cup"], **{SPAWN: lambda self: None}))
    assert {verdict.clause: verdict.reason for verdict in verdicts if verdict.outcome != "passed"} == {
        "a blank separates doubled letters": "none of `words` has a doubled letter",
        NO_GPU: "there is no GPU here",
        "lm weight 0 is no lm": "the decoder takes no lm with an lm_weight, or always needs one",
        "a wider beam finds no less": "the decoder has no beam_size",
    } or torch.cuda.is_available()


def test_a_clause_set_to_none_is_left_out(site: Path) -> None:
    kind = contract("HearsNothing", test_no_frames_are_no_text=None, **{SPAWN: None})
    clauses = [verdict.clause for verdict in check(kind)]
    assert "no frames are no text" not in clauses and len(clauses) == 18 and not failures(kind)


def test_an_unknown_decoder_fails_every_clause_with_the_names_there_are(site: Path) -> None:
    found = failures(contract("nobody", **{SPAWN: lambda self: None}))
    assert len(found) > 10 and all("nobody" in reason for reason in found.values()), found
