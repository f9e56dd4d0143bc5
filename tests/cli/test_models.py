"""`speechlstm models`: what it says of the installed models, of one, and of those that cannot be used."""

from __future__ import annotations

import errno
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import speechlstm
from speechlstm.cli import models, plugins, transcribe
from speechlstm.model import catalog, installed, registry
from speechlstm.model.bundle import load_bundle
from speechlstm.model.description import read_about
from speechlstm.types import BundleError

Run = Callable[..., tuple[int, str, str]]
SMALL = Path(speechlstm.__file__).parent / "model" / "pretrained"
ENGLISH = Path(__file__).parents[2] / "plugins/speechlstm-english/speechlstm_english"
FIGURE = {"corpus": "mine", "split": "dev", "words": 200, "wer": 0.125, "interval": [0.1, 0.15]}


def bundle(folder: Path, **changes: Any) -> Path:
    """Copy the small bundle, with changes of its config; None takes a key out."""
    shutil.copytree(SMALL, folder)
    config = json.loads((folder / "config.json").read_text()) | changes
    kept = {key: value for key, value in config.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(kept))
    return folder


def package(site: Path, name: str, **changes: Any) -> Path:
    """Install a package with a bundle, and return its folder."""
    folder = bundle(site / f"{name}_package", **changes)
    info = site / f"{name}_package-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-package\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[speechlstm.bundles]\n{name} = {name}_package\n")
    return folder


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder that packages can be installed into, and work beside it."""
    (tmp_path / "site").mkdir()
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path / "site"


def test_the_list_says_what_each_is_and_which_is_used(site: Path, run_command: Run) -> None:
    package(site, "mine", language="de", figures=[FIGURE])
    status, out, err = run_command(models)
    assert (status, err) == (0, "")
    mine, small = out.split("\n\n")
    assert mine.splitlines()[0] == "mine (default)  mine-package 1.2"
    assert "\n  hears     de, 16 kHz; 110 tokens of kind words\n" in mine
    assert "\n  encoder   blstm, 3 x 256 units: Convolutional subsampling, stacked bidirectional LSTM" in mine
    assert "\n  decoder   greedy\n" in mine and "MB, 5.1 million weights in float16\n" in mine
    assert "\n  figures   12.50% of 200 words wrong (10.00% to 15.00%): mine dev" in mine
    assert small.startswith(f"small  speechlstm {speechlstm.__version__}\n  hears     en, 16 kHz; ")


def test_without_others_the_small_one_is_the_default_with_the_figures_of_its_card(run_command: Run) -> None:
    status, out, _ = run_command(models)
    assert status == 0 and out.startswith("small (default)  speechlstm ")
    card = (SMALL / "README.md").read_text()
    about = catalog.describe(SMALL)
    assert [figure.wer for figure in about.figures] == [0.0609, 0.0148, 0.03]
    for figure in about.figures:
        low, high = figure.interval
        assert f"{figure.wer:.2%} of {figure.words} words".replace("%", " %") in card
        assert f"{low:.2%} to {high:.2%})".replace("%", "") in card


def test_whoever_chose_no_model_is_told_how_little_the_small_one_knows(
    site: Path, run_command: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    audio = str(Path(speechlstm.__file__).parent / "data/samples/stop.flac")
    note = "note: this is the bundled model, which knows only letters, digits, numbers, and a few commands; for general"
    assert run_command(transcribe, audio)[1:] == ("stop\n", ""), (
        "a program that reads the messages is not told"
    )
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert note in run_command(transcribe, audio)[2]
    assert note not in run_command(transcribe, audio, "bundle=small")[2]
    package(site, "mine")
    assert note not in run_command(transcribe, audio)[2]


def test_the_english_one_has_the_figures_of_its_card() -> None:
    about = catalog.describe(ENGLISH)
    assert about.lexicon == 79_808 and about.decoder["name"] == "beam"
    assert about.decoder["lm"] == "lm.arpa.gz" and about.language == "en"
    card = (ENGLISH.parent / "README.md").read_text()
    assert len(about.figures) == 2
    for figure in about.figures:
        low, high = (f"{each:.2%}".rstrip("%") for each in figure.interval)
        line = f"{figure.wer:.2%} ({low} to {high}) | {figure.words} |".replace("%", " %")
        assert line in card


def test_weights_and_files_are_those_of_the_bundle() -> None:
    about = catalog.describe(SMALL)
    model = load_bundle(SMALL).model
    assert about.weights == sum(weight.numel() for weight in model.parameters())
    assert about.files["model.safetensors"] == (SMALL / "model.safetensors").stat().st_size
    assert about.tokens == json.loads((SMALL / "config.json").read_text())["tokenizer"]["tokens"][1:]


def test_one_is_described_in_full_by_name_and_by_folder(site: Path, run_command: Run) -> None:
    decoder = {"name": "beam", "lexicon": "strict", "lm": "lm.arpa", "beam_size": 7}
    folder = bundle(site.parent / "run", name="my model", figures=None, language=None)
    (folder / "decoder.json").write_text(json.dumps(decoder))
    (folder / "lm.arpa").write_text("\\data\\\n")
    status, out, err = run_command(models, "run", "small")
    assert (status, err) == (0, "")
    own, small = out.split("\n\n")
    assert own.splitlines()[0] == "run" and "\n  name      my model\n" in own
    assert "\n  hears     language unknown, 16 kHz; " in own
    assert "\n  decoder   beam lexicon=strict lm=lm.arpa beam_size=7\n" in own
    assert "\n  figures   none in its config.json\n" in own
    assert re.search(r"^  files +0\.\d\d MB  README\.md$", own, re.MULTILINE) and " MB  lm.arpa\n" in own
    assert "\n  features  logmel sample_rate=16000 num_mels=80 " in own and "\n  tokens    a and " in own
    assert small.startswith("small (default)  ") and f"\n  folder    {SMALL}\n" in small
    assert "... (110)" in small and "trained_on" not in out


def test_the_json_has_everything(site: Path, run_command: Run) -> None:
    package(site, "mine", figures=[FIGURE])
    (package(site, "torn") / "model.safetensors").unlink()
    status, out, err = run_command(models, "format=json")
    content = {each["name"]: each for each in json.loads(out)}
    assert status == 3 and "1 of 3 failed" in err
    assert content["mine"]["about"]["figures"] == [FIGURE]
    assert content["mine"]["about"]["encoder"]["hidden_size"] == 256
    assert content["torn"]["about"] is None and "missing" in content["torn"]["problem"]


def test_several_besides_the_small_one_leave_no_default(site: Path, run_command: Run) -> None:
    package(site, "mine")
    package(site, "other")
    status, out, err = run_command(models)
    assert status == 0 and "(default)" not in out
    assert "no default: several models are installed: choose with bundle=mine or bundle=other" in err


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors: missing"),
    "no config": (lambda folder: (folder / "config.json").unlink(), "no config.json in"),
    "cut weights": (
        lambda folder: (folder / "model.safetensors").write_bytes(
            (SMALL / "model.safetensors").read_bytes()[:9999]
        ),
        "model.safetensors: damaged: ",
    ),
    "other weights": (
        lambda folder: (folder / "model.safetensors").write_text("weights"),
        "model.safetensors: damaged: its header is cut short",
    ),
    "no JSON": (lambda folder: (folder / "config.json").write_text("{"), "config.json: damaged: "),
    "a wrong decoder": (
        lambda folder: (folder / "decoder.json").write_text('{"name": "beem"}'),
        "decoder.json: no decoder 'beem'; did you mean 'beam'?",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_one_that_is_broken_is_one_sentence_and_the_others_are_listed(
    site: Path, run_command: Run, kind: str
) -> None:
    damage, message = BROKEN[kind]
    damage(package(site, "torn"))
    status, out, err = run_command(models)
    assert status == 3 and out.startswith("small  speechlstm ")
    lines = err.splitlines()
    assert len(lines) == 2 and lines[0].startswith("failed: ") and message in lines[0]
    assert lines[1] == "1 of 2 failed, named above"
    status, out, err = run_command(plugins)
    assert status == 1 and message in err and "describes it." in out


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder": {"name": "other"}}, "the model needs encoder 'other', which is not installed"),
        ({"tokenizer": {"kind": "other"}}, "the model needs tokenizer 'other', which is not installed"),
        ({"tokenizer": {"kind": "words"}}, "the tokenizer has no list of tokens"),
        ({"language": 5}, "language is 5, but must be the code of a language, such as en"),
        ({"sample_rate": 0}, "sample_rate is 0, but must be a whole number from 1000 to 768000"),
        ({"sample_rate": 10**400}, "sample_rate is 1000000"),
        ({"figures": {}}, "figures is {}, but must be a list"),
        ({"figures": [5]}, "figures[0] is 5, but must have just corpus, split, words, wer, interval"),
        (
            {"figures": [FIGURE, FIGURE | {"wer": "5 %"}]},
            "figures[1]: wer is '5 %', but must be a number from",
        ),
        (
            {"figures": [FIGURE | {"interval": [0.2, 0.1]}]},
            "interval is [0.2, 0.1], but must be a list, each",
        ),
        ({"figures": [FIGURE | {"words": 0}]}, "figures[0]: words is 0, but must be a whole number from 1"),
    ],
)
def test_what_its_config_has_wrong_is_named(
    site: Path, run_command: Run, changes: dict[str, Any], message: str
) -> None:
    folder = bundle(site.parent / "run", **changes)
    status, out, err = run_command(models, "run")
    assert (status, out) == (1, "")
    assert err.splitlines()[0].startswith(f"failed: {folder.name}/config.json: ") and message in err


def test_figures_are_for_people_and_do_not_stop_the_model(tmp_path: Path) -> None:
    folder = bundle(tmp_path / "run", figures="many")
    assert load_bundle(folder).name == "letters-digits-commands"
    with pytest.raises(BundleError, match="figures is 'many'"):
        read_about({"figures": "many"}, "config.json")


def test_a_name_that_nobody_has(site: Path, run_command: Run) -> None:
    status, out, err = run_command(models, "smal", "small")
    assert status == 3 and out.startswith("small (default)")
    assert "failed: smal: no such folder, and no installed model of that name; did you mean 'small'?" in err


def test_a_folder_that_cannot_be_looked_into_is_one_sentence(
    site: Path, run_command: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    torn = package(site, "torn")
    is_file = Path.is_file

    def refused(path: Path) -> bool:
        if path.parent == torn:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return is_file(path)

    monkeypatch.setattr(Path, "is_file", refused)
    status, out, err = run_command(models)
    assert (
        status == 3
        and out.startswith("small  speechlstm ")
        and "/torn_package/config.json: Permission denied; is" in err
    )
    status, out, err = run_command(models, "x" * 5000, "small")
    assert (
        status == 3 and out.startswith("small ") and "xxx: File name too long; is this the right name" in err
    )


def test_strange_settings_are_no_traceback(site: Path, run_command: Run) -> None:
    encoder = {"name": "blstm", "num_layers": "x", "hidden_size": [5]}
    bundle(site.parent / "run", encoder=encoder, packages=5, seed={"a": 1}, dtype=[1], name="a\x1bb")
    status, out, err = run_command(models, "run")
    assert (status, err) == (0, "") and "encoder   blstm: Convolutional" in out and r"a\x1bb" in out


def test_a_name_that_two_packages_claim_is_named_for_both(site: Path, run_command: Run) -> None:
    package(site, "mine")
    package(site, "small")
    info = site / "mine_package-1.2.dist-info/entry_points.txt"
    info.write_text("[speechlstm.bundles]\nmine = mine_package\nagain = mine_package\n")
    (site / "small_package-1.2.dist-info/entry_points.txt").write_text(
        "[speechlstm.bundles]\nsmall = small_package\nmine = small_package\n"
    )
    status, out, err = run_command(models)
    assert status == 3 and out.startswith("again  mine-package 1.2\n")
    assert err.count("bundle 'mine' is claimed by mine-package 1.2 and small-package 1.2") == 2
    assert "bundle 'small' of small-package 1.2 is not used: speechlstm has one" in err


def test_the_list_imports_no_torch() -> None:
    code = (
        "import sys; sys.argv = ['speechlstm', 'models', 'small']\n"
        "import speechlstm.cli.main as c\n"
        "try: c._run(*sys.argv[1:])\n"
        "except SystemExit as stop: assert not stop.code\n"
        "early = {'torch', 'numba', 'safetensors'} & set(sys.modules); assert not early, early"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "figures   6.09% of 591 words wrong" in done.stdout


def test_encoders_that_read_live_speech_once_say_so() -> None:
    for name in registry.names("encoder"):
        is_live = hasattr(registry.load("encoder", name), "stream")
        assert ("live speech" in installed.summary("encoder", name)) == is_live, name
