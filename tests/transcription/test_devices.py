"""Where is computed: what a trainer's settings mean to recognition, and several processes that give what one gives."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile
import torch
from omegaconf import DictConfig, OmegaConf
from padding import as_if_trained
from tones import load, write
from warm import Server, start_python

from speechlstm import configs
from speechlstm.cli import evaluate, transcribe
from speechlstm.cli.devices import choose_devices
from speechlstm.model.bundle import Bundle
from speechlstm.model.selftest import save_bundle, synthesize
from speechlstm.training import parts
from speechlstm.transcription import devices
from speechlstm.transcription.recognizer import Recognizer
from speechlstm.transcription.recognizer import load as load_recognizer
from speechlstm.types import SpeechlstmError, UsageError

# A decoder of another package that records which process searches, and can kill its own.
PLUGIN = """
import os, signal, time
from pathlib import Path
from speechlstm.decoders.greedy import GreedyDecoder

class Mine(GreedyDecoder):
    def decode_batch(self, log_probs, lengths):
        if "LOCAL_RANK" in os.environ:
            rank = os.environ["LOCAL_RANK"]
            with Path("searched" + rank).open("a") as file:
                file.write("." * len(lengths))
            if rank == "1" and "KILL" in os.environ:
                os.kill(os.getpid(), signal.SIGKILL)
            while not Path("searched1").exists():  # so that each has a part
                time.sleep(0.01)
        return super().decode_batch(log_probs, lengths)
"""
TEXTS = ["a b", "b", "c a b", "a", "b c", "c", "c c", "b a c b", "a a a"]
SMALL = ("bundle=bundle", "decoder=mine", "batch_seconds=0.5")


def trainer(*overrides: str) -> DictConfig:
    return configs.load("transcribe", list(overrides)).trainer


# one device


@pytest.mark.parametrize(
    ("overrides", "device", "precision"),
    [
        (["trainer=cpu"], "cpu", "32-true"),
        (["trainer=cpu", "trainer.precision=bf16-mixed"], "cpu", "bf16-mixed"),
        (["trainer=gpu"], "cuda:0", "bf16-mixed"),
        (["trainer=gpu", "trainer.devices=[2]"], "cuda:2", "bf16-mixed"),
    ],
)
def test_one_device_is_what_the_trainer_says(overrides: list[str], device: str, precision: str) -> None:
    where = choose_devices(trainer(*overrides))
    assert (str(where.device), where.precision, where.is_first) == (device, precision, True)


def test_the_first_gpu_is_taken_if_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for there, device in ((True, "cuda:0"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert str(choose_devices(trainer()).device) == device


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["trainer.devices=2"], r"trainer\.devices is 2, but .* several are for trainer=ddp, ddp_cpu, "),
        (["trainer.devices=[0,1]"], r"trainer\.devices is \[0, 1\], but this trainer uses one device"),
        (["trainer.devices=auto"], r"trainer\.devices is auto, but this trainer uses one device"),
        (["trainer.accelerator=abacus"], "is 'abacus', but must be cpu, gpu, auto"),
        (["+trainer.strategy=ddp"], "trainer.strategy must be that of trainer=ddp"),
        (["trainer=ddp_cpu", "trainer.devices=many"], "cannot build pytorch_lightning.Trainer: "),
    ],
)
def test_devices_that_cannot_be_are_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        choose_devices(trainer("trainer=cpu", *overrides) if len(overrides) == 1 else trainer(*overrides))


def test_one_device_needs_no_lightning() -> None:
    code = (
        "import sys; from speechlstm import configs; from speechlstm.cli.devices import choose_devices\n"
        "from speechlstm.cli import evaluate, transcribe\n"
        "choose_devices(configs.load('evaluate', ['manifest=m']).trainer)\n"
        "assert 'torch' in sys.modules and not any('lightning' in name for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=600)


# precision


@pytest.mark.parametrize(
    ("precision", "message"),
    [
        ("16-mixed", "16-mixed needs a GPU; use bf16-mixed or 32-true on a CPU"),
        ("16-true", "features and loss in half precision, too, which learns nothing; use 16-mixed"),
        ("bf16-true", "learns nothing; use bf16-mixed"),
    ],
)
def test_a_precision_that_cannot_be_is_refused(precision: str, message: str) -> None:
    devices.check_precision("32-true", torch.device("cpu"))
    devices.check_precision("bf16-mixed", torch.device("cpu"))
    with pytest.raises(UsageError, match=message):
        devices.check_precision(precision, torch.device("cpu"))


def test_bfloat16_is_refused_where_a_gpu_lacks_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turing cards emulate it, slowly."""
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla T4")
    with pytest.raises(
        UsageError, match=r"bf16-mixed is beyond this Tesla T4; use trainer.precision=16-mixed"
    ):
        devices.check_precision("bf16-mixed", torch.device("cuda"))


def test_a_bundle_computes_in_the_precision_asked_for(here: Path) -> None:
    clip = synthesize(8000).unsqueeze(0)
    outputs = {}
    for precision in ("32-true", "bf16-mixed"):
        bundle = load_recognizer(here / "bundle", precision=precision)
        outputs[precision], _ = bundle.log_probs(clip, torch.tensor([clip.shape[1]]))
    exact, half = outputs.values()
    assert half.dtype == torch.float32
    assert 1e-4 < (half - exact).abs().max() < 0.3
    for precision, message in (
        ("64-true", "'64-true', but must be one of 32-true"),
        ("16-mixed", "needs a GPU"),
    ):
        with pytest.raises(UsageError, match=message):
            load_recognizer(here / "bundle", precision=precision)


# several devices


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a manifest and its audio, a recognizer that writes something, and a decoder to install."""
    folder = tmp_path_factory.mktemp("devices")
    (folder / "talks").mkdir()
    write(folder / "talks", "talk", TEXTS)
    (folder / "talks/broken.wav").write_bytes(b"nothing")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder / "talks")
        cfg = load("data.train=talk.jsonl", "data.dev=talk.jsonl")
        torch.manual_seed(3)
        model, _ = parts.prepare(cfg)
    as_if_trained(model.acoustic.encoder)
    stages = {stage: OmegaConf.to_container(cfg[stage], resolve=True) for stage in ("features", "encoder")}
    config = stages | {"name": "tones", "sample_rate": cfg.sample_rate}
    bundle = Bundle(model.acoustic.eval(), model.tokenizer, config)
    audio, _ = soundfile.read(folder / f"talks/talk{TEXTS.index('b a c b')}.wav", dtype="float32")
    outputs, _ = Recognizer(bundle).log_probs(torch.from_numpy(audio[None]), torch.tensor([len(audio)]))
    model.acoustic.encoder.output.bias.data -= outputs[0].mean(0)  # every token has its moments
    save_bundle(bundle, folder / "bundle", "# tones\n")
    (folder / "plugin/mine/conf/decoder").mkdir(parents=True)
    (folder / "plugin/mine/__init__.py").write_text(PLUGIN)
    config_file = folder / "plugin/mine/conf/decoder/mine.yaml"
    config_file.write_text("name: mine\n")
    info = folder / "plugin/mine-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[speechlstm.decoders]\nmine = mine:Mine\n")
    return folder


@pytest.fixture
def alone(
    here: Path, monkeypatch: pytest.MonkeyPatch, run_command: Callable[..., tuple[int, str, str]]
) -> Callable[..., tuple[int, str, str]]:
    """Return a function that runs a command in this process, in that folder, on one device."""
    monkeypatch.chdir(here)
    monkeypatch.syspath_prepend(here / "plugin")
    for left in here.glob("searched?"):
        left.unlink()
    return lambda command, *arguments: run_command(command, *arguments, *SMALL, "trainer=cpu", "threads=1")


def together(
    here: Path, *arguments: str, warm: Server | None = None, run: tuple[str, ...] = (), **faults: str
) -> tuple[int, str, str]:
    """Run a command as a person does, or warm, which becomes several processes: exit status, stdout and stderr."""
    path = os.pathsep.join([str(here / "plugin"), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [*run, "-m", "speechlstm", *arguments, *SMALL]
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"} | faults
    with start_python(warm, *command, env=environment, cwd=here) as process:
        try:
            out, err = process.communicate(timeout=1200)
        finally:
            process.kill()
    return process.returncode, out, err


def searched(here: Path) -> list[int]:
    """Return how many utterances each process has searched."""
    return [len(path.read_text()) for path in sorted(here.glob("searched?"))]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_two_devices_write_the_files_of_one_and_name_what_failed(
    here: Path, alone: Callable[..., tuple[int, str, str]]
) -> None:
    status, _, err = alone(transcribe, "talks", "out=one", "format=json")
    assert status == 3, err
    assert together(here, "transcribe", "talks", "out=two", "format=json", "trainer=ddp_cpu") == (3, "", err)
    assert re.fullmatch(r"note: talks: .*\nfailed: talks/broken.wav: .*\n1 of 10 failed, named above\n", err)
    files = contents(here / "two")
    assert files == contents(here / "one") and len(files) == len(TEXTS)
    assert len({json.loads(text)["text"] for text in files.values()}) > 3, "texts are not all empty"
    assert min(counts := searched(here)) > 0 and sum(counts) == len(TEXTS) and len(counts) == 2


@pytest.mark.slow
def test_torchrun_scores_every_utterance_once(here: Path, alone: Callable[..., tuple[int, str, str]]) -> None:
    settings = ("evaluate", "manifest=talks/talk.jsonl", "format=json", "report_audio=0")
    _, out, _ = alone(evaluate, *settings[1:], "out=one.jsonl", "report=one.html")
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    devices_ = ("trainer=multinode", "trainer.accelerator=cpu", "trainer.precision=32-true")
    status, both, err = together(here, *settings, *devices_, "out=two.jsonl", "report=two.html", run=torchrun)
    assert status == 0 and "Traceback" not in err, err
    one, two = json.loads(out), json.loads(both)
    for report in (one, two):
        assert report.pop("seconds") > 0 and report.pop("real_time_factor") > 0
    assert one == two and one["utterances"] == len(TEXTS) and one["wer"] > 0
    assert Path("one.jsonl").read_bytes() == Path("two.jsonl").read_bytes()
    assert Path("one.html").read_bytes() == Path("two.html").read_bytes()
    assert len(counts := searched(here)) == 2 and min(counts) > 0


@pytest.mark.slow
def test_a_sweep_prints_in_the_order_of_its_inputs(
    here: Path, alone: Callable[..., tuple[int, str, str]], warm: Server
) -> None:
    names = [f"talks/talk{index}.wav" for index in (3, 0, 7, 1)]
    printed = [alone(transcribe, *names, f"format={kind}")[1] for kind in ("ctm", "txt")]
    assert printed[1].splitlines()[2].startswith("talks/talk7.wav: ")
    sweep = ("--multirun", "trainer=ddp_cpu", "format=ctm,txt", "hydra.sweep.dir=sweep")
    status, out, err = together(here, "transcribe", *names, *sweep, warm=warm)
    assert (status, err) == (0, "") and out == "".join(printed)


@pytest.mark.slow
def test_a_killed_process_ends_all_and_leaves_what_is_done(
    here: Path, alone: Callable[..., tuple[int, str, str]], warm: Server
) -> None:
    status, _, err = together(here, "transcribe", "talks", "out=cut", "trainer=ddp_cpu", warm=warm, KILL="1")
    assert status == 1 and "Traceback" not in err, err
    assert re.search(r"error: rank 1 \(process \d+\) was killed by signal 9, so all have stopped", err)
    kept = contents(here / "cut")
    assert 0 < len(kept) < len(TEXTS)
    status, _, err = alone(transcribe, "talks", "out=cut", "overwrite=false")
    assert status == 3 and err.startswith(f"{len(kept)} of {len(TEXTS) + 1} transcripts there already; ")
    assert len(contents(here / "cut")) == len(TEXTS)
    alone(transcribe, "talks", "out=whole")
    assert contents(here / "cut") == contents(here / "whole")


def test_an_input_that_nobody_or_several_recognized_is_an_error() -> None:
    """It can happen only where the processes see different files."""
    where = choose_devices(trainer("trainer=ddp_cpu", "trainer.devices=1"))
    with where.share(["a", "b"]) as inputs:
        assert inputs == ["a", "b"] and where.is_first
        assert list(where.merge([(1, "B"), (0, "A")], 2, "testing", "input")) == [(0, "A"), (1, "B")]
        assert [where.claim(), where.claim()] == [0, 1]
        for wrong in ([(0, "A")], [(0, "A"), (1, "B"), (1, "B")]):
            with pytest.raises(
                SpeechlstmError, match=rf"have recognized {len(wrong)} of 2 inputs; the audio"
            ):
                list(where.merge(wrong, 2, "testing", "input"))
    assert not torch.distributed.is_initialized()
