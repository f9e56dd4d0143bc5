"""`speechlstm plugins`: what it lists and checks, and that a bad plugin harms nobody else."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from plugin_packages import HEARS_ALL, plugin

import speechlstm
from speechlstm import configs
from speechlstm.decoders.contract import DecoderContract
from speechlstm.types import UsageError

Run = Callable[..., tuple[int, str, str]]


def test_the_list_shows_package_summary_and_parameters(site: Path, plugins: Run) -> None:
    config = "# Takes the best path.\nname: hears\nbeam_size: 4\nlm: null\n"
    plugin(site, "hears", HEARS_ALL, config, package="hears-all")
    status, out, err = plugins()
    assert (status, err) == (0, "")
    assert re.search(
        r"^  hears +hears-all 1\.2\n +Takes the best path\.\n +beam_size=4 lm=null$", out, re.MULTILINE
    )
    assert re.search(
        rf"^  greedy +speechlstm {speechlstm.__version__}\n +Best path: the most likely token of each frame",
        out,
        re.MULTILINE,
    )


def test_the_list_as_json(site: Path, plugins: Run) -> None:
    config = "# Takes the best path.\ndefaults: [base, _self_]\nname: hears\nbeam_size: 5\n"
    plugin(site, "hears", HEARS_ALL, config, package="hears-all")
    (site / "hears/conf/decoder/base.yaml").write_text("name: base\nbeam_size: 4\nlm: ???\n")
    listed = json.loads(plugins("format=json")[1])
    content = {(each["stage"], each["name"]): each for each in listed}
    assert content["decoder", "hears"] == {
        "stage": "decoder", "name": "hears", "package": "hears-all", "version": "1.2",
        "summary": "Takes the best path.", "parameters": {"beam_size": 5, "lm": "???"}, "problem": "",
    }  # fmt: skip
    assert content["decoder", "greedy"]["parameters"] == {}
    wanted = {"features": "logmel", "encoder": "blstm", "tokenizer": "phones", "bundle": "small"}
    assert set(wanted.items()) <= content.keys()
    assert content["bundle", "small"]["summary"] == (
        "A trained recognizer; `speechlstm models small` describes it."
    )


def test_what_cannot_be_used_is_named_and_the_others_are_listed(site: Path, plugins: Run) -> None:
    plugin(site, "torn", HEARS_ALL, package="torn-off")
    (site / "torn/conf/decoder/torn.yaml").unlink()
    plugin(site, "needy", HEARS_ALL)
    with (site / "needy-1.2.dist-info/METADATA").open("a") as metadata:
        metadata.write("Requires-Dist: no-such-package>=3\nRequires-Dist: numpy\n")
    plugin(site, "greedy", HEARS_ALL, package="also-greedy")
    status, out, err = plugins()
    assert status == 1
    assert (
        "decoder 'torn' of torn-off 1.2 has no settings: conf/decoder/torn.yaml is missing in its package torn"
        in err
    )
    assert "decoder 'needy' of needy 1.2 needs no-such-package>=3, which is not installed" in err
    assert "decoder 'greedy' of also-greedy 1.2 is not used: speechlstm has one" in err
    assert "Traceback" not in err and err.count("failed: ") == 3
    assert len(re.findall(r"^  greedy +", out, re.MULTILINE)) == 2


def test_damaged_settings_stop_only_who_uses_them(site: Path, plugins: Run) -> None:
    plugin(site, "torn", HEARS_ALL, "name: [\n", package="torn-off")
    (site / "torn/conf/experiment").mkdir()
    (site / "torn/conf/experiment/loud.yaml").write_text("defaults: [override /decoder: torn]\n")
    status, out, err = plugins()
    assert status == 1 and "torn.yaml: is no YAML" in err and "  greedy " in out
    for arguments in (["check=torn"], ["experiment=loud"]):
        status, out, err = plugins(*arguments)
        assert (status, out) == (2, "") and "torn.yaml:2: not valid YAML" in err


@pytest.mark.parametrize(("config", "name"), [("# Hears.\n", "None"), ("name: other\n", "'other'")])
def test_settings_must_name_their_part(
    site: Path, plugins: Run, monkeypatch: pytest.MonkeyPatch, config: str, name: str
) -> None:
    spare(monkeypatch)
    plugin(site, "hears", HEARS_ALL, config)
    status, _, err = plugins()
    assert status == 1 and f"hears.yaml: the name is {name}, but must be hears" in err
    status, out, err = plugins("check=hears", "format=json")
    failed = [each["clause"] for each in json.loads(out) if each["outcome"] == "failed"]
    assert (status, err, failed) == (1, "", ["the yaml names it and has its settings"])


def test_a_command_names_the_settings_that_a_plugin_lacks(site: Path) -> None:
    plugin(site, "torn", HEARS_ALL, package="torn-off")
    (site / "torn/conf/decoder/torn.yaml").unlink()
    with pytest.raises(UsageError, match=r"conf/decoder/torn\.yaml is missing in its package torn$"):
        configs.load("transcribe", ["decoder=torn"])


def test_the_list_imports_no_plugin_and_no_torch(site: Path) -> None:
    plugin(site, "hears", HEARS_ALL)
    code = (
        f"import sys; sys.path.insert(0, {str(site)!r}); sys.argv = ['speechlstm', 'plugins']\n"
        "import speechlstm.cli.main as c; c.main()\n"
        "early = {'hears', 'torch', 'numba', 'speechlstm.decoders.greedy'} & set(sys.modules); assert not early, early"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "  hears " in done.stdout


def test_names_and_help_import_no_plugin_and_no_torch(site: Path) -> None:
    plugin(site, "hears", HEARS_ALL)
    code = (
        f"import sys; sys.path.insert(0, {str(site)!r})\n"
        "import speechlstm.decoders as d; assert {'hears', 'greedy'} <= set(d.names())\n"
        "sys.argv = ['speechlstm', '--help']; import speechlstm.cli.main as c; c.main()\n"
        "early = {'hears', 'torch', 'numba', 'speechlstm.decoders.greedy'} & set(sys.modules); assert not early, early"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "plugins      List the installed plugins and parts" in done.stdout


def spare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the clause that starts a process."""
    monkeypatch.setattr(DecoderContract, "test_a_spawned_process_gives_the_same", lambda self: None)


def test_check_prints_each_clause(plugins: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    spare(monkeypatch)
    status, out, err = plugins("check=greedy")
    assert (status, err) == (0, "")
    assert "passed   certain posteriors give the certain text\n" in out
    assert "skipped  a wider beam finds no less: the decoder has no beam_size\n" in out
    assert out.endswith("decoder 'greedy' keeps the contract: 0 of 20 clauses failed\n")


def test_a_failed_check_is_exit_status_1_with_the_reason(
    site: Path, plugins: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    spare(monkeypatch)
    plugin(site, "hears", HEARS_ALL)
    status, out, _ = plugins("check=hears")
    assert status == 1
    assert "failed   the yaml names it and has its settings: the YAML lacks beam_size, lm: add each" in out
    assert out.endswith("decoder 'hears' does NOT keep the contract: 1 of 20 clauses failed\n")
    status, out, _ = plugins("check=hears", "format=json", "+settings.hears.beam_size=200")
    failed = {each["clause"]: each["reason"] for each in json.loads(out) if each["outcome"] == "failed"}
    assert status == 1 and "is decoded as ''" in failed["certain posteriors give the certain text"]


def test_what_cannot_be_made_is_one_error_not_a_failed_contract(site: Path, plugins: Run) -> None:
    plugin(site, "torn", "import no_such_module")
    status, out, err = plugins("check=torn")
    assert (status, out) == (1, "") and err.startswith(
        "error: decoder 'torn' of torn 1.2 cannot be imported: "
    )


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["format=xml"], 2, "error: format is 'xml', but must be one of table, json, as in format=table"),
        (["check=greedy", "bench=m.jsonl"], 2, "error: new, check= and bench= are three commands"),
        (["check=true"], 2, "error: no part 'true'; installed are: "),
        (["check=gredy"], 2, "error: no part 'gredy'; did you mean 'greedy'?"),
        (["check=decodr/greedy"], 2, "error: check=decodr/greedy: no stage 'decodr'"),
        (["bench=gone.jsonl"], 1, "error: gone.jsonl: cannot read the manifest"),
        (["bench=m.jsonl", "only=[greedy,bim]"], 2, "error: no decoder 'bim'"),
        (["bench=m.jsonl", "+settings.gredy.x=1"], 2, "error: no decoder 'gredy'"),
        (["bench=m.jsonl", "++settings.greedy=3"], 2, "error: settings are of single parts"),
        (["bench=silent.jsonl"], 1, "error: silent.jsonl: no texts"),
    ],
)
def test_wrong_usage_is_explained(arguments: list[str], status: int, message: str, plugins: Run) -> None:
    Path("silent.jsonl").write_text('{"audio_filepath": "audio/one.wav", "duration": 1.0}\n')
    got, out, err = plugins(*arguments)
    assert (got, out) == (status, "")
    assert message in err and "Traceback" not in err
