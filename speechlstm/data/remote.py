"""Audio and transcripts at URLs, through fsspec: `https://`, `s3://`, `gs://`, and every other scheme it knows.

Readers move about in a file, so audio is copied to the temporary disk first. The last `KEPT` copies stay there, because
a recording is opened for its length and again for its samples.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any
from urllib.parse import unquote, urlsplit

from speechlstm.data.names import expanded
from speechlstm.data.unreachable import SECONDS, SLOWEST, explained, too_slow
from speechlstm.types import AudioError, SpeechlstmError, UsageError

KEPT = 32  # copies on the temporary disk
MAX_BYTES = 16 << 30  # of a recording: a stream without an end would fill the disk
_BLOCK = 1 << 20  # bytes
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_WEB = ("http://", "https://")
_NO_OUTPUT = dict.fromkeys(("http", "https"), "a web address cannot be written to") | {
    "memory": "this memory ends with the command",
    "data": "a data URL cannot be written to",
}


def is_url(name: object) -> bool:
    """Return whether a name is a URL, and no file that happens to be called so."""
    text = str(name)
    return bool(_URL.match(text)) and not os.path.lexists(text)


def url_name(url: str) -> str:
    """Return the file name in a URL, without the query of a web address."""
    path = unquote(urlsplit(url).path) if url.lower().startswith(_WEB) else url.partition("://")[2]
    name = PurePosixPath(path).name
    return name if name not in ("", "..") else "audio"


@dataclass(frozen=True, slots=True)
class RemotePath:
    """Where an output goes at a URL; it has what the writing of outputs needs of a `pathlib.Path`."""

    url: str

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, name: str) -> RemotePath:
        return RemotePath(f"{self.url.rstrip('/')}/{name}")

    @property
    def suffix(self) -> str:
        """The ending of the name, with its dot."""
        return PurePosixPath(self.url).suffix

    def write(self, data: bytes) -> None:
        """Write the object whole. Object stores replace it at once; on others, such as sftp, a reader may see half.

        Raises:
            SpeechlstmError: the store refuses.
        """
        with explained(self.url, "written", SpeechlstmError):
            store, path = _store(self.url)
            store.makedirs(path.rpartition("/")[0], exist_ok=True)
            store.pipe_file(path, data)

    def files(self) -> dict[str, int]:
        """Return the sizes, in bytes, of this file or of those below this folder, by their paths in the store.

        Raises:
            SpeechlstmError: the store refuses to list them.
        """
        with explained(self.url, "listed", SpeechlstmError):
            store, path = _store(self.url)
            store.invalidate_cache()
            found = store.find(path, detail=True)
            return {store._strip_protocol(name): int(info.get("size") or 0) for name, info in found.items()}

    def path(self) -> str:
        """Return its path in the store, as in `files`."""
        with explained(self.url, "used", SpeechlstmError):
            return str(_store(self.url)[1])


Target = Path | RemotePath  # where an output goes


def target(name: str | Path | RemotePath) -> Target:
    """Return where an output goes that is named on the command line.

    Raises:
        UsageError: a web server, which takes no files, or the memory of this process, which ends with it.
    """
    if isinstance(name, RemotePath):
        return name
    text = str(name)
    if not is_url(text):
        return expanded(text)
    scheme, _, rest = text.partition("://")
    if scheme.lower() in ("file", "local"):
        return Path(unquote(rest))
    if why := _NO_OUTPUT.get(scheme.lower()):
        raise UsageError(f"out={text}: {why}; name a folder or a bucket, as in s3://")
    return RemotePath(text)


def list_folder(url: str) -> list[str] | None:
    """Return the URLs of all files below a folder, sorted, or None if the URL is not that of a folder.

    A web address is a folder if it ends in a slash.

    Raises:
        AudioError: the store refuses, or its scheme needs a package that is not installed.
    """
    with explained(url, "fetched", AudioError):
        if url.lower().startswith(_WEB) and not urlsplit(url).path.endswith("/"):
            return None
        store, path = _store(url, SECONDS)
        if not url.lower().startswith(_WEB) and (store.isfile(path) or not store.isdir(path)):
            return None
        store.ls(path)  # `find` passes over what refuses to be listed
        root = path.rstrip("/")
        below = [name[len(root) :].lstrip("/") for name in store.find(path) if name.startswith(f"{root}/")]
        return [f"{url.rstrip('/')}/{name}" for name in sorted(below) if name]


_copies: OrderedDict[str, tuple[str, IO[bytes]]] = OrderedDict()  # the last ones used come last
_lock = threading.Lock()


@contextlib.contextmanager
def fetched(url: str) -> Iterator[str]:
    """Yield the path of a copy of a file at a URL. It is gone when the process ends, however it ends.

    Raises:
        AudioError: it is not there, cannot be read, comes too slowly, or is larger than `MAX_BYTES`.
    """
    with _lock:
        copy = _copies.get(url)
    if copy is None:
        with explained(url, "fetched", AudioError):
            copy = _fetch(url)
    with _lock:
        copy = _copies.setdefault(url, copy)
        _copies.move_to_end(url)
        while len(_copies) > KEPT:
            _copies.popitem(last=False)  # the file is closed, and so removed, when nobody reads it any more
    yield copy[0]


def _fetch(url: str) -> tuple[str, IO[bytes]]:
    store, path = _store(url)
    linux = Path("/proc/self/fd").is_dir()  # there a file needs no name, so that no kill leaves it behind
    file = tempfile.TemporaryFile() if linux else tempfile.NamedTemporaryFile()  # noqa: SIM115  as long as its path
    size = before = 0
    options = {"block_size": 0} if url.lower().startswith(_WEB) else {}  # 0: one request for all of it
    with store.open(path, "rb", **options) as source:
        since = time.monotonic()
        while block := source.read(_BLOCK):
            size += len(block)
            if size > MAX_BYTES:
                raise AudioError(f"{url}: over {MAX_BYTES >> 30} GB; fetch it yourself, and give the file")
            file.write(block)
            if (seconds := time.monotonic() - since) >= SECONDS:
                if size - before < SLOWEST * seconds:
                    raise AudioError(f"{url}: cannot be fetched: {too_slow(size - before, seconds)}")
                before, since = size, time.monotonic()
    file.flush()
    return f"/proc/self/fd/{file.fileno()}" if linux else file.name, file


async def _answered(request: Any, send: Callable[[Any], Awaitable[Any]]) -> Any:
    """Return the answer of a web server, however slowly its first lines come, but not after `SECONDS`."""
    return await asyncio.wait_for(send(request), SECONDS)


def _store(url: str, most: float | None = None) -> tuple[Any, str]:
    """Return the file system of a URL, and the path in it; `most` are the seconds for the whole of a web page."""
    try:
        import fsspec
    except ImportError:
        raise SpeechlstmError(
            f"{url}: URLs need the extra remote: pip install 'speechlstm[remote]'"
        ) from None
    options: dict[str, Any] = {}
    scheme, colon, rest = url.partition(":")
    if url.lower().startswith(_WEB):
        import aiohttp  # fsspec's own limit is five minutes for all of a file

        limit = aiohttp.ClientTimeout(total=most, sock_connect=SECONDS, sock_read=SECONDS)
        options["client_kwargs"] = {"timeout": limit, "middlewares": (_answered,)}
    try:
        store, path = fsspec.core.url_to_fs(f"{scheme.lower()}{colon}{rest}", **options)
    except ValueError:
        if scheme.lower() in fsspec.available_protocols():
            raise
        raise SpeechlstmError(
            f"{url}: the scheme {scheme}:// is not known; use https://, s3://, gs://, or the name of a file"
        ) from None
    return store, str(path)
