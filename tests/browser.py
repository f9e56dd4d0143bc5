"""Opens a page in headless Chromium, over its own debugging pipe: what it says, what it looks like, what goes wrong."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

_SECONDS = 120.0  # for a page to load or an answer to come; a busy machine is no failure
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--autoplay-policy=no-user-gesture-required",
    "--remote-debugging-pipe",
)
# Chromium reads commands from descriptor 3 and writes answers to 4; those of a pipe have other numbers.
_START = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(end), fcntl.F_DUPFD, 10) for end in sys.argv[1:3]]
os.dup2(ends[0], 3), os.dup2(ends[1], 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


def embedded(page: Path | str) -> dict[str, Any]:
    """Return the data that a page holds, which are JSON."""
    (found,) = re.findall(
        r'<script type="application/json" id="data">(.*?)</script>', Path(page).read_text("utf-8"), re.DOTALL
    )
    return json.loads(found, parse_constant=pytest.fail)


class Page:
    """A page that is open.

    Attributes:
        errors: what the console showed as an error, what was thrown and not caught, and what could not be loaded.
        requests: addresses that the page asked for, without data and blobs.
    """

    def __init__(self, commands: int, answers: int) -> None:
        self.errors: list[str] = []
        self.requests: list[str] = []
        self._commands, self._answers = commands, answers
        self._received = b""
        self._number = 0
        self._session: str | None = None
        self._loaded = False

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression, that of a promise when it is fulfilled.

        Raises:
            AssertionError: it throws.
        """
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, _thrown(found["exceptionDetails"])
        return found["result"].get("value")

    def view(self, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Set the size of the window in pixels and the color scheme that the reader prefers."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def screenshot(self, path: str | Path) -> None:
        """Write a picture of the whole page as PNG."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        found = self.call("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        Path(path).write_bytes(base64.b64decode(found["data"]))

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command of the DevTools protocol and return its result."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        content = json.dumps(message).encode() + b"\0"
        while content:
            content = content[os.write(self._commands, content) :]
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]

    def _open(self, address: str, width: int, dark: bool) -> None:
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.view(width, dark=dark)
        self._loaded = False
        found = self.call("Page.navigate", url=address)
        assert "errorText" not in found, f"{address}: {found['errorText']}"
        while not self._loaded:
            self._next()

    def _next(self) -> dict[str, Any]:
        """Return the next message, and keep what it tells of the page."""
        end = time.monotonic() + _SECONDS
        while b"\0" not in self._received:
            ready, _, _ = select.select([self._answers], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"Chromium has not answered for {_SECONDS:.0f} s"
            part = os.read(self._answers, 1 << 20)
            assert part, "Chromium has ended"
            self._received += part
        content, _, self._received = self._received.partition(b"\0")
        message: dict[str, Any] = json.loads(content)
        params = message.get("params", {})
        match message.get("method"):
            case "Page.loadEventFired":
                self._loaded = True
            case "Runtime.exceptionThrown":
                self.errors.append(_thrown(params["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if params["type"] in ("error", "assert"):
                self.errors.append(" ".join(str(each.get("value", each)) for each in params["args"]))
            case "Log.entryAdded" if params["entry"]["level"] == "error":
                self.errors.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
            case "Network.requestWillBeSent":
                address = params["request"]["url"]
                if not address.startswith(("data:", "blob:")):
                    self.requests.append(address)
        return message


@contextlib.contextmanager
def open_page(
    path: str | Path, width: int = 1280, dark: bool = False, flags: Sequence[str] = ()
) -> Iterator[Page]:
    """Open an HTML file and wait until it is loaded; the test is skipped where there is no Chromium.

    Args:
        path: the file, or an address that begins with http.
        width: of the window, in pixels.
        dark: whether the reader prefers dark pages.
        flags: further ones of Chromium.
    """
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("no chromium on the PATH to open the page in")
    read_commands, commands = os.pipe()
    answers, write_answers = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [
                *(sys.executable, "-ISc", _START, str(read_commands), str(write_answers)),
                *(program, *_FLAGS, *flags, f"--user-data-dir={profile}", "about:blank"),
            ],
            pass_fds=(read_commands, write_answers),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(read_commands)
        os.close(write_answers)
        page = Page(commands, answers)
        try:
            address = str(path) if str(path).startswith("http") else Path(path).resolve().as_uri()
            page._open(address, width, dark)
            yield page
            page._session = None
            page.call("Browser.close")
            process.wait(_SECONDS)
        finally:
            process.kill()
            process.wait()
            os.close(commands)
            os.close(answers)


def _thrown(details: dict[str, Any]) -> str:
    return str(details.get("exception", {}).get("description") or details["text"])
