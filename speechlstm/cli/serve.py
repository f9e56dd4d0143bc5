"""Answer clients of OpenAI's transcriptions, and a browser, over HTTP."""

from __future__ import annotations

import logging
import os
import resource
import socket
from typing import Any

from omegaconf import DictConfig

import speechlstm
from speechlstm import configs
from speechlstm.cli.devices import batch_threads, choose_devices, make_decoder
from speechlstm.evaluation.pages import palette
from speechlstm.transcription.devices import OneDevice
from speechlstm.types import SpeechlstmError, UsageError


@configs.main("serve")
def main(cfg: DictConfig) -> int:
    """Serve until a signal comes, and then finish what has begun."""
    try:
        import uvicorn

        from speechlstm.transcription.server.app import Service, create_app
        from speechlstm.transcription.server.batcher import Batcher
        from speechlstm.transcription.server.connections import end_unread, limited
        from speechlstm.transcription.server.metrics import Metrics
        from speechlstm.transcription.server.uploads import Limits
    except ImportError as error:
        raise UsageError(f"serve needs {error.name}: pip install 'speechlstm[server]'") from None
    where = choose_devices(cfg.trainer)
    if not isinstance(where, OneDevice):
        raise UsageError("serve is for one device: add trainer.devices=1")
    listening = _listen(str(cfg.host), cfg.port)
    recognizer = speechlstm.load(
        cfg.bundle, device=where.device, precision=where.precision, runtime=cfg.runtime
    )
    decoder = make_decoder(cfg, recognizer)
    batcher = Batcher(
        recognizer, decoder, cfg.batch_seconds, batch_threads(cfg.threads), cfg.max_waiting,
        lambda number: metrics.batches.observe(number),
    )  # fmt: skip
    metrics = Metrics(batcher.waiting)
    limits = Limits(cfg.max_megabytes, cfg.max_seconds, cfg.upload_seconds)
    name = recognizer.name if cfg.name is None else str(cfg.name)
    service = Service(batcher, name, limits, metrics, os.environ.get("SPEECHLSTM_API_KEY", ""))
    app = create_app(service, palette.css())
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    end_unread(listening, cfg.upload_seconds)
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    http: Any = limited(cfg.upload_seconds, files // 2)
    settings = uvicorn.Config(
        app, http=http, ws="none", log_config=None, access_log=False, lifespan="off",
        backlog=min(files // 8, 1024),  # asyncio accepts as many at once, and looks for the limit only then
    )  # fmt: skip
    server = uvicorn.Server(settings)
    address = f"[{cfg.host}]" if ":" in str(cfg.host) else cfg.host
    print(f"{name}: http://{address}:{listening.getsockname()[1]}/ (Ctrl-C ends it)", flush=True)
    try:
        server.run(sockets=[listening])
    finally:
        batcher.close()
    return 0


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
