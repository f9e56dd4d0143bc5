"""Answer clients of OpenAI's transcriptions, and a browser, over HTTP."""

from __future__ import annotations

import logging
import os
import resource
import socket
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from omegaconf import DictConfig

import speechlstm
from speechlstm import configs
from speechlstm.cli.devices import batch_threads, choose_devices, decoder_settings, make_decoder
from speechlstm.decoders import Decoder
from speechlstm.evaluation.pages import palette
from speechlstm.transcription.devices import OneDevice
from speechlstm.transcription.recognizer import Recognizer
from speechlstm.types import SpeechlstmError, UsageError, counted

_LARGEST = 1 << 22  # bytes of a message of a WebSocket, at most


@configs.main("serve")
def main(cfg: DictConfig) -> int:
    """Serve until a signal comes, and then finish what has begun."""
    try:
        from speechlstm.transcription.server.app import Service, create_app
        from speechlstm.transcription.server.batcher import Batcher, SharedModel
        from speechlstm.transcription.server.keys import Key
        from speechlstm.transcription.server.live import Live
        from speechlstm.transcription.server.metrics import Metrics
        from speechlstm.transcription.server.models import Models, ServedModel
        from speechlstm.transcription.server.transcriber import Transcriber
        from speechlstm.transcription.server.uploads import Limits
    except ImportError as error:
        raise UsageError(f"serve needs {error.name}: pip install 'speechlstm[server]'") from None
    where = choose_devices(cfg.trainer)
    if not isinstance(where, OneDevice):
        raise UsageError("serve is for one device: add trainer.devices=1")
    listening = _listen(str(cfg.host), cfg.port)
    recognizers = _load(cfg, where)
    threads = batch_threads(cfg.threads) if torch.device(where.device).type == "cpu" else 1
    transcriber = Transcriber(threads, cfg.max_waiting)
    metrics = Metrics(transcriber.waiting)
    batcher = Batcher(cfg.batch_seconds, threads, metrics.batches.observe)
    models = Models(
        ServedModel(
            name,
            recognizer,
            SharedModel(recognizer, batcher),
            make_decoder(cfg, recognizer),
            partial(_favor, cfg, recognizer),
        )
        for name, recognizer in recognizers.items()
    )
    key = Key(os.environ.get("SPEECHLSTM_API_KEY", ""))
    limits = Limits(cfg.max_megabytes, cfg.max_seconds, cfg.upload_seconds)
    service = Service(transcriber, models, limits, metrics, key)
    live = Live(models, key, cfg.max_live, threads, metrics)
    address = f"[{cfg.host}]" if ":" in str(cfg.host) else cfg.host
    names = ", ".join(models.names)
    print(f"{names}: http://{address}:{listening.getsockname()[1]}/ (Ctrl-C ends it)", flush=True)
    try:
        _run(create_app(service, live, palette.css()), listening, cfg.upload_seconds)
    finally:
        transcriber.close()
        batcher.close()
    return 0


def _run(app: Any, listening: socket.socket, upload_seconds: float) -> None:
    """Serve an application until a signal comes."""
    import uvicorn

    from speechlstm.transcription.server.connections import end_unread, limited, without_trace

    log = logging.getLogger("uvicorn.error")
    log.setLevel(logging.WARNING)
    log.addFilter(without_trace)
    end_unread(listening, upload_seconds)
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    http: Any = limited(upload_seconds, files // 2)
    settings = uvicorn.Config(
        app, http=http, ws_max_size=_LARGEST, ws_per_message_deflate=False, log_config=None, access_log=False,
        lifespan="off",
        backlog=min(files // 8, 1024),  # asyncio accepts as many at once, and looks for the limit only then
    )  # fmt: skip
    uvicorn.Server(settings).run(sockets=[listening])


def _load(cfg: DictConfig, where: OneDevice) -> dict[str, Recognizer]:
    """Return the recognizers by the names that clients know them by.

    Raises:
        UsageError: names are missing, too many, or given twice.
    """
    bundles, names = _listed(cfg.bundle), _listed(cfg.name)
    if cfg.name is None:
        names = [None] * len(bundles)
    if len(names) != len(bundles):
        raise UsageError(
            f"name= has {counted(len(names), 'name')} for {counted(len(bundles), 'model')}: "
            "give one for each, as in bundle=[small,english] name=[commands,general]"
        )
    recognizers: dict[str, Recognizer] = {}
    for bundle, name in zip(bundles, names, strict=True):
        made = speechlstm.load(bundle, device=where.device, precision=where.precision, runtime=cfg.runtime)
        name = made.name if name is None else str(name)
        if name in recognizers:
            raise UsageError(
                f"two models have the name {name!r}; name=[...] gives each another, in the order of bundle=[...]"
            )
        recognizers[name] = made
    return recognizers


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]


def _favor(cfg: DictConfig, recognizer: Recognizer, hotwords: Sequence[str]) -> Decoder:
    """Return the decoder of a model with hotwords, which is the beam search if the model's own takes none."""
    settings = decoder_settings(cfg, recognizer)
    if settings["name"] == "greedy":
        settings = {"name": "beam"}
    made: Decoder = configs.build_part(
        "decoder", settings | {"hotwords": list(hotwords)}, tokenizer=recognizer.tokenizer
    )
    return made


def _listen(host: str, port: int) -> socket.socket:
    """Return a socket that is bound.

    Raises:
        SpeechlstmError: the address is taken, or not of this machine.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        reason = error.strerror or str(error)
        raise SpeechlstmError(f"host={host} port={port} cannot be listened on: {reason}") from None
