"""The web application: routes, authorization, and responses.

The interface is OpenAI's transcription API: https://platform.openai.com/docs/api-reference/audio
"""

from __future__ import annotations

import asyncio
import time
from importlib import resources

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from speechlstm.transcription.server.answers import RESPONSE_FORMATS, RequestError, answer
from speechlstm.transcription.server.events import stream
from speechlstm.transcription.server.keys import Key
from speechlstm.transcription.server.live import PATH, Live
from speechlstm.transcription.server.metrics import Metrics
from speechlstm.transcription.server.models import Models
from speechlstm.transcription.server.transcriber import Transcriber, refused
from speechlstm.transcription.server.uploads import Limits, read_wish

_PAGE = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    **{f"/{name}.js": (f"{name}.js", "text/javascript") for name in ("page", "formats", "record", "worklet")},
}
_METHODS = {"GET": ["GET", "HEAD"], "POST": ["POST"]}  # monitors ask with HEAD
# The page asks for nothing from elsewhere, and could not.
_POLICY = "default-src 'self'; img-src data:; media-src blob:"


class Service:
    """What the routes answer from.

    Args:
        transcriber: transcribes.
        models: that clients choose from.
        limits: what is taken.
        metrics: what is counted.
        key: that clients must bring.
    """

    def __init__(
        self, transcriber: Transcriber, models: Models, limits: Limits, metrics: Metrics, key: Key
    ) -> None:
        self._transcriber, self._models, self._limits, self._metrics = transcriber, models, limits, metrics
        self._key, self._started = key, int(time.time())

    async def transcriptions(self, request: Request) -> Response:
        """Transcribe an upload: `POST /v1/audio/transcriptions`."""
        status = 500
        try:
            made = await self._transcribe(request)
            status = made.status_code
            return made
        except RequestError as error:
            status = error.status
            raise
        finally:
            self._metrics.requests.labels(status).inc()

    async def _transcribe(self, request: Request) -> Response:
        self._key.check(request)
        wish = await read_wish(request, self._limits, self._models)
        if wish.stream:
            return await stream(self._transcriber, wish, self._metrics)
        begin = time.perf_counter()
        with refused():
            work = self._transcriber.submit(wish.model, wish.audio, wish.seconds, wish.hotwords)
            made = await asyncio.wrap_future(work)
        self._metrics.answered(begin, made.duration)
        return Response(answer(made, wish), media_type=RESPONSE_FORMATS[wish.response_format])

    async def models(self, request: Request) -> Response:
        """List the models, the default first: `GET /v1/models`."""
        self._key.check(request)
        return JSONResponse({"object": "list", "data": [self._about(name) for name in self._models.names]})

    async def model(self, request: Request) -> Response:
        """Describe a model: `GET /v1/models/NAME`."""
        self._key.check(request)
        return JSONResponse(self._about(self._models.find(request.path_params["name"]).name))

    def _about(self, name: str) -> dict[str, str | int]:
        return {"id": name, "object": "model", "created": self._started, "owned_by": "speechlstm"}

    async def health(self, request: Request) -> Response:
        """Say that the server works, and how many recordings wait: `GET /health`."""
        return JSONResponse(
            {"status": "ok", "models": self._models.names, "waiting": self._transcriber.waiting()}
        )

    async def metrics(self, request: Request) -> Response:
        """Return the counts: `GET /metrics`."""
        return Response(self._metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def create_app(service: Service, live: Live, colors: str) -> FastAPI:
    """Return the application with all routes; `colors` is the CSS that names those of the page."""
    app = FastAPI(title="speechlstm", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.colors = colors
    for path, route, method in (
        ("/v1/audio/transcriptions", service.transcriptions, "POST"),
        ("/v1/models", service.models, "GET"),
        ("/v1/models/{name:path}", service.model, "GET"),
        ("/health", service.health, "GET"),
        ("/metrics", service.metrics, "GET"),
    ):
        app.add_api_route(path, route, methods=_METHODS[method], response_model=None)
    app.add_api_websocket_route(PATH, live.serve)
    for path in _PAGE:
        app.add_api_route(path, _page, methods=_METHODS["GET"], response_model=None)
    app.add_exception_handler(RequestError, _refused)
    app.add_exception_handler(HTTPException, _unknown)
    app.add_exception_handler(Exception, _failed)
    return app


async def _page(request: Request) -> Response:
    """Return a file of the page."""
    name, kind = _PAGE[request.url.path]
    content = (
        resources.files("speechlstm.transcription.server").joinpath("page", name).read_text(encoding="utf-8")
    )
    if name.endswith(".css"):
        content = f"{request.app.state.colors}\n{content}"
    return Response(content, media_type=kind, headers={"Content-Security-Policy": _POLICY})


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    return JSONResponse(error.content(), error.status, dict(error.headers))


async def _unknown(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    what = f"{request.method} {request.url.path}"
    known = RequestError(error.status_code, f"{what}: {error.detail}", code="unknown_url")
    return JSONResponse(known.content(), error.status_code, error.headers)


async def _failed(request: Request, error: Exception) -> Response:
    return JSONResponse(RequestError.of(error).content(), 500)
