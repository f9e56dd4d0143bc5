"""Transcription by a pool of Ray actors, each with a copy of the model, on one machine or many.

The actors only recognize: results come back to this process, which alone writes them, so that nothing is written twice
or by half. An actor that dies, with its process or its node, is replaced, and what it worked on is done again.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch

from speechlstm.data import progress
from speechlstm.data.audio import audio_name
from speechlstm.transcription.channels import transcribe_each
from speechlstm.transcription.chunks import MOST_DEATHS, Chunk, Waiting
from speechlstm.transcription.jobs import Part
from speechlstm.transcription.recognizer import load, transcribe
from speechlstm.transcription.transcript import Transcript
from speechlstm.types import AudioError, SpeechlstmError, UsageError, Utterance, counted

_PATIENCE = 30.0  # seconds without an actor, after which the user hears why nothing happens

Result = tuple[int, Transcript | AudioError]


@dataclass(frozen=True, slots=True)
class Setup:
    """What an actor needs to transcribe.

    Attributes:
        bundle: the model's folder or name.
        decoder: name and settings of the decoder.
        device, precision, runtime: as for `speechlstm.transcription.recognizer.load`.
        batch_seconds, strict_audio: as for `speechlstm.transcription.recognizer.transcribe`.
        channels: whether to transcribe each channel by itself.
        folder: the working folder, which relative paths count from.
    """

    bundle: str
    decoder: dict[str, Any]
    device: str
    precision: str
    runtime: str
    batch_seconds: float
    strict_audio: bool
    channels: bool
    folder: str


@dataclass(frozen=True, slots=True)
class Pool:
    """Settings of `executor=ray`: see `conf/executor/ray.yaml`."""

    address: str | None = None
    actors: int | None = None
    cpus: float = 1
    gpus: float = 0.0


class _Worker:
    """An actor: a model with its decoder."""

    def __init__(self, setup: Setup) -> None:
        with contextlib.suppress(
            OSError
        ):  # another machine may lack it: then relative paths are not found there
            os.chdir(setup.folder)
        torch.set_num_threads(1)
        self.setup = setup
        self.model = load(setup.bundle, device=setup.device, precision=setup.precision, runtime=setup.runtime)
        self.decoder = self.model.create_decoder(**setup.decoder)

    def ready(self) -> None:
        """Return once the model is loaded."""

    def transcribe(
        self, parts: list[Part] | list[Utterance], threads: int
    ) -> tuple[list[tuple[int, Transcript | AudioError]], float]:
        """Return the result of each part, with its place in the list, and how many seconds they took."""
        begin = time.monotonic()
        options = (self.setup.batch_seconds, threads, None, self.setup.strict_audio)
        if self.setup.channels:  # of files, not of utterances, which name theirs
            results = transcribe_each(self.model, self.decoder, cast(list[Part], parts), *options)
        else:
            results = transcribe(self.model, self.decoder, parts, *options)
        return list(results), time.monotonic() - begin


def _called(part: Part | Utterance) -> str:
    return audio_name(part.audio_filepath if isinstance(part, Utterance) else part.audio)


def _check_address(address: str | None) -> None:
    """Raise a SpeechlstmError if nothing answers at `host:port`: Ray itself would try for minutes."""
    host, colon, port = (address or "").rpartition(":")
    if not colon or "/" in host or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SpeechlstmError(f"executor.address={address}: no Ray cluster there ({reason})") from None


class Cluster:
    """A connection to Ray with its actors, while the context lasts.

    Raises:
        UsageError: Ray is not installed.
        SpeechlstmError: there is no cluster at the address.
    """

    def __init__(self, pool: Pool, setup: Setup) -> None:
        try:
            import ray
        except ImportError:
            raise UsageError("executor=ray needs the extra ray: pip install 'speechlstm[ray]'") from None
        self._ray: Any = ray
        self._pool, self._setup = pool, setup
        self._started: dict[Any, Any] = {}  # actors that load the model, by what tells that they have
        self._busy: dict[Any, tuple[Any, Chunk]] = {}  # actors with their work, by its result

    def __enter__(self) -> Cluster:
        _check_address(self._pool.address)
        here = threading.current_thread() is threading.main_thread()
        handlers = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)} if here else {}
        try:
            self._ray.init(
                address=self._pool.address, include_dashboard=None if self._pool.address else False,
                log_to_driver=False, logging_level="ERROR", configure_logging=True,
            )  # fmt: skip
        except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
            reason = str(error).strip().splitlines()[0]
            told = os.environ.get("RAY_AUTH_MODE") == "token"
            token = (
                ""
                if told
                else "; if there is one that asks for a token, set RAY_AUTH_MODE=token in the environment"
            )
            raise SpeechlstmError(
                f"executor.address={self._pool.address}: no Ray cluster there ({reason}){token}"
            ) from None
        finally:
            for each, handler in handlers.items():  # Ray puts its own in their place
                signal.signal(each, handler)
        # Ray prints on stdout, among the texts, that a node has gone; this silences it, and `log_to_driver` does not.
        self._ray._private.worker._worker_logs_enabled = False
        return self

    def __exit__(self, *_: object) -> None:
        for actor in [*self._started.values(), *(actor for actor, _ in self._busy.values())]:
            self._drop(actor)
        self._ray.shutdown()
        self._ray._private.worker._worker_logs_enabled = True

    def transcribe(self, parts: Sequence[Part] | Sequence[Utterance]) -> Iterator[Result]:
        """Yield the result of each part with its number, as soon as an actor has it.

        Raises:
            SpeechlstmError: no actor can load the model.
        """
        ray = self._ray
        waiting = Waiting(len(parts), self._wanted())
        idle: list[Any] = []
        results: deque[Result] = deque()
        while waiting or self._busy:
            self._give(idle, waiting, parts)
            room = min(self._wanted(), len(waiting) + len(self._busy))
            for _ in range(room - len(self._busy) - len(self._started)):
                self._start()
            while results and not ray.wait([*self._busy, *self._started], num_returns=1, timeout=0)[0]:
                yield results.popleft()  # written while the actors work, none of which is to wait for it
            done, _ = ray.wait([*self._busy, *self._started], num_returns=1, timeout=_PATIENCE)
            if not done and not self._busy:
                cores, cards = self._pool.cpus, self._pool.gpus
                progress.write(
                    f"note: the cluster has no room yet for an actor with cpus={cores} and gpus={cards}",
                    sys.stderr,
                )
            for reference in done:
                if reference in self._started:
                    idle += self._loaded(reference)
                else:
                    results += self._finish(reference, waiting, idle, parts)
        for actor in idle:
            self._drop(actor)
        yield from results

    def _wanted(self) -> int:
        """Return how many actors there should be."""
        if self._pool.actors is not None:
            return self._pool.actors
        there = self._ray.cluster_resources()
        shares = [there.get("CPU", 0) / self._pool.cpus]
        shares += [there.get("GPU", 0) / self._pool.gpus] if self._pool.gpus else []
        return max(1, int(min(shares)))

    def _start(self) -> None:
        made = self._ray.remote(_Worker).options(num_cpus=self._pool.cpus, num_gpus=self._pool.gpus)
        actor = made.remote(self._setup)
        self._started[actor.ready.remote()] = actor

    def _loaded(self, reference: Any) -> list[Any]:
        """Return the actor that has loaded the model, or none if it died; raise if it cannot load it."""
        actor = self._started.pop(reference)
        try:
            self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None)
            text = str(cause or error).strip()
            own = [
                line for line in text.splitlines() if "Error: " in line
            ]  # the trace ends in what was wrong
            if "__init__" in text or isinstance(cause, SpeechlstmError):
                reason = (own or text.splitlines())[-1].rpartition("Error: ")[2]
                raise SpeechlstmError(f"an actor cannot load the model: {reason}") from None
            self._drop(actor)
            return []
        return [actor]

    def _give(self, idle: list[Any], waiting: Waiting, parts: Sequence[Part | Utterance]) -> None:
        """Give idle actors what waits."""
        threads = max(1, int(self._pool.cpus))
        while idle and waiting:
            actor, chunk = idle.pop(), waiting.take()
            reference = actor.transcribe.remote([parts[number] for number in chunk.numbers], threads)
            self._busy[reference] = actor, chunk

    def _finish(
        self, reference: Any, waiting: Waiting, idle: list[Any], parts: Sequence[Part | Utterance]
    ) -> list[Result]:
        """Return the results of a chunk; those of an actor that has died are done again."""
        actor, chunk = self._busy.pop(reference)
        try:
            results, seconds = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, SpeechlstmError):
                raise error.cause from None
            raise
        except self._ray.exceptions.RayError:
            self._drop(actor)
            if chunk.deaths + 1 < MOST_DEATHS:
                waiting.put_back(chunk)
                return []
            died = f"{counted(MOST_DEATHS, 'actor')} died while transcribing it; the last one may lack memory"
            return [(number, AudioError(f"{_called(parts[number])}: {died}")) for number in chunk.numbers]
        idle.append(actor)
        waiting.took(len(results), seconds)
        return [(chunk.numbers[place], result) for place, result in results]

    def _drop(self, actor: Any) -> None:
        with contextlib.suppress(self._ray.exceptions.RayError, ValueError):
            self._ray.kill(actor)
