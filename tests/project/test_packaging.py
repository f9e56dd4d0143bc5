"""The wheel carries all that the package needs, and works installed, from any folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

import speechlstm
from speechlstm import configs
from speechlstm.model.acoustic import AcousticModel
from speechlstm.model.bundle import Bundle
from speechlstm.model.selftest import save_bundle
from speechlstm.model.tokenizer import Characters

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "speechlstm"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the sdist, and the wheel from the sdist, so both are complete."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (path,) = built.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def installed(wheel: Path, no_plugins: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel into a fresh environment that borrows its dependencies from this one."""
    folder = tmp_path_factory.mktemp("elsewhere")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "env")], check=True)
    target = folder / "env" / "bin" / "python"
    command = [sys.executable, "-m", "pip", "--python", str(target), "--disable-pip-version-check", "install"]
    subprocess.run([*command, "-qq", "--no-index", "--no-deps", str(wheel)], check=True)
    # A path line in a .pth comes after the environment's own packages, and the .pth of an editable install in there
    # is not read, so it is the wheel's package that is imported.
    (site,) = (folder / "env" / "lib").glob("python*/site-packages")
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    shutil.copy(no_plugins, site)
    return folder


def run(installed: Path, program: str, *arguments: str, status: int = 0) -> str:
    """Run a program of the fresh environment in a folder of its own; return what it prints."""
    work = installed / "work"
    work.mkdir(exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command = [str(installed / "env" / "bin" / program), *arguments]
    result = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True)
    assert result.returncode == status, result.stdout[-2000:] + result.stderr[-2000:]
    return result.stdout


def files(folder: Path, prefix: str) -> set[str]:
    paths = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {f"{prefix}/{path.relative_to(folder).as_posix()}" for path in paths}


def test_wheel_has_the_package_and_its_configs_and_nothing_else(names: set[str]) -> None:
    expected = files(PACKAGE, "speechlstm") | files(ROOT / "conf", "speechlstm/configs/conf")
    expected |= files(ROOT / "hydra_plugins", "hydra_plugins")
    assert {name for name in names if ".dist-info/" not in name} == expected
    assert {
        "speechlstm/py.typed",
        "speechlstm/data/samples/samples.jsonl",
        "speechlstm/configs/conf/train.yaml",
    } <= names


def test_wheel_has_the_bundle(names: set[str], wheel: Path) -> None:
    parts = ("model.safetensors", "config.json", "tokens.txt", "selftest.safetensors", "README.md")
    assert {f"speechlstm/model/pretrained/{part}" for part in parts} <= names
    assert wheel.stat().st_size < 16e6


def test_wheel_says_what_it_is(wheel: Path, names: set[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (info,) = {name.split("/")[0] for name in names if ".dist-info/" in name}
    with zipfile.ZipFile(wheel) as archive:
        metadata = archive.read(f"{info}/METADATA").decode()
        scripts = archive.read(f"{info}/entry_points.txt").decode()
    assert info == f"speechlstm-{speechlstm.__version__}.dist-info"
    assert f"Requires-Python: {project['requires-python']}\n" in metadata
    assert all(f"Provides-Extra: {extra}\n" in metadata for extra in project["optional-dependencies"])
    assert "speechlstm = speechlstm.__main__:main" in scripts
    assert "greedy = speechlstm.decoders.greedy:GreedyDecoder" in scripts
    assert f"{info}/licenses/LICENSE" in names


def test_sdist_has_no_data_and_no_runs(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        tops = {Path(name).parts[1] for name in archive.getnames() if len(Path(name).parts) > 1}
    assert {"speechlstm", "conf", "pyproject.toml", "constraints.txt", "README.md", "LICENSE"} <= tops
    assert not tops & {"data", "runs", ".venv", "tests", "outputs"}


def test_the_wheels_own_package_is_imported(installed: Path) -> None:
    code = "import speechlstm, speechlstm.configs as c; print(speechlstm.__file__); print(c.CONF)"
    for line in run(installed, "python", "-c", code).splitlines():
        assert Path(line).is_relative_to(installed / "env")


def test_command_helps_from_any_folder(installed: Path) -> None:
    shown = run(installed, "speechlstm", "--help")
    assert all(
        f"  {path.stem} " in shown
        for path in (PACKAGE / "cli").glob("[a-z]*.py")
        if path.stem not in ("main", "devices")
    )


def test_configs_are_found_from_any_folder(installed: Path) -> None:
    out = installed / "made"
    (installed / "texts").mkdir()
    sample = PACKAGE / "data" / "samples" / "stop.flac"
    shutil.copy(sample, installed / "texts" / "stop.flac")
    (installed / "texts" / "stop.txt").write_text("stop")
    run(installed, "speechlstm", "prepare", "corpus=text_files", f"root={installed / 'texts'}", f"out={out}")
    (line,) = (out / "train.jsonl").read_text().splitlines()
    assert json.loads(line)["text"] == "stop"
    assert not list((installed / "work").iterdir()), "nothing is littered"


def test_a_bundle_of_this_checkout_is_reproduced(installed: Path) -> None:
    torch.manual_seed(0)
    cfg = configs.load(
        "train", ["data.train=a", "data.dev=b", "encoder.hidden_size=8", "encoder.num_layers=1"]
    )
    tokens = Characters.from_texts(["abc d"])
    features = configs.build_part("features", cfg.features)
    encoder = configs.build_part(
        "encoder", cfg.encoder, num_features=features.num_features, vocab_size=len(tokens)
    )
    nodes = {name: OmegaConf.to_container(cfg[name], resolve=True) for name in ("features", "encoder")}
    bundle = Bundle(AcousticModel(features, encoder), tokens, nodes | {"name": "tiny", "sample_rate": 16_000})
    save_bundle(bundle, installed / "tiny", "# tiny\n")
    assert ": reproduced: " in run(installed, "speechlstm", "verify", f"bundle={installed / 'tiny'}")


def test_the_shipped_bundle_is_reproduced(installed: Path) -> None:
    shown = run(installed, "speechlstm", "verify")
    assert ": reproduced: " in shown
    assert str(installed / "env") in shown


def test_the_shipped_bundle_hears_the_shipped_samples(installed: Path) -> None:
    (samples,) = (installed / "env").glob("lib/python*/site-packages/speechlstm/data/samples")
    odd = installed / "an odd, name=1.flac"
    shutil.copy(samples / "stop.flac", odd)
    assert run(installed, "speechlstm", "transcribe", str(odd)).strip().lower() == "stop"
    manifest = f"manifest={samples / 'samples.jsonl'}"
    report = json.loads(run(installed, "speechlstm", "evaluate", manifest, "format=json"))
    assert report["failed"] == 0
    assert report["wer"] <= 0.2, report["worst"]
