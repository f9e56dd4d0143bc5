"""Several devices: one process for each, started, monitored, and ended together."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from hydra.core.hydra_config import HydraConfig
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from pytorch_lightning.strategies import DDPStrategy
from pytorch_lightning.strategies.launchers.launcher import _Launcher

from speechlstm.configs import arguments_again
from speechlstm.configs.arguments import quoted
from speechlstm.configs.folders import conf_flags
from speechlstm.data import console
from speechlstm.training import ranks
from speechlstm.types import SpeechlstmError, UsageError

# Exit statuses of a rank that has finished, or was asked to stop together with the others.
ORDERLY = (0, 130, 143)
GRACE = 8.0  # seconds in which a rank ends by itself after another has ended


class DataParallel(DDPStrategy):
    """A process for each device, each with batches of its own, their gradients averaged (data parallel).

    Alone on a machine it starts the other processes itself, with the command that started this one; torchrun and SLURM
    start them all. A process that fails, is killed or loses its first process ends all of them. It waits `timeout`
    seconds for the other devices before it gives them up.
    """

    def __init__(self, timeout: float = 1800.0, **options: Any) -> None:
        super().__init__(timeout=timedelta(seconds=timeout), **options)

    def _configure_launcher(self) -> None:
        assert self.cluster_environment is not None
        self._launcher = Launcher(self.cluster_environment, self.num_processes, self.num_nodes)

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
        if isinstance(self._launcher, Launcher) and self._launcher.procs:
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
        if self._launcher is not None and dist.is_initialized() and sys.exc_info()[1] is None:
            ranks.leave()
            if isinstance(self._launcher, Launcher):
                self._launcher.forget()


class Launcher(_Launcher):
    """Starts ranks 1, 2, ... of this machine, and sees to it that none outlives the others.

    Lightning has no public way to say how the ranks are started: this class and `DataParallel._configure_launcher` are
    all that depends on its inside, for which its version is bounded. Its own launcher starts ranks with the command
    line as it stands, in a sweep with the settings of all jobs; gives each its own output folder; leaves the others
    waiting for ever when one is killed; and can start ranks only once in a process.
    """

    _ENVIRONMENT = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "LOCAL_RANK", "WORLD_SIZE")

    def __init__(self, environment: ClusterEnvironment, num_processes: int, num_nodes: int) -> None:
        self.cluster_environment, self.num_processes, self.num_nodes = environment, num_processes, num_nodes
        self.procs: list[subprocess.Popen[bytes]] = []
        self.threads = torch.get_num_threads()  # before the ranks share the processors

    @property
    def is_interactive_compatible(self) -> bool:
        """Ranks are started by a command line, which a notebook has not."""
        return False

    def kill(self, signum: Any) -> None:
        """Send the other ranks of this machine a signal."""
        for process in self.procs:
            if process.poll() is None:
                process.send_signal(signum)

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
        if self.num_processes > 1 and "OMP_NUM_THREADS" not in os.environ:
            torch.set_num_threads(max(1, (os.cpu_count() or 1) // self.num_processes))
        return function(*args, **options)

    def _call_children_scripts(self) -> None:
        environment = self.cluster_environment
        os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = (
            environment.main_address,
            str(environment.main_port),
        )
        os.environ["NODE_RANK"], os.environ["LOCAL_RANK"] = str(environment.node_rank()), "0"
        os.environ["WORLD_SIZE"] = str(self.num_processes * self.num_nodes)
        for rank in range(1, self.num_processes):
            own = console.child_environment() | {"LOCAL_RANK": str(rank)}
            self.procs.append(subprocess.Popen(_command(), env=own))

    def _watch(self, processes: list[subprocess.Popen[bytes]]) -> None:
        """End this process when another rank has failed and this one, waiting for it, cannot notice."""
        running = True
        while running:
            running = any(process.poll() is None for process in processes)  # looked at before what has failed
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
                return f"rank {rank} (process {process.pid}) {how}, so all have stopped; its own message stands above"
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
        """Remove the variables that place the other ranks, and take all processors again."""
        torch.set_num_threads(self.threads)
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
    folder = quoted(f"hydra.run.dir={hydra.runtime.output_dir}")
    command = [sys.executable, "-P", "-m", "speechlstm", str(hydra.job.config_name)]
    flags = conf_flags(sys.argv[1:])
    # In a sweep, the overrides are only those of this job.
    return [*command, *flags, folder, "hydra.output_subdir=null", *arguments_again()]
