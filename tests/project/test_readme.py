"""The documents: every command and snippet in them runs, and every path they name exists."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from speechlstm import configs
from speechlstm.cli import main as cli
from speechlstm.configs.arguments import with_inputs
from speechlstm.data.audio import load_audio
from speechlstm.data.manifest import parse_line, read_manifest
from speechlstm.decoders import Decoder
from speechlstm.model.bundle import SHIPPED

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "speechlstm" / "samples"
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "plugins" / "README.md",
    *sorted((ROOT / "plugins").glob("*/README.md")),
]
SHRUNK = {
    "trainer.max_epochs": "1",
    "trainer.accelerator": "cpu",
    "trainer.precision": "32-true",
    "encoder.conv_channels": "2",
    "data.num_workers": "0",
}
NO_MODEL = "speechlstm/model/pretrained holds no model yet"
has_model = (SHIPPED / "config.json").exists()

_BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`(speechlstm \w+ [^`\n]+)`")
_DEMO = re.compile(r"@DEMO@|\S+\.flac, \d+\.\d s: ")
_TREE = re.compile(r"conf/ {4,}")


def blocks(document: Path) -> list[tuple[str, str]]:
    """Return each fenced block's language and text."""
    found = []
    for indent, language, text in _BLOCK.findall(document.read_text()):
        found.append((language, re.sub(rf"^{indent}", "", text, flags=re.MULTILINE)))
    assert document.read_text().count("```") == 2 * len(found), f"{document}: a fence is not closed"
    return found


def kind(language: str, text: str) -> str:
    """Say what a block is; an unknown one is no block that this test could vouch for."""
    if language in ("python", "yaml", "machines", "hours"):
        return language
    assert not language, f"a {language} block: teach this test to run it"
    for name, begin in {"demo": _DEMO, "tree": _TREE, "manifest": re.compile(r'\{"')}.items():
        if begin.match(text):
            return name
    return "commands"


def texts(document: Path, wanted: str) -> list[str]:
    return [text for language, text in blocks(document) if kind(language, text) == wanted]


def commands(document: Path) -> list[str]:
    """Return the command lines in blocks, and those with arguments within sentences, each once."""
    lines = "\n".join(texts(document, "commands")).replace("\\\n", " ").splitlines()
    inline = _INLINE.findall(_BLOCK.sub("", document.read_text()))
    found = [line.strip() for line in (*lines, *inline)]
    return list(dict.fromkeys(line for line in found if line and not line.startswith("#")))


ALL = [command for document in DOCUMENTS for command in commands(document)]


def shrunk(arguments: list[str]) -> list[str]:
    """Make a training small; settings of the command that say how large it is shrink with it."""
    given = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
    units = int(given.get("encoder.hidden_size", 256)) // 32
    settings = SHRUNK | {"encoder.hidden_size": str(units)}
    settings |= {} if "encoder.num_layers" in given else {"encoder.num_layers": "1"}
    kept = [argument for argument in arguments if argument.split("=")[0] not in settings]
    return kept + [f"{key}={value}" for key, value in settings.items()]


class Stage:
    """A folder with all that the documents' commands name."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.an4 = folder, folder / "corpora" / "an4"
        self.samples = read_manifest(SAMPLES / "samples.jsonl")
        audio = {sample.id: load_audio(sample.audio_filepath, 16_000) for sample in self.samples}
        for name in ("call.wav", "talks/one.flac", "talks/day 2/two.ogg", "an odd, name=1.mp3"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(folder / name, audio["stop"], 16_000)
        (folder / "noises").mkdir()
        soundfile.write(folder / "noises" / "hum.wav", 0.1 * np.sin(np.arange(16_000) / 20), 16_000)
        self._publish_an4(audio)
        for corpus in ("mine", "data/fsdd", "data/yesno", "data/speech_commands", "data/librispeech"):
            (folder / corpus).mkdir(parents=True)
            parts = {"train": self.samples[:4], "dev": self.samples[4:]}
            for part, samples in (parts | ({"test": self.samples[4:]} if corpus == "mine" else {})).items():
                lines = [
                    {"audio_filepath": u.audio_filepath, "duration": u.duration, "text": u.text}
                    for u in samples
                ]
                text = "".join(f"{json.dumps(line)}\n" for line in lines)
                (folder / corpus / f"{part}.jsonl").write_text(text)
        (folder / "speechlstm").symlink_to(ROOT / "speechlstm")

    def _publish_an4(self, audio: dict[str, np.ndarray]) -> None:
        (self.an4 / "etc").mkdir(parents=True)
        names, lines = [], []
        for sample in self.samples:
            speaker = f"an4_clstk/{str(sample.speaker).rpartition('+')[2].lower()}"
            (self.an4 / "wav" / speaker).mkdir(parents=True, exist_ok=True)
            sphere = self.an4 / "wav" / speaker / f"{sample.id}.sph"
            soundfile.write(sphere, audio[sample.id], 16_000, format="NIST", subtype="PCM_16")
            names.append(f"{speaker}/{sample.id}\n")
            lines.append(f"<s> {sample.text.upper()} </s> ({sample.id})\n")
        (self.an4 / "etc" / "an4_train.fileids").write_text("".join(names))
        (self.an4 / "etc" / "an4_train.transcription").write_text("".join(lines))

    def arguments(self, command: str) -> list[str]:
        """Return a command's words, with what stands for something put in its place."""
        words = shlex.split(command.replace("/path/to/an4", str(self.an4)), comments=True)
        words = ["call.wav" if word == "FILE" else word for word in words]
        if words[1] in ("train", "find", "sweep"):
            words = shrunk(words)
        return [re.sub("^trials=.*", "trials=2", word) for word in words]


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """Work on the stage, with the example plugin installed as its pyproject.toml says."""
    plugin = ROOT / "plugins" / "speechlstm-example"
    project = tomllib.loads((plugin / "pyproject.toml").read_text())["project"]
    [(name, value)] = project["entry-points"]["speechlstm.decoders"].items()
    information = tmp_path / "site" / "speechlstm_example-0.1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 0.1.0\n")
    (information / "entry_points.txt").write_text(f"[speechlstm.decoders]\n{name} = {value}\n")
    monkeypatch.syspath_prepend(plugin)
    monkeypatch.syspath_prepend(tmp_path / "site")
    (tmp_path / "stage").mkdir()
    monkeypatch.chdir(tmp_path / "stage")
    return Stage(tmp_path / "stage")


@pytest.fixture
def play(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[str], str]:
    """Run a `speechlstm` command on the stage, in this process, and return what it printed."""
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)  # the console command does so

    def call(command: str) -> str:
        monkeypatch.setattr(sys, "argv", stage.arguments(command))
        capsys.readouterr()
        try:
            cli.main()
            status: object = 0
        except SystemExit as leaving:
            status = leaving.code or 0
        out, err = capsys.readouterr()
        assert status == 0, f"{command}\nended with status {status}\n{out}\n{err}"
        check(command, stage.folder, out)
        return out

    return call


def check(command: str, folder: Path, out: str) -> None:
    """Look for what a command that ended well must have left behind."""
    _, name, *words = shlex.split(command, comments=True)
    settings = dict(word.split("=", 1) for word in words if "=" in word)
    if name == "prepare":
        manifests = sorted(path.name for path in (folder / settings["out"]).glob("*.jsonl"))
        assert manifests == ["dev.jsonl", "train.jsonl"], command
    elif name == "train":
        run = settings.get("out", f"runs/{settings.get('name', settings.get('experiment'))}")
        swept = "--multirun" in words
        found = sorted((folder / (f"{run}-sweep" if swept else run)).rglob("model.safetensors"))
        assert len(found) == (3 if swept else 1), f"{command}: bundles {found}"
    elif name == "transcribe" and "out" in settings:
        wanted = {f"talks/one.{settings['format']}", f"talks/day 2/two.{settings['format']}"}
        outputs = folder / settings["out"]
        assert {str(path.relative_to(outputs)) for path in outputs.rglob("*.*")} == wanted, command
    elif name == "transcribe":
        assert out, command
    elif name == "evaluate":
        assert "words" in out and "95 % interval" in out, command
        if "report" in settings:
            assert "</html>" in (folder / settings["report"]).read_text(), command
        if "out" in settings:
            assert len(read_manifest(folder / settings["out"])) == len(read_manifest(settings["manifest"]))
    elif name == "verify":
        assert "reproduced" in out and "NOT" not in out, command
    elif name == "lm":
        assert (folder / settings["out"]).read_text().startswith("\\data\\"), command
    elif name == "tune":
        assert "best: WER" in out and (folder / "conf/decoder/tuned.yaml").is_file(), command
    elif name == "align":
        written = folder / settings["out"]
        wanted = len(read_manifest(folder / settings["manifest"]))
        assert written.is_file() or len(list(written.glob("*.TextGrid"))) == wanted, command
    elif name == "inspect":
        assert (folder / settings["out"] / "call.html").is_file(), command
    elif name == "find":
        assert re.search(r"optimizer\.lr=[0-9.e-]+", out), command
    elif name == "sweep":
        assert "best trials" in out and list((folder / "runs").rglob("study.db")), command
    elif name == "listen":
        assert len(list((folder / settings["out"]).glob("*.wav"))) == 4, command
    elif name == "plugins":
        assert "beam" in out and "greedy" in out, command
        assert "plot" not in settings or (folder / settings["plot"]).read_bytes()[1:4] == b"PNG", command
    else:
        assert name == "validate", f"{command}: teach this test what it leaves behind"


def needs_shipped(command: str) -> bool:
    """Whether a command needs the model that ships with the package."""
    words = command.split()
    return words[1] in ("transcribe", "evaluate", "verify", "tune", "align") and "bundle=" not in command


def in_order(found: list[str]) -> list[str]:
    """Put what makes manifests, models and settings first: a document may use them on a page before."""
    makers = ["prepare", "validate", "train", "find", "sweep", "lm", "tune"]
    own = [command for command in found if command.startswith("speechlstm ")]
    return sorted(own, key=lambda line: (*makers, line.split()[1]).index(line.split()[1]))


def test_every_line_is_a_command_this_file_knows() -> None:
    assert len(ALL) > 12
    for command in ALL:
        words = shlex.split(command, comments=True)
        if words[0] == "speechlstm":
            assert words[1] in cli.commands(), command
        elif words[0] == "bash":
            assert words[1] in ("scripts/demo.sh", "scripts/test.sh"), f"{command}: teach this test to run it"
            assert subprocess.run(["bash", "-n", ROOT / words[1]]).returncode == 0, command
        else:
            assert words[:3] == ["pip", "install", "-e"], f"{command}: teach this test to run it"
            assert (ROOT / words[3] / "pyproject.toml").is_file(), command


@pytest.mark.slow
def test_commands_work_in_order(play: Callable[[str], str]) -> None:
    for command in in_order(ALL):
        if not needs_shipped(command):
            play(command)


@pytest.mark.slow
@pytest.mark.skipif(not has_model, reason=NO_MODEL)
def test_commands_work_with_the_shipped_model(play: Callable[[str], str]) -> None:
    for command in in_order(ALL):
        if needs_shipped(command) or command.split()[1] == "prepare":
            out = play(command)
            if "call.wav" in command:
                assert "stop" in out, "the model that is shipped hears what is shipped"


@pytest.mark.slow
@pytest.mark.skipif(not has_model, reason=NO_MODEL)
def test_demo_prints_what_the_document_shows() -> None:
    stamp = ROOT / ".venv" / "installed"
    made_of = b"".join((ROOT / name).read_bytes() for name in ("pyproject.toml", "constraints.txt"))
    wanted = subprocess.run(["cksum"], input=made_of, capture_output=True, check=True).stdout.decode()
    if not stamp.is_file() or stamp.read_text().strip() != f"{ROOT} {wanted.strip()}":
        pytest.skip("the environment is not of scripts/setup.sh, which would install first")
    done = subprocess.run(["bash", ROOT / "scripts/demo.sh"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    [shown] = texts(ROOT / "README.md", "demo")
    heard = re.findall(r"^\S+\.flac, .*$", shown, re.MULTILINE)
    assert heard and set(heard) <= set(done.stdout.splitlines())


@pytest.mark.parametrize(("kind", "count"), [("machines", 7), ("hours", 5)])
def test_commands_too_large_for_here_compose(kind: str, count: int) -> None:
    """What they do is tested in `tests/test_ranks.py` and `tests/test_compare.py`, on one machine, in seconds."""
    lines = "\n".join(texts(ROOT / "README.md", kind)).replace("\\\n", " ").splitlines()
    found = [line.partition("speechlstm ")[2] for line in lines if "speechlstm" in line]
    assert len(found) == count
    for command in found:
        name, *overrides = shlex.split(command, comments=True)
        assert overrides and configs.load(name, with_inputs(overrides)), command


def test_snippets_of_python_run(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    snippets = [text for document in DOCUMENTS for text in texts(document, "python")]
    skipped = 0
    for snippet in snippets:
        if "speechlstm.load(" in snippet and not has_model:
            skipped += 1
            continue
        names: dict[str, object] = {}
        exec(compile(snippet, "snippet of README.md", "exec"), names)
        if "load(" in snippet:
            assert re.search(r"^ +\d+\.\d+ +\d+\.\d+ [01]\.\d+ \w+$", capsys.readouterr().out, re.MULTILINE)
        else:
            made = names["MyDecoder"]
            assert isinstance(made, type) and issubclass(made, Decoder) and not made.__abstractmethods__
    assert len(snippets) >= 2
    if skipped:
        pytest.skip(f"{skipped} of {len(snippets)} left out: {NO_MODEL}")


def test_examples_of_files_are_right(tmp_path: Path) -> None:
    lines = [
        line for document in DOCUMENTS for text in texts(document, "manifest") for line in text.splitlines()
    ]
    for line in lines:
        assert parse_line(line, "README.md", tmp_path).text
    settings = [yaml.safe_load(text) for document in DOCUMENTS for text in texts(document, "yaml")]
    for content in settings:
        assert content["name"]
    assert lines and settings


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_and_files_named_exist(document: Path) -> None:
    text = document.read_text()
    links = [document.parent / link for link in re.findall(r"\]\(([^)#:]+)\)", text)]
    named = re.findall(r"`((?:tests|scripts|benchmarks|plugins|conf|speechlstm)/[\w./-]*)`", text)
    for path in links:
        assert path.exists() or (SHIPPED in path.parents and not has_model), path
    for name in named:  # below the project's folder, or the document's own
        assert (ROOT / name).exists() or (document.parent / name).exists(), name


def tree() -> list[Path]:
    """Return the paths in the first column of the README's tree, each below the folder it is indented under."""
    [text] = texts(ROOT / "README.md", "tree")
    paths, parent = [], ROOT
    for line in text.splitlines():
        found = re.match(r"( *)([\w./]+)", line)
        assert found, line
        paths.append((parent if found[1] else ROOT) / found[2])
        parent = parent if found[1] else paths[-1]
    return paths


def test_the_house_stands_as_drawn() -> None:
    paths = tree()
    assert len(paths) > 15
    assert [path for path in paths if not path.exists()] == []
    assert all(path.is_dir() for path in paths if not path.suffix)
