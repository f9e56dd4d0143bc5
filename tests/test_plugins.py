"""The plugin door: found by entry point, configured by the search path, and plain words when it fails."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch

from speechlstm import configs, decoders
from speechlstm.decoders import registry
from speechlstm.errors import DecoderError, UsageError
from speechlstm.tokenizer import Characters

EXAMPLE = Path(__file__).parents[1] / "plugins" / "speechlstm-example"
TOKENIZER = Characters.from_texts(["ab"])
CONFIG = "_target_: speechlstm.decoders.create\nname: {name}\n"
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


def register(folder: Path, package: str, entry: str) -> None:
    info = folder / f"{package.replace('-', '_')}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[speechlstm.decoders]\n{entry}\n")


def test_a_plugin_is_found_configured_and_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = CONFIG.format(name="mine") + "width: 2  # tokens\n"
    install(tmp_path, "plugin-one", "mine = plugin_one:Mine", mine=config)
    assert "mine" not in decoders.names()
    monkeypatch.syspath_prepend(tmp_path)
    assert {"mine", "greedy"} <= set(decoders.names())
    assert "mine" in configs.option_names("decoder")
    cfg = configs.load("decoder/mine", ["decoder.width=3"])
    assert "plugin_one" not in sys.modules, "the config is composed without importing the plugin"
    decoder = configs.build(cfg.decoder, tokenizer=TOKENIZER)
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
    install(tmp_path, "plugin-two", "beamy = plugin_two:Mine")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UsageError, match=r"no decoder 'beamz'; did you mean 'beamy'\?.*beamy.*greedy"):
        decoders.create("beamz", tokenizer=TOKENIZER)


@pytest.mark.parametrize(
    ("module", "source", "cause"),
    [
        ("plugin_absent", "import no_such_module_anywhere", "ModuleNotFoundError.*no_such_module_anywhere"),
        ("plugin_syntax", "def (", "SyntaxError"),
        ("plugin_raises", "raise OSError('libfast.so: cannot open')", "OSError: libfast.so: cannot open"),
        ("plugin_empty", "", "AttributeError.*Mine"),
    ],
)
def test_an_import_that_fails_names_package_and_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, source: str, cause: str
) -> None:
    install(tmp_path, "plugin-broken", f"broken = {module}:Mine", source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DecoderError, match=f"'broken' of plugin-broken 1.2 cannot be imported: {cause}"):
        decoders.create("broken", tokenizer=TOKENIZER)
    assert decoders.create("greedy", tokenizer=TOKENIZER), "a broken plugin must not harm the others"


def test_a_class_that_is_no_decoder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "plugin-three", "odd = plugin_three:Mine", "class Mine: ...")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DecoderError, match=r"plugin_three:Mine of plugin-three 1.2 is not a"):
        decoders.create("odd", tokenizer=TOKENIZER)


def test_a_clash_names_both_packages_and_chooses_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "plugin-four", "greedy = plugin_four:Mine")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DecoderError, match=r"'greedy' is claimed by plugin-four 1.2 and speechlstm "):
        decoders.create("greedy", tokenizer=TOKENIZER)
    assert "plugin_four" not in sys.modules


def test_a_plugin_whose_module_is_gone_does_not_stop_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(tmp_path, "plugin-gone", "gone = plugin_gone:Mine")
    monkeypatch.syspath_prepend(tmp_path)
    assert configs.load("decoder/greedy").decoder.name == "greedy"
    with pytest.raises(DecoderError, match=r"plugin-gone 1.2 cannot be imported: ModuleNotFoundError"):
        registry.load("gone")


def test_wrong_parameters_name_the_right_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "plugin-five", "five = plugin_five:Mine")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UsageError, match=r"decoder 'five': .*'wdth'; its parameters are: width"):
        decoders.create("five", tokenizer=TOKENIZER, wdth=3)


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the example importable as if installed from its pyproject.toml."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    [(name, value)] = project["entry-points"][configs.PLUGIN_GROUP].items()
    register(tmp_path, project["name"], f"{name} = {value}")
    monkeypatch.syspath_prepend(EXAMPLE)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_the_example_composes_and_decodes(example: Path) -> None:
    cfg = configs.load("decoder/example", ["decoder.blank_penalty=0.5"])
    decoder = configs.build(cfg.decoder, tokenizer=TOKENIZER)
    log_probs = torch.tensor([[[0.6, 0.0, 0.4, 0.0], [0.1, 0.0, 0.0, 0.9]]]).log()
    [[hypothesis]] = decoder(log_probs, torch.tensor([2]))
    assert TOKENIZER.decode(hypothesis.tokens) == "ab"


def test_the_examples_own_tests_pass_and_nothing_is_imported_early(example: Path) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(example), str(EXAMPLE)])}
    code = (
        "import sys, speechlstm.decoders as d; assert {'example', 'greedy'} <= set(d.names())\n"
        "early = {'speechlstm_example', 'speechlstm.decoders.greedy'} & set(sys.modules)\n"
        "assert not early, early\n"
        "import pytest; sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', sys.argv[1]]))"
    )
    command = [sys.executable, "-c", code, str(EXAMPLE / "tests")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
