"""Several devices, as real processes: they learn what one would, stop together, and go on together."""

from __future__ import annotations

import csv
import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest
import torch
from tones import command, last, same_end, write
from warm import Server, start_python

from speechlstm import configs
from speechlstm.training import messages, parallel, parts, ranks
from speechlstm.types import SpeechlstmError

# The whole of the training part is one batch on one device, and two unequal ones on two; plain gradient descent, so
# that the weights tell the gradients.
EXPERIMENT = """# @package _global_
defaults:
  - overfit
  - override /decoder: mine
  - override /optimizer: plain
data: {train: train.jsonl, dev: dev.jsonl, batch_seconds: 60}
sample_rate: 8000
features: {num_mels: 20}
encoder: {hidden_size: 8, num_layers: 1, conv_channels: 2}
optimizer: {lr: 0.1}
scheduler: {start_factor: 1.0}
trainer: {max_epochs: 4, check_val_every_n_epoch: 1}
logger: {tensorboard: null}
"""
# A decoder of another package, whose rank 1 has the faults that FAULTS names, each at a batch.
PLUGIN = """
import os
import signal

from speechlstm.decoders.greedy import GreedyDecoder
from speechlstm.types import SpeechlstmError
from speechlstm.training.loss import CtcLoss

class Mine(GreedyDecoder):
    pass

faults = {int(at): what for what, _, at in (each.partition("@") for each in os.environ.get("FAULTS", "").split())}
loss, batches = CtcLoss.__call__, iter(range(1000))

def faulty(*args):
    fault = faults.get(next(batches))
    if fault == "raise":
        raise SpeechlstmError("the disk of rank 1 is gone")
    if fault in ("USR1", "KILL"):
        os.kill(os.getpid(), getattr(signal, "SIG" + fault))
    found, parts = loss(*args)
    return found * float("nan") if fault == "nan" else found, parts

if os.environ.get("LOCAL_RANK") == "1":
    CtcLoss.__call__ = faulty
"""


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with seven utterances to learn, three to validate on, an experiment, and a plugin."""
    folder = tmp_path_factory.mktemp("ranks")
    write(folder, "train", ["a b", "b", "c a b", "a", "b c", "c", "c c"])
    write(folder, "dev", ["a c", "b", "c"])
    (folder / "conf/experiment").mkdir(parents=True)
    (folder / "conf/experiment/tiny.yaml").write_text(EXPERIMENT)
    (folder / "conf/optimizer").mkdir()
    (folder / "conf/optimizer/plain.yaml").write_text("_target_: torch.optim.SGD\n_partial_: true\nlr: 1.0\n")
    (folder / "plugin/mine/conf/decoder").mkdir(parents=True)
    (folder / "plugin/mine/__init__.py").write_text(PLUGIN)
    config = "name: mine\n"
    (folder / "plugin/mine/conf/decoder/mine.yaml").write_text(config)
    info = folder / "plugin/mine-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[speechlstm.decoders]\nmine = mine:Mine\n")
    return folder


def start(
    here: Path, *arguments: str, warm: Server | None = None, faults: str = "", run: tuple[str, ...] = ()
) -> subprocess.Popen[str]:
    """Start a training as a person does, or its first process warm; that starts the other one anew."""
    path = os.pathsep.join([str(here / "plugin"), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [*run, "-m", "speechlstm", "train", "--config-dir", "conf", *arguments, "experiment=tiny"]
    environment = os.environ | {"PYTHONPATH": path, "FAULTS": faults, "OMP_NUM_THREADS": "1"}
    return start_python(warm, *command, env=environment, cwd=here)


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Return exit status and output; all ranks share the output, so that it ends when the last of them has."""
    try:
        out, err = process.communicate(timeout=1200)
    finally:
        process.kill()
    return process.returncode, out, err


@pytest.fixture(scope="module")
def two(here: Path) -> dict[int, Path]:
    """Return the folders of two jobs of a sweep, by seed, each trained on two devices."""
    status, out, err = ended(start(here, "--multirun", "trainer=ddp_cpu", "seed=1,2", "out=two"))
    assert status == 0, out + err
    assert out.count("dev: WER") == 2 and "Traceback" not in err
    return {seed: here / f"two-sweep/experiment-tiny_seed-{seed}_trainer-ddp_cpu" for seed in (1, 2)}


def validation(run: Path) -> list[tuple[float, float, float]]:
    with (run / "csv/version_0/metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["val/wer"]]
    return [(float(row["val/wer"]), float(row["val/cer"]), float(row["val/loss"])) for row in rows]


@pytest.mark.slow
def test_two_devices_make_the_updates_of_one_and_score_the_same(
    here: Path, two: dict[int, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(here)
    monkeypatch.syspath_prepend(here / "plugin")
    cfg = configs.load("train", [f"hydra.searchpath=[file://{here}/conf]", "experiment=tiny"])
    torch.manual_seed(cfg.seed)
    begin = parts.prepare(cfg)[0].state_dict()
    monkeypatch.setattr("tones.TINY", ["--config-dir", "conf", "experiment=tiny", "trainer=cpu"])
    assert command(monkeypatch, "out=one") == 0
    one, both = last("one"), last(two[1])
    assert one["global_step"] == both["global_step"] == 4

    def moved(checkpoint: dict[str, object]) -> torch.Tensor:
        now: dict[str, torch.Tensor] = checkpoint["current_model_state"]  # type: ignore[assignment]
        return torch.cat([(now[name] - begin[name]).flatten().double() for name in begin])

    assert moved(one).norm() > 0.1
    assert (moved(both) - moved(one)).norm() < 1e-5 * moved(one).norm()
    alone, together = validation(Path("one")), validation(two[1])
    assert [row[:2] for row in alone] == [row[:2] for row in together]
    assert [row[2] for row in alone] == pytest.approx([row[2] for row in together], rel=1e-5)


@pytest.mark.slow
def test_a_sweep_on_two_devices_keeps_its_jobs_apart(two: dict[int, Path]) -> None:
    bundles = [(run / "bundle/model.safetensors").read_bytes() for run in two.values()]
    assert bundles[0] != bundles[1]
    for run in two.values():
        assert len(list(run.rglob("*.ckpt"))) == 3, "one folder for both ranks"
        assert not (run / "skipped.jsonl").exists()


@pytest.mark.slow
def test_a_signal_to_one_rank_stops_all_and_two_machines_go_on(
    here: Path, two: dict[int, Path], warm: Server
) -> None:
    """What stopped as two processes that one had started goes on under torchrun, with a rendezvous on loopback."""
    status, _, err = ended(start(here, "trainer=ddp_cpu", "out=parts", warm=warm, faults="USR1@1"))
    assert status == 143 and "stopped by SIGUSR1 after 2 updates; run the same command again" in err, err
    assert "Traceback" not in err and not (here / "parts/bundle").exists()
    assert last(here / "parts")["global_step"] == 2
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torchrun = ("-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1", "--rdzv-backend=c10d",
                f"--rdzv-endpoint=127.0.0.1:{port}")  # fmt: skip
    settings = ("trainer=multinode", "trainer.accelerator=cpu", "trainer.precision=32-true", "out=parts")
    nodes = [start(here, *settings, run=torchrun) for _ in range(2)]
    outcomes = [ended(node) for node in nodes]
    assert [status for status, *_ in outcomes] == [0, 0], outcomes
    assert sum(out.count("dev: WER") for _, out, _ in outcomes) == 1, "one of them speaks"
    assert same_end(last(here / "parts"), last(two[1]))


@pytest.mark.slow
def test_a_rank_that_fails_is_shown_and_ends_all(here: Path, warm: Server) -> None:
    """Before that its loss was not finite once, which both skipped."""
    status, _, err = ended(start(here, "trainer=ddp_cpu", "out=failed", warm=warm, faults="nan@1 raise@2"))
    assert status == 1 and "Traceback" not in err, err
    assert "error: the disk of rank 1 is gone\n" in err
    assert "ended with status 1, so all have stopped; its own message stands above" in err
    lines = (here / "failed/skipped.jsonl").read_text().splitlines()
    assert len(lines) == 2 and all('"step": 2' in line for line in lines)
    assert ['"loss": null' in line for line in lines] == [False, True], "rank 1 alone"
    assert sum(line.count('"train') for line in lines) == 7
    assert last(here / "failed")["global_step"] == 1, "none is written while updates are skipped"


# the launcher, with other processes in the place of ranks


def launcher(*scripts: str) -> parallel.Launcher:
    made = parallel.Launcher(None, len(scripts) + 1, 1)  # type: ignore[arg-type]
    made.procs = [subprocess.Popen(["sh", "-c", script]) for script in scripts]
    return made


@pytest.mark.parametrize(
    ("script", "how"),
    [("exit 3", "ended with status 3"), ("kill -9 $$", f"was killed by signal {int(signal.SIGKILL)}")],
)
def test_a_rank_that_ended_in_disorder_is_named(script: str, how: str) -> None:
    made = launcher("exit 0", script, "exit 143")
    made.wait(900)
    failed = made.failed()
    assert failed.startswith(f"rank 2 (process {made.procs[1].pid}) {how}, so all have stopped")


def test_the_others_are_ended_and_a_lost_connection_is_explained() -> None:
    strategy = parallel.DataParallel()
    strategy._launcher = launcher("exit 1", "sleep 900")
    strategy._launcher.procs[0].wait()
    with (
        pytest.MonkeyPatch.context() as patch,
        pytest.raises(SpeechlstmError, match=r"^rank 1 .* status 1, so all"),
    ):
        patch.setattr(parallel, "GRACE", 0.1)
        strategy.on_exception(RuntimeError("[gloo/transport/tcp/pair.cc:553] Connection closed by peer"))
    assert strategy._launcher.procs[1].wait() == -signal.SIGKILL
    strategy._launcher = None
    with pytest.raises(
        SpeechlstmError, match=r"connection to another rank is lost .*; the rank that ended first says"
    ):
        strategy.on_exception(RuntimeError("NCCL communicator was aborted"))
    strategy.on_exception(ValueError("something else"))  # is not explained away


def test_alone_the_words_are_ones_own() -> None:
    assert ranks.gather({"a": 1}) == [{"a": 1}] and ranks.total(7) == 7 and ranks.largest(-3) == -3
    assert messages.is_first()


def test_many_devices_need_the_command_line() -> None:
    with pytest.raises(SpeechlstmError, match=r"only be used from the command line, by `speechlstm COMMAND`"):
        parallel._command()
