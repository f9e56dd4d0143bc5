"""Mistakes on the command line are explained, on a small tree of configs."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig

from speechlstm import configs
from speechlstm.configs import folders, program
from speechlstm.model.tokenizer import Characters
from speechlstm.types import AudioError, UsageError


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    files = {
        "run.yaml": """
defaults:
  - encoder: small
  - decoder: greedy
  - experiment: null
  - _self_
  - override hydra/job_logging: none
  - override hydra/hydra_logging: none
root: ???
seed: 0
twin: ${root}
debug: false
hydra: {run: {dir: .}, output_subdir: null}
""",
        "need.yaml": "defaults:\n  - encoder: ???\n  - _self_\nroot: 1\n",
        "encoder/small.yaml": "hidden_size: 3\nlayers: 2\n",
        "encoder/other.yaml": "_target_: torch.optim.SGD\nwidth: 3\n",
        "decoder/greedy.yaml": "name: greedy\n",
        "loss/plain.yaml": "weight: 1\n",
        "experiment/first.yaml": "# @package _global_\nseed: 4\n",
        "experiment/broken.yaml": "# @package _global_\ndefaults:\n  - override /encoder: smal\n",
    }
    for name, content in files.items():
        (tmp_path / "conf" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "conf" / name).write_text(content)
    monkeypatch.setattr(folders, "CONF", tmp_path / "conf")
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    monkeypatch.chdir(tmp_path)
    return tmp_path


MISTAKES = [
    ("sede=4", "no setting 'sede'; did you mean 'seed'?"),
    ("encoder.hiden_size=4", "no setting 'encoder.hiden_size'; did you mean 'encoder.hidden_size'?"),
    ("hidden_size=4", "no setting 'hidden_size'; did you mean 'encoder.hidden_size'?"),
    ("decodr=greedy", "no setting 'decodr'; did you mean 'decoder'?"),
    ("~sede", "no setting 'sede'; did you mean 'seed'?"),
    ("encoder=smal", "no encoder 'smal'; did you mean 'small'?; there are: other, small"),
    ("encoder=xyz", "no encoder 'xyz'; there are: other, small"),
    ("experiment=frist", "no experiment 'frist'; did you mean 'first'?; there are: broken, first"),
    ("experiment=broken", "no encoder 'smal'; did you mean 'small'?; there are: other, small"),
    ("loss=plain", "no setting 'loss'"),  # a group, but none that this command has
    ("+seed=4", "there is a setting 'seed' already: write seed=... without a +"),
    ("call.wav", "'call.wav' is not a setting: write KEY=VALUE"),
    ("root=a(b", "cannot read root=a(b: a value with signs in it needs quotes twice, as in 'KEY=\"a, (b)\"'"),
    (
        "root=it's",
        "cannot read root=it's: a value with signs in it needs quotes twice, as in 'KEY=\"a, (b)\"'",
    ),
]


@pytest.mark.parametrize(("override", "message"), MISTAKES)
def test_a_mistake_gets_the_nearest(tree: Path, override: str, message: str) -> None:
    with pytest.raises(UsageError) as raised:
        configs.load("run", [override])
    assert str(raised.value) == message


def test_the_nearest_key_is_that_of_the_chosen_option(tree: Path) -> None:
    hint = r"did you mean 'encoder.width'\?; for another of torch.optim.SGD, write \+encoder.wdth=\.\.\.$"
    with pytest.raises(UsageError, match=hint):
        configs.load("run", ["encoder=other", "encoder.wdth=3"])


def test_a_group_without_a_choice_lists_its_options(tree: Path) -> None:
    with pytest.raises(UsageError, match=r"encoder is not set: add encoder=\.\.\. with one of: other, small"):
        configs.load("need")


def run(
    task: Callable[[DictConfig], int | None], monkeypatch: pytest.MonkeyPatch, *arguments: str
) -> int | str | None:
    """Run a command as its file would, and return its exit status."""
    monkeypatch.setattr(sys, "argv", ["run.py", *arguments])
    try:
        configs.main("run")(task)()
    except SystemExit as leaving:
        return leaving.code
    return 0


@pytest.mark.parametrize(
    ("task", "arguments", "status", "message"),
    [
        (lambda cfg: None, [], 0, ""),
        (lambda cfg: 3, [], 3, ""),
        (lambda cfg: cfg.root and None, ["root=x"], 0, ""),
        (lambda cfg: cfg.root and None, [], 2, "error: root is not set: add root=... to the command line\n"),
        (
            lambda cfg: cfg.twin and None,
            ["twin=${nope}"],
            2,
            "error: twin: the ${...} in it refers to 'nope', but there is no such setting; write \\${ for the text "
            "itself\n",
        ),
        (lambda cfg: 0, ["sede=4"], 2, "error: no setting 'sede'; did you mean 'seed'?\n"),
        (lambda cfg: 0, ["encoder=smal"], 2, "error: no encoder 'smal'; did you mean 'small'?; there are: "),
        (lambda cfg: 0, ["seed=1,2"], 2, "error: seed is '1,2', but must be a number"),
        (
            lambda cfg: 0,
            ["hydra.run.dir=conf/run.yaml/x"],
            2,
            "error: out=conf/run.yaml/x: conf/run.yaml is a file",
        ),
        (lambda cfg: 0, ["encoder=null"], 2, "error: a group of settings cannot be null"),
        (
            lambda cfg: int(Path("gone.txt").read_text()),
            [],
            1,
            "error: gone.txt: No such file or directory\n",
        ),
    ],
)
def test_main_turns_results_and_errors_into_exit_status(
    tree: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    task: Callable[[DictConfig], int | None],
    arguments: list[str],
    status: int,
    message: str,
) -> None:
    assert run(task, monkeypatch, *arguments) == status
    printed = capsys.readouterr().err
    assert printed.startswith(message) and printed.count("\n") == bool(message)
    assert sorted(path.name for path in tree.iterdir()) == ["conf"], "nothing is littered"


@pytest.mark.parametrize(
    ("error", "status"), [(AudioError("a.wav: broken"), 1), (UsageError("a.wav: broken"), 2)]
)
def test_main_prints_the_packages_errors_as_one_line(
    tree: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    status: int,
) -> None:
    def task(cfg: DictConfig) -> int:
        raise error

    assert run(task, monkeypatch) == status
    assert capsys.readouterr().err == "error: a.wav: broken\n"
    with pytest.raises(type(error)):
        run(task, monkeypatch, "debug=true")


def test_a_fault_of_the_program_is_not_hidden(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def task(cfg: DictConfig) -> int:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        run(task, monkeypatch)


def test_composing_imports_neither_torch_nor_a_decoder() -> None:
    code = (
        "import sys; from speechlstm import configs; configs.load('decoder/greedy')\n"
        "assert 'torch' not in sys.modules and 'speechlstm.decoders' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "data.trian=x"], "no setting 'data.trian'; did you mean 'data.train'?"),
        (
            ["transcribe", "a.wav", "decoder=bem"],
            "no decoder 'bem'; did you mean 'beam'?; there are: beam, greedy",
        ),
        (["tune", "trials=" + 5000 * "9"], "trials=" + 33 * "9" + "...: a number of 5000 digits"),
    ],
)
def test_a_mistake_is_told_before_the_packages_of_a_command_are_imported(
    arguments: list[str], message: str
) -> None:
    code = (
        f"import sys; sys.argv = {['speechlstm', *arguments]}\n"
        "from speechlstm.cli import main\n"
        "main.console.end = sys.exit\n"  # which ends the process without more ado
        "try:\n    main.main()\n"
        "finally:\n    assert not {'torch', 'pytorch_lightning'} & set(sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(f"error: {message}")
    assert result.stderr.count("\n") == 1


def test_tokenizer_settings_reach_the_tokenizer() -> None:
    cfg = configs.load("tokenizer/characters", ["tokenizer.case=upper"])
    tokenizer = configs.build_part("tokenizer", cfg.tokenizer, texts=["the quick fox"])
    assert isinstance(tokenizer, Characters) and "Q" in tokenizer.tokens and "q" not in tokenizer.tokens


@pytest.mark.parametrize("name", ["characters", "words"])
def test_rules_for_texts_reach_every_tokenizer(name: str) -> None:
    data = ["data.train=a", "data.dev=a", "text.punctuation=strip", "text.language=tr"]
    cfg = configs.load("train", [f"tokenizer={name}", *data])
    tokenizer = configs.build_part("tokenizer", cfg.tokenizer, texts=["Iğdır, izmir!"])
    assert tokenizer.decode(tokenizer.encode("IĞDIR - İZMİR")) == "ığdır izmir"


@pytest.mark.parametrize("name", ["/gone/a\u00fc", "/gone/a\u00fc".encode()])
def test_a_file_is_named_in_the_same_way_if_a_library_has_its_name_in_bytes(
    name: str | bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    assert program._report(OSError(errno.ENOENT, "No such file or directory", name), "train") == 1
    assert capsys.readouterr().err == "error: /gone/a\u00fc: No such file or directory\n"
