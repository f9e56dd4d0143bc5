"""The plugin door: found by entry point, configured by the search path, and plain words when it fails."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from importlib.metadata import Distribution, PackageNotFoundError, version
from pathlib import Path

import pytest
import torch
from packaging.requirements import Requirement
from spelling import SpellingBundle, write

import speechlstm
from speechlstm import configs, decoders
from speechlstm.cli import transcribe
from speechlstm.decoders.greedy import GreedyDecoder
from speechlstm.model import registry
from speechlstm.model.registry import GROUPS
from speechlstm.model.tokenizer import Characters
from speechlstm.types import DecoderError, PluginError, UsageError

ROOT = Path(__file__).parents[2]
PLUGINS = sorted(path.parent for path in (ROOT / "plugins").glob("*/pyproject.toml"))
TOKENIZER = Characters.from_texts(["ab"])
CONFIG = "name: {name}\n"
SOURCE = """
from speechlstm.decoders import Decoder
from speechlstm.types import Hypothesis

class Mine(Decoder):
    def __init__(self, tokenizer, width=1):
        super().__init__(tokenizer)
        self.width = width

    def decode(self, log_probs):
        tokens, frames = [2] * self.width, list(range(self.width))
        return [Hypothesis(tokens, frames, [frame + 1 for frame in frames], 0.0, [1.0] * self.width)]
"""


def install(folder: Path, package: str, entry: str, source: str = SOURCE, **settings: str) -> None:
    """Lay a distribution out under a folder, as pip would."""
    module = entry.partition("=")[2].partition(":")[0].strip().partition(".")[0]
    (folder / module / "conf" / "decoder").mkdir(parents=True)
    (folder / module / "__init__.py").write_text(source)
    for name, content in settings.items():
        (folder / module / "conf" / "decoder" / f"{name}.yaml").write_text(content)
    register(folder, package, entry)


def register(folder: Path, package: str, entry: str, group: str = "speechlstm.decoders") -> Path:
    info = folder / f"{package.replace('-', '_')}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{entry}\n")
    return info


def test_a_plugin_is_found_configured_and_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = CONFIG.format(name="mine") + "width: 2  # tokens\n"
    install(tmp_path, "plugin-one", "mine = plugin_one:Mine", mine=config)
    assert "mine" not in decoders.names()
    monkeypatch.syspath_prepend(tmp_path)
    assert {"mine", "greedy"} <= set(decoders.names())
    assert "mine" in configs.option_names("decoder")
    cfg = configs.load("decoder/mine", ["decoder.width=3"])
    assert "plugin_one" not in sys.modules, "the config is composed without importing the plugin"
    decoder = configs.build_part("decoder", cfg.decoder, tokenizer=TOKENIZER)
    log_probs = torch.full((2, 5, len(TOKENIZER)), 1 / len(TOKENIZER)).log()
    assert [best[0].tokens for best in decoder(log_probs, torch.tensor([5, 3]))] == [[2, 2, 2]] * 2


def test_a_plugin_may_bring_other_settings_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "plugin-six", "six = plugin_six:Mine", six=CONFIG.format(name="six"))
    (tmp_path / "plugin_six" / "conf" / "experiment").mkdir()
    (tmp_path / "plugin_six" / "conf" / "experiment" / "loud.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /decoder: six\nname: loud\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    cfg = configs.load("train", ["experiment=loud"])
    assert (cfg.name, cfg.decoder.name) == ("loud", "six")


def test_an_unknown_name_lists_what_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "plugin-two", "elegant = plugin_two:Mine")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UsageError, match=r"no decoder 'elegnt'; did you mean 'elegant'\?.*elegant.*greedy"):
        decoders.create("elegnt", tokenizer=TOKENIZER)


@pytest.mark.parametrize(
    ("module", "source", "cause"),
    [
        ("plugin_absent", "import no_such_module_anywhere", "ModuleNotFoundError.*no_such_module_anywhere"),
        ("plugin_syntax", "def (", "SyntaxError"),
        ("plugin_raises", "raise OSError('libfast.so: cannot open')", "OSError: libfast.so: cannot open"),
        ("plugin_empty", "", "AttributeError.*Mine"),
        ("plugin_leaves", "import sys; sys.exit('licence expired')", "SystemExit: licence expired"),
        ("plugin_odd", "class Odd(BaseException): ...\nraise Odd('so')", "Odd: so"),
    ],
)
def test_an_import_that_fails_names_package_and_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, source: str, cause: str
) -> None:
    install(tmp_path, "plugin-broken", f"broken = {module}:Mine", source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(PluginError, match=f"'broken' of plugin-broken 1.2 cannot be imported: {cause}"):
        decoders.create("broken", tokenizer=TOKENIZER)
    assert decoders.create("greedy", tokenizer=TOKENIZER), "a broken plugin must not harm the others"


def test_a_class_that_is_no_decoder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "plugin-three", "odd = plugin_three:Mine", "class Mine: ...")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        PluginError, match=r"plugin_three:Mine of plugin-three 1.2 is no decoder: it must derive"
    ):
        decoders.create("odd", tokenizer=TOKENIZER)


def test_a_clash_names_both_packages_and_chooses_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("plugin-four", "plugin-for"):
        install(tmp_path, package, f"twice = {package.replace('-', '_')}:Mine")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(PluginError, match=r"'twice' is claimed by plugin-for 1.2 and plugin-four 1.2"):
        decoders.create("twice", tokenizer=TOKENIZER)
    assert not {"plugin_four", "plugin_for"} & set(sys.modules)


def test_the_built_in_wins_a_clash_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    install(tmp_path, "plugin-thief", "greedy = plugin_thief:Mine")
    monkeypatch.syspath_prepend(tmp_path)
    for _ in range(2):
        assert type(decoders.create("greedy", tokenizer=TOKENIZER)) is GreedyDecoder
    wanted = "decoder 'greedy' of plugin-thief 1.2 is not used: speechlstm has one of that name"
    assert [record.getMessage() for record in caplog.records] == [wanted], "once"
    assert "plugin_thief" not in sys.modules


def test_a_foreign_package_with_broken_entry_points_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    register(tmp_path, "torn", "no equals sign here")
    install(tmp_path, "plugin-whole", "whole = plugin_whole:Mine")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(Distribution, "entry_points", Distribution.entry_points)  # is put back afterwards
    registry.pass_over_broken_packages()
    assert {"whole", "greedy", "beam"} <= set(decoders.names())
    assert "torn is damaged and skipped: entry_points.txt: " in caplog.text
    assert str(tmp_path) in caplog.text


def test_broken_foreign_packages_stop_no_command(tmp_path: Path) -> None:
    for name, damage in {"torn": b"[a]\nb\n", "worn": b"[a]\n\xff = x:y\n"}.items():
        (register(tmp_path, name, "") / "entry_points.txt").write_bytes(damage)
    command = [sys.executable, "-m", "speechlstm", "verify"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0 and "reproduced" in done.stdout, done.stderr
    assert all(f"{name} is damaged and skipped" in done.stderr for name in ("torn", "worn"))
    assert "Traceback" not in done.stderr


def test_a_plugin_whose_module_is_gone_does_not_stop_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(tmp_path, "plugin-gone", "gone = plugin_gone:Mine")
    monkeypatch.syspath_prepend(tmp_path)
    assert configs.load("decoder/greedy").decoder.name == "greedy"
    with pytest.raises(PluginError, match=r"plugin-gone 1.2 cannot be imported: ModuleNotFoundError"):
        registry.load("decoder", "gone")


@pytest.mark.parametrize("value", ["no module at all!", "", ".up:Mine"])
def test_an_entry_point_that_is_nonsense_does_not_stop_the_rest(
    value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(tmp_path, "plugin-nonsense", f"nonsense = {value}")
    monkeypatch.syspath_prepend(tmp_path)
    assert configs.load("decoder/greedy").decoder.name == "greedy"
    assert decoders.create("greedy", tokenizer=TOKENIZER)
    with pytest.raises(PluginError, match=r"'nonsense' of plugin-nonsense 1.2 cannot be imported: \w+Error"):
        registry.load("decoder", "nonsense")


def test_wrong_parameters_name_the_right_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "plugin-five", "five = plugin_five:Mine")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UsageError, match=r"decoder 'five': .*'wdth'; its settings are: width"):
        decoders.create("five", tokenizer=TOKENIZER, wdth=3)


def test_wrong_parameters_and_failing_constructors_name_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = "super().__init__(tokenizer)\n        "
    for number, line in enumerate(
        ("raise ValueError('width?')", "raise RuntimeError('libfast: no licence')")
    ):
        source = SOURCE.replace(body, body + line + "\n        ")
        install(tmp_path, f"plugin-made-{number}", f"made{number} = plugin_made_{number}:Mine", source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UsageError, match=r"decoder 'made0' of plugin-made-0 1.2 cannot be made: width\?"):
        decoders.create("made0", tokenizer=TOKENIZER)
    with pytest.raises(
        PluginError, match=r"'made1' of plugin-made-1 1.2 cannot be made: RuntimeError: libfast"
    ):
        decoders.create("made1", tokenizer=TOKENIZER)


def test_a_command_names_the_plugin_that_fails_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = SOURCE.replace("tokens, frames =", "raise OSError('scratch is full')\n        tokens, frames =")
    install(tmp_path, "plugin-full", "full = plugin_full:Mine", source, full=CONFIG.format(name="full"))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(speechlstm, "load", lambda path, **where: SpellingBundle())
    write(tmp_path / "a.wav", "yes")
    arguments = ["transcribe.py", str(tmp_path / "a.wav"), "decoder=full"]
    monkeypatch.setattr(sys, "argv", [*arguments])
    with pytest.raises(SystemExit, match="1"):
        transcribe.main()
    assert capsys.readouterr() == (
        "",
        "error: decoder 'full' of plugin-full 1.2 failed: OSError: scratch is full\n",
    )
    monkeypatch.setattr(sys, "argv", [*arguments, "debug=true"])
    with pytest.raises(DecoderError):
        transcribe.main()
    monkeypatch.setattr(sys, "argv", [*arguments[:2], "decoder=greedy"])
    transcribe.main()
    assert capsys.readouterr().out == "yes\n"


# the plugins of this project


@pytest.mark.slow
@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda path: path.name)
def test_a_plugins_own_tests_pass_and_nothing_is_imported_early(plugin: Path, tmp_path: Path) -> None:
    """Run them in a process of their own, with the package as if installed from its pyproject.toml."""
    project = tomllib.loads((plugin / "pyproject.toml").read_text())["project"]
    for requirement in map(Requirement, project["dependencies"]):
        try:
            assert version(requirement.name) in requirement.specifier, requirement
        except PackageNotFoundError:
            pytest.skip(f"{requirement.name} is not installed")
    [(group, entries)] = project["entry-points"].items()
    [(name, value)] = entries.items()
    stage = next(stage for stage, each in GROUPS.items() if each == group)
    register(tmp_path, project["name"], f"{name} = {value}", group)
    configured = "" if stage == "bundle" else f"; configs.load('{stage}/{name}')"
    paths = [str(tmp_path), str(plugin), os.environ["PYTHONPATH"]]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    code = (
        "import sys; from speechlstm import configs; from speechlstm.model import registry\n"
        f"assert {name!r} in registry.names({stage!r}) and 'greedy' in registry.names('decoder'){configured}\n"
        f"early = {{{value.partition(':')[0]!r}, 'torch', 'speechlstm.decoders.greedy'}} & set(sys.modules)\n"
        "assert not early, early\n"
        "import pytest; sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', sys.argv[1]]))"
    )
    command = [sys.executable, "-c", code, str(plugin / "tests")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_test_extra_brings_what_the_plugins_need() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    there = {Requirement(text).name: Requirement(text) for text in extras["test"]}
    for plugin in PLUGINS:
        project = tomllib.loads((plugin / "pyproject.toml").read_text())["project"]
        for requirement in map(Requirement, project["dependencies"]):
            if requirement.name not in ("speechlstm", "torchaudio"):
                assert there[requirement.name].specifier == requirement.specifier, plugin.name
