"""The key that clients must bring, if there is one."""

from __future__ import annotations

import hmac
from urllib.parse import unquote_to_bytes

from starlette.requests import HTTPConnection

from speechlstm.transcription.server.answers import RequestError

_SUBPROTOCOL = (
    "openai-insecure-api-key."  # how browsers, which cannot set headers, bring a key to a WebSocket
)


class Key:
    """A key.

    Args:
        key: what it is; empty: clients need none.
    """

    def __init__(self, key: str) -> None:
        self._key = key.encode()

    def check(self, client: HTTPConnection) -> None:
        """Raise a RequestError unless the client brings the key, if there is one.

        It comes in the header Authorization, or in the name of a subprotocol, with percent-encoding.
        """
        given = client.headers.get("authorization", "").removeprefix("Bearer ").strip().encode("latin-1")
        for name in client.headers.get("sec-websocket-protocol", "").split(","):
            if name.strip().startswith(_SUBPROTOCOL):
                given = unquote_to_bytes(name.strip().removeprefix(_SUBPROTOCOL))
        if self._key and not hmac.compare_digest(given, self._key):
            message = "no or a wrong API key: send 'Authorization: Bearer KEY'"
            raise RequestError(401, message, code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"})
