"""Several devices: a process for each, started, watched and ended together, and the words they exchange."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from lightning_fabric.utilities.rank_zero import rank_zero_only
from omegaconf import DictConfig
from pytorch_lightning.strategies import DDPStrategy
from pytorch_lightning.strategies.launchers import _SubprocessScriptLauncher
from tqdm import tqdm

from speechlstm.configs import build, task_overrides
from speechlstm.configs.arguments import files_apart, quoted
from speechlstm.transcription.devices import Devices, Inputs, Result
from speechlstm.types import SpeechlstmError, UsageError

Value = TypeVar("Value")

ORDERLY = (
    0,
    130,
    143,
)  # exit statuses of a rank that has finished, or was asked to stop and has told the others
GRACE = 8.0  # seconds in which a rank ends by itself after another has ended
_PARENT = "SPEECHLSTM_PARENT"  # process that started this rank
_group: Any = None  # for words between the processors, while the devices talk about gradients


class DataParallel(DDPStrategy):
    """A process for each device, each with batches of its own, their gradients averaged (data parallel).

    Alone on a machine it starts the other processes itself, with the command that started this one; torchrun and
    SLURM start them all. A process that fails, is killed or loses its first process ends all of them.

    Args:
        timeout: seconds that a device waits for the others before it gives them up.
    """

    def __init__(self, timeout: float = 1800.0, **options: Any) -> None:
        super().__init__(timeout=timedelta(seconds=timeout), **options)

    def _configure_launcher(self) -> None:
        assert self.cluster_environment is not None
        self._launcher = _Launcher(self.cluster_environment, self.num_processes, self.num_nodes)

    def on_exception(self, exception: BaseException) -> None:
        """End the processes that this one has started, after those that end by themselves.

        Raises:
            SpeechlstmError: another rank has ended; what was raised here follows from that.
        """
        super().on_exception(exception)
        lost = isinstance(exception, dist.DistError) or any(
            word in str(exception) for word in ("gloo", "Gloo", "NCCL", "Connection closed by peer")
        )
        failed = ""
        if isinstance(self._launcher, _Launcher) and self._launcher.procs:
            self._launcher.wait(3 * GRACE if lost else GRACE)  # a lost one is about to end, and to be named
            failed = self._launcher.failed()
            self._launcher.end()
        if lost:
            reason = failed or (
                f"the connection to another rank is lost ({str(exception).splitlines()[0]}); "
                "the rank that ended first says why"
            )
            raise SpeechlstmError(reason) from exception

    def teardown(self) -> None:
        """Forget the other processes, so that the next job of a sweep can start its own."""
        super().teardown()
        global _group
        if self._launcher is not None and dist.is_initialized() and sys.exc_info()[1] is None:
            _group = None
            dist.destroy_process_group()
            if isinstance(self._launcher, _Launcher):
                self._launcher.forget()


class ManyDevices(Devices):
    """The devices of a trainer whose strategy is `DataParallel`, which recognise together.

    Each process makes up the same batches and does the next that nobody has claimed, so that none waits for a slower
    one. The claims are counted by the first process.

    Args:
        trainer: settings of the trainer.

    Raises:
        UsageError: the machine has no such devices, or the trainer has another strategy.
    """

    def __init__(self, trainer: DictConfig) -> None:
        for name in ("pytorch_lightning", "lightning_fabric"):  # what they tell is about training
            logging.getLogger(name).setLevel(logging.WARNING)
        made = build(trainer, logger=False, enable_checkpointing=False, enable_progress_bar=False)
        if not isinstance(made.strategy, DataParallel):
            raise UsageError("trainer.strategy must be that of trainer=ddp to recognise on several devices")
        self.strategy: DataParallel = made.strategy
        self.device, self.precision = self.strategy.root_device, str(trainer.precision)
        self.is_first = bool(made.is_global_zero)
        self.done = 0  # results of this process that are not yet counted among those of all

    @contextlib.contextmanager
    def share(self, inputs: Inputs) -> Iterator[Inputs]:
        """Start the other processes, unless torchrun or SLURM did, and give them the inputs of the first."""
        strategy = self.strategy
        assert strategy.launcher is not None and strategy.cluster_environment is not None
        try:
            strategy.launcher.launch(strategy.setup_environment)
            first = strategy.cluster_environment.main_address
            connect: Any = dist.TCPStore  # type: ignore[attr-defined]  # not in the list of what it exports
            shared: list[Any] = [None, inputs]
            if self.is_first:
                self.store = connect(first, 0, is_master=True, wait_for_workers=False)
                shared[0] = self.store.port
            dist.broadcast_object_list(shared, group=_processors())
            if not self.is_first:
                self.store = connect(first, shared[0], is_master=False)
            yield shared[1]
        except BaseException as error:
            strategy.on_exception(error)
            raise
        finally:
            strategy.teardown()

    def claim(self) -> int:
        """Return the number of the first batch that no process has claimed."""
        done = self.store.add("done", self.done)
        self.done = 0
        self.bar.update(done - self.bar.n)
        return int(self.store.add("batches", 1)) - 1

    def merge(self, results: Iterable[Result], count: int, task: str, unit: str) -> Iterator[Result]:
        """Yield the results of all processes, in the order of the inputs, once all are done; the bar counts them all.

        Raises:
            SpeechlstmError: the processes did not make up the same batches.
        """
        own: list[Result] = []
        with tqdm(None, task, count, unit=unit, disable=None if self.is_first else True) as self.bar:
            for result in results:
                own.append(result)
                self.done += 1
            parts: list[list[Result]] | None = [[]] * dist.get_world_size() if self.is_first else None
            dist.gather_object(own, parts, group=_processors())
            self.bar.update(count - self.bar.n)
        if parts is None:
            return
        found = sorted((result for part in parts for result in part), key=lambda result: int(result[0]))
        if [result[0] for result in found] != list(range(count)):
            raise SpeechlstmError(
                f"the ranks have recognised {len(found)} of {count} inputs; the audio must look the same to all of "
                "them: a folder that all machines share, and nothing written there meanwhile"
            )
        yield from found


class _Launcher(_SubprocessScriptLauncher):
    """Starts ranks 1, 2, ... of this machine, and sees to it that none outlives the others."""

    _ENVIRONMENT = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "LOCAL_RANK", "WORLD_SIZE")

    def launch(self, function: Callable[..., Any], *args: Any, trainer: Any = None, **options: Any) -> Any:
        """Start the other ranks, unless something else does, and call the function."""
        try:
            self.cluster_environment.validate_settings(
                num_devices=self.num_processes, num_nodes=self.num_nodes
            )
        except (ValueError, RuntimeError) as error:
            raise UsageError(
                f"trainer.devices and trainer.num_nodes do not fit what was started: {error}"
            ) from error
        if not self.cluster_environment.creates_processes_externally and self.num_processes > 1:
            self._call_children_scripts()
            threading.Thread(target=self._watch, args=(list(self.procs),), daemon=True).start()
        elif parent := os.environ.get(_PARENT):
            threading.Thread(target=_follow, args=(int(parent),), daemon=True).start()
        if self.num_processes > 1 and "OMP_NUM_THREADS" not in os.environ:
            torch.set_num_threads(max(1, (os.cpu_count() or 1) // self.num_processes))
        return function(*args, **options)

    def _call_children_scripts(self) -> None:
        self._check_can_spawn_children()
        environment = self.cluster_environment
        os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = (
            environment.main_address,
            str(environment.main_port),
        )
        os.environ["NODE_RANK"], os.environ["LOCAL_RANK"] = str(environment.node_rank()), "0"
        os.environ["WORLD_SIZE"] = str(self.num_processes * self.num_nodes)
        for rank in range(1, self.num_processes):
            own = os.environ | {"LOCAL_RANK": str(rank), _PARENT: str(os.getpid())}
            self.procs.append(subprocess.Popen(_command(), env=own))

    def _watch(self, processes: list[subprocess.Popen[bytes]]) -> None:
        """End this process when another rank has failed and this one, waiting for it, cannot notice."""
        while any(process.poll() is None for process in processes):
            if self.failed():
                time.sleep(GRACE + 2)
                print(f"error: {self.failed()}", file=sys.stderr, flush=True)
                self.end()
                os._exit(1)
            time.sleep(0.5)

    def failed(self) -> str:
        """Return which rank has ended in disorder, or nothing."""
        for rank, process in enumerate(self.procs, 1):
            status = process.poll()
            if status is not None and status not in ORDERLY:
                how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
                return f"rank {rank} (process {process.pid}) {how}, so all have stopped; what it said stands above"
        return ""

    def wait(self, seconds: float) -> None:
        """Wait until the other ranks have ended, but not longer than that."""
        until = time.monotonic() + seconds
        for process in self.procs:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, until - time.monotonic()))

    def end(self) -> None:
        """Kill the other ranks that are still there; asking would not help one that waits for its device."""
        for process in self.procs:
            if process.poll() is None:
                process.kill()

    def forget(self) -> None:
        """Remove what told the other ranks where they stand."""
        if self.procs:
            for name in self._ENVIRONMENT:
                os.environ.pop(name, None)


def _command() -> list[str]:
    """Return the command line of another rank: this one's, writing into the same folder."""
    if not HydraConfig.initialized():
        raise SpeechlstmError(
            "several devices can only be used from the command line, by `speechlstm COMMAND`"
        )
    hydra = HydraConfig.get()
    # In a sweep only the settings of this job.
    arguments = task_overrides() if hydra.mode is RunMode.MULTIRUN else sys.argv[1:]
    folder = quoted(f"hydra.run.dir={hydra.runtime.output_dir}")
    command = [sys.executable, "-m", "speechlstm", Path(sys.argv[0]).stem]
    return [*command, folder, "hydra.output_subdir=null", *files_apart(arguments)]


def _follow(parent: int) -> None:
    """End this process when the one that started it is gone."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def is_first() -> bool:
    """Return whether this process is rank 0, which speaks and writes for all; known before there is a trainer."""
    return int(vars(rank_zero_only)["rank"]) == 0


def say(*lines: str) -> None:
    """Print lines on stderr, once for all ranks."""
    if is_first():
        print(*lines, sep="\n", file=sys.stderr, flush=True)


def gather(value: Value) -> list[Value]:
    """Return every rank's value, on every rank."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value, group=_processors())
    return values


def total(value: int) -> int:
    """Return the sum of every rank's value, on every rank."""
    return _reduce(value, dist.ReduceOp.SUM)


def largest(value: int) -> int:
    """Return the largest of every rank's values, on every rank."""
    return _reduce(value, dist.ReduceOp.MAX)


def _reduce(value: int, operation: Any) -> int:
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return value
    tensor = torch.tensor(value)
    dist.all_reduce(tensor, operation, group=_processors())
    return int(tensor)


def _processors() -> Any:
    """Return a group that talks through the processors, so that no device has to finish its work for it."""
    global _group
    if _group is None and dist.get_backend() != "gloo":
        _group = dist.new_group(backend="gloo")
    return _group
