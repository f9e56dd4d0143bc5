"""README, CONTRIBUTING, and docs/: each block of commands or Python runs in a test of its own; the site builds."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile

import speechlstm
from speechlstm import configs
from speechlstm.cli import main as cli
from speechlstm.configs.arguments import split
from speechlstm.data.audio import load_audio
from speechlstm.data.files import write_atomically
from speechlstm.data.manifest import parse_line, read_manifest

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "speechlstm" / "data" / "samples"
README = ROOT / "README.md"
TOP = [README, ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"]
DOCUMENTS = [*TOP, *sorted((ROOT / "docs").rglob("*.md"))]
# A block that does not run says so in a comment above it: what is tested instead, and why.
REASONS = {
    "composed": {
        "needs several devices",
        "needs a phone lexicon",
        "needs the English model",
        "takes hours",
        "runs until it is stopped",
    },
    "not run": {"installs packages", "needs a microphone", "needs a bucket", "runs the tests themselves"},
}
SHRUNK = {  # settings of every training, for the sake of time
    "trainer.max_epochs": "1",
    "trainer.accelerator": "cpu",
    "trainer.precision": "32-true",
    "encoder.conv_channels": "2",
    "encoder.hidden_size": "8",
    "encoder.num_layers": "1",
    "data.num_workers": "0",
}
_BLOCK = re.compile(r"(?:^<!-- ([\w ]+): ([\w ]+) -->\n)?^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block: its document, how and why it is exempt from running, its language, and its text."""

    document: str
    number: int
    how: str
    reason: str
    language: str
    text: str

    @property
    def lines(self) -> list[str]:
        joined = self.text.replace("\\\n", " ").splitlines()
        return [line.strip() for line in joined if line.strip() and not line.startswith("#")]


def _blocks() -> list[Block]:
    found = []
    for document in DOCUMENTS:
        text = document.read_text()
        matches = _BLOCK.findall(text)
        assert text.count("```") == 2 * len(matches), f"{document}: a fence is not closed"
        name = str(document.relative_to(ROOT))
        found += [Block(name, number, *match) for number, match in enumerate(matches, 1)]
    return found


BLOCKS = _blocks()


def needs(block: Block) -> None:
    """Skip a block whose extra is not installed."""
    for name in {"docs/how-to/onnx.md": ("onnx", "onnxruntime")}.get(block.document, ()):
        pytest.importorskip(name, reason=f"{name} is not installed")


def those(language: str, how: str = "") -> list[object]:
    chosen = [block for block in BLOCKS if block.language == language and block.how == how]
    return [pytest.param(block, id=f"{block.document}-{block.number}") for block in chosen]


def test_each_block_is_of_a_kind_that_is_tested() -> None:
    for block in BLOCKS:
        assert block.language in ("bash", "python", "json", "text"), block
        assert not block.how or (block.language == "bash" and block.reason in REASONS[block.how]), block


def speak_samples(folder: Path) -> list[str]:
    """Lay out the samples as recordings with texts, and as the AN4 corpus; return their ids."""
    (folder / "recordings").mkdir()
    etc = folder / "corpora/an4/etc"
    etc.mkdir(parents=True)
    names, lines = [], []
    samples = read_manifest(SAMPLES / "samples.jsonl")
    for sample in samples:
        waveform = load_audio(sample.audio_filepath, 16_000)
        soundfile.write(folder / "recordings" / f"{sample.id}.wav", waveform, 16_000)
        (folder / "recordings" / f"{sample.id}.txt").write_text(sample.text)
        speaker = f"an4_clstk/{str(sample.speaker).rpartition('+')[2].lower()}"
        sphere = folder / "corpora/an4/wav" / speaker / f"{sample.id}.sph"
        sphere.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(sphere, waveform, 16_000, format="NIST", subtype="PCM_16")
        names.append(f"{speaker}/{sample.id}\n")
        lines.append(f"<s> {sample.text.upper()} </s> ({sample.id})\n")
    (etc / "an4_train.fileids").write_text("".join(names))
    (etc / "an4_train.transcription").write_text("".join(lines))
    return [sample.id for sample in samples]


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with what the documents name: audio, corpora, manifests, a tiny model, an n-gram model."""
    folder = tmp_path_factory.mktemp("stage")
    ids = speak_samples(folder)
    for name in ("call.wav", "talks/one.flac", "talks/day 2/two.ogg", "an odd, name=1.mp3"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / name, load_audio(SAMPLES / "stop.flac", 16_000), 16_000)
    spoken = [load_audio(SAMPLES / f"{name}.flac", 16_000) for name in ("number", "stop")]
    soundfile.write(folder / "chapter.wav", np.concatenate(spoken), 16_000)
    (folder / "chapter.txt").write_text("four one two five five\noh one nine\n\nStop!\n")
    (folder / "noises").mkdir()
    soundfile.write(folder / "noises/hum.wav", 0.1 * np.sin(np.arange(16_000) / 20), 16_000)
    for corpus in ("data/mine", "data/an4"):
        for part, chosen in {"train": ids[:4], "dev": ids[4:]}.items():
            sources = [folder / "recordings" / name for name in chosen]
            lines = [
                {
                    "audio_filepath": f"{source}.wav",
                    "duration": soundfile.info(f"{source}.wav").duration,
                    "text": Path(f"{source}.txt").read_text(),
                }
                for source in sources
            ]
            text = "".join(f"{json.dumps(line)}\n" for line in lines)
            write_atomically(
                folder / corpus / f"{part}.jsonl", text
            )  # as if by a command, which may replace it
    for command in (
        "speechlstm train experiment=an4",
        "speechlstm lm manifest=data/an4/train.jsonl order=3 out=an4.arpa",
        "speechlstm evaluate manifest=data/an4/dev.jsonl bundle=runs/an4/bundle out=greedy.jsonl",
    ):
        run(command, folder)
    shutil.copytree(folder / "runs/an4", folder / "runs/mine")
    write_atomically(folder / "conf/decoder/tuned.yaml", "defaults: [beam]\nbeam_size: 8\n")
    return folder


@pytest.fixture
def place(stage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a copy of the stage."""
    folder = shutil.copytree(stage, tmp_path / "stage")
    monkeypatch.chdir(folder)
    return folder


def shrink(words: Sequence[str]) -> list[str]:
    """Return the words of a command with settings for a short run; what the document sets as a sweep stays."""
    words = [re.sub("^trials=.*", "trials=2", word) for word in words]
    if words[0] == "compare":
        return [*words, "workers=1"]  # each worker is a process that imports PyTorch
    if words[0] == "inspect" and any(word.startswith("bundle=") for word in words):
        return [*words, "png=false"]  # which takes most of the time; without a bundle they are drawn
    if words[0] != "train":
        return words
    kept = [word for word in words if word.split("=")[0] not in SHRUNK or "," in word]
    given = {word.split("=")[0] for word in kept}
    return kept + [f"{key}={value}" for key, value in SHRUNK.items() if key not in given]


def run(command: str, folder: Path) -> str:
    """Run a `speechlstm` command in this process, made small; return what it prints."""
    words = shlex.split(command.replace("/path/to/an4", str(folder / "corpora/an4")), comments=True)
    if words[1] == "train":  # from the beginning, not from the stage's own checkpoint
        named = dict(word.split("=", 1) for word in words if "=" in word)
        run_folder = named.get("name", named.get("experiment", "my-speech"))
        shutil.rmtree(folder / "runs" / run_folder, ignore_errors=True)
    printed, status = io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.chdir(folder)
        patch.setattr(sys, "argv", [words[0], *shrink(words[1:])])
        patch.setattr(logging.root, "handlers", [])  # as in a new process
        patch.setattr(sys.modules["__main__"], "__spec__", None)
        patch.setenv("PYTHONSAFEPATH", "1")
        patch.setenv("HYDRA_FULL_ERROR", "1")
        try:
            cli.main()
        except SystemExit as leaving:
            status = leaving.code
    # `validate` finds fault with recordings of one second, and says so by its status
    assert status in ((0, 1, 3) if words[1] == "validate" else (0, None)), f"{command}\n{printed.getvalue()}"
    assert words[1] not in ("transcribe", "evaluate") or printed.getvalue() or "out=" in command, command
    return printed.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("block", those("bash"))
def test_commands_run(block: Block, place: Path) -> None:
    needs(block)
    for line in block.lines:
        words = shlex.split(line, comments=True)
        if words[0] == "speechlstm":
            printed = run(line, place)
            assert line != "speechlstm transcribe call.wav" or printed == "stop\n"
        else:  # test_scripts.py runs them
            assert words[0] == "bash" and (ROOT / words[1]).is_file(), f"{line}: unknown"


@pytest.mark.parametrize("block", those("bash", "composed"))
def test_commands_too_large_compose(block: Block) -> None:
    found = [line.partition("speechlstm ")[2] for line in block.lines if "speechlstm" in line]
    assert found
    for command in found:
        name, *overrides = shlex.split(command, comments=True)
        flags = [word for word in overrides if not word.startswith("--multirun")]
        assert configs.load(name, split(flags)[0]), command


@pytest.mark.slow
@pytest.mark.parametrize("block", those("python"))
def test_python_runs(block: Block, place: Path) -> None:
    needs(block)
    names: dict[str, object] = {"__name__": "block"}
    exec(block.text, names)
    for kind in [value for value in names.values() if isinstance(value, type)]:
        if issubclass(kind, speechlstm.Decoder) and kind is not speechlstm.Decoder:
            recognizer = speechlstm.load()
            decoder = kind(tokenizer=recognizer.tokenizer)
            assert speechlstm.load(decoder=decoder).transcribe("call.wav").text == "stop"


@pytest.mark.parametrize("block", those("json"))
def test_manifest_lines_are_right(block: Block, tmp_path: Path) -> None:
    for line in block.lines:
        assert parse_line(line, block.document, tmp_path).text


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_document_names_exists(document: Path) -> None:
    text = document.read_text()
    for link in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", text):
        made = link.endswith("reference/settings.md")  # when the site is built
        assert made or (document.parent / link).exists(), link
    for name in re.findall(r"`((?:tests|scripts|benchmarks|plugins|conf|speechlstm)/[\w./-]+)`", text):
        assert name == "conf/decoder/tuned.yaml" or (ROOT / name).exists(), name  # that one `tune` makes
    for name in re.findall(r"`speechlstm ([a-z]+)", text):
        assert name in cli.commands(), name


def test_every_extra_is_explained() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    table = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/architecture.md").read_text(), re.MULTILINE)
    assert sorted(table) == sorted(extras)


def test_the_readme_is_short() -> None:
    assert len(README.read_text().splitlines()) <= 150


@pytest.mark.slow
def test_the_site_builds_strictly(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", tmp_path / "site"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    settings = (tmp_path / "site/reference/settings/index.html").read_text()
    assert "beam_size" in settings and "prefixes kept after each frame" in settings
    assert all(f"speechlstm {name}" in settings for name in cli.commands())
    options = [path for path in (ROOT / "conf").glob("*/*.yaml") if path.parent.name != "hydra"]
    assert len(options) > 40 and all(f"{path.parent.name}={path.stem}" in settings for path in options)
