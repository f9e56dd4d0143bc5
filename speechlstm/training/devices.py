"""Recognition on several devices together."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch.distributed as dist
from omegaconf import DictConfig

from speechlstm.configs import build
from speechlstm.data import progress
from speechlstm.training import ranks
from speechlstm.training.parallel import DataParallel
from speechlstm.transcription.devices import Devices, Inputs, Result
from speechlstm.types import SpeechlstmError, UsageError


class ManyDevices(Devices):
    """The devices of a trainer whose strategy is `DataParallel`, which recognize together.

    Each process makes up the same batches and does the next that nobody has claimed, so that none waits for a slower
    one. The claims are counted by the first process.

    Raises:
        UsageError: the machine has no such devices, or the trainer has another strategy.
    """

    def __init__(self, trainer: DictConfig) -> None:
        for name in ("pytorch_lightning", "lightning_fabric"):  # what they tell is about training
            logging.getLogger(name).setLevel(logging.WARNING)
        made = build(trainer, logger=False, enable_checkpointing=False, enable_progress_bar=False)
        if not isinstance(made.strategy, DataParallel):
            raise UsageError("trainer.strategy must be that of trainer=ddp to recognize on several devices")
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
            dist.broadcast_object_list(shared, group=ranks.processors())
            if not self.is_first:
                self.store = connect(first, shared[0], is_master=False)
            yield shared[1]
        except BaseException as error:
            strategy.on_exception(error)
            raise
        finally:
            strategy.teardown()

    @property
    def claim(self) -> Callable[[], int]:
        """What returns the number of the first batch that no process has claimed."""
        return self._claim

    def _claim(self) -> int:
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
        with progress.bar(task, count, unit, shown=self.is_first) as self.bar:
            for result in results:
                own.append(result)
                self.done += 1
            parts: list[list[Result]] | None = [[]] * dist.get_world_size() if self.is_first else None
            dist.gather_object(own, parts, group=ranks.processors())
            self.bar.update(count - self.bar.n)
        if parts is None:
            return
        merged = sorted((result for part in parts for result in part), key=lambda result: int(result[0]))
        if [result[0] for result in merged] != list(range(count)):
            raise SpeechlstmError(
                f"the ranks have recognized {len(merged)} of {count} inputs; the audio must look the same to all of "
                "them: a folder that all machines share, and nothing written there meanwhile"
            )
        yield from merged
