"""Files of this program: written whole or not at all, never over what is not its own, one writer a folder, caches."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import socket
import stat
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout
from platformdirs import user_cache_path

from speechlstm.data.console import results
from speechlstm.data.names import expanded
from speechlstm.data.remote import RemotePath
from speechlstm.types import OutputError, SpeechlstmError, UsageError

_STDOUT = ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")
_MARK = "user.speechlstm"  # extended attribute of a file: the digest of what this program has written there


def write_atomically(path: str | Path, content: str | bytes) -> None:
    """Write a file beside its target and move it there, so that a reader never sees half of it.

    A link is followed; `-` and `/dev/stdout` are the standard output. Halves of surrogate pairs, which UTF-8 does not
    have, are written as JSON writes them.

    Raises:
        OutputError: the target is no regular file.
        OSError: the folder cannot be made or written, or the disk is full; the old file is then unchanged.
    """
    data = _encoded(content)
    if is_stdout(path):
        stream = results()
        stream.flush()
        stream.buffer.write(data)
        stream.buffer.flush()
        return
    try:
        target = _target(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        with _temporary(target) as (descriptor, temporary):
            with open(descriptor, "wb", closefd=False) as file:
                file.write(data)
            os.fsync(descriptor)
            with contextlib.suppress(OSError):
                os.fchmod(descriptor, target.stat().st_mode & 0o777)
            with contextlib.suppress(OSError, AttributeError):  # not every system has such attributes
                os.setxattr(descriptor, _MARK, _digest(data))
            temporary.replace(target)
    except OSError as error:
        error.filename = str(path)  # a full disk does not say which file, and nobody knows the temporary one
        raise


def _encoded(content: str | bytes) -> bytes:
    return content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content


class Outputs:
    """Where a command writes: never over what it reads, and over what others wrote only if asked to.

    A file is this program's own if its content is still what this program has written there, which an extended
    attribute of the file tells: one that was edited since, or copied, belongs to the user.
    """

    def __init__(self, reads: Iterable[str | Path], overwrite: bool = False) -> None:
        """Know what must not be written over.

        Args:
            reads: files that the command reads.
            overwrite: whether files that this program has not written may be replaced.
        """
        if not isinstance(overwrite, bool):
            raise UsageError(f"overwrite is {overwrite!r}, but must be true or false")
        self.reads, self.overwrite = list(reads), overwrite
        self._identities: set[tuple[int, int]] | None = None

    def check(self, path: str | Path | RemotePath) -> None:
        """Raise an OutputError if a file may not be written here, before there is anything to write.

        Stores keep no mark of who wrote a file, so at a URL none that is there is replaced unless asked to.
        """
        if is_stdout(path):
            return
        if isinstance(path, RemotePath):
            if path.url in map(str, self.reads):
                raise OutputError(
                    f"{path}: is read by this command, so it is not replaced; choose another name"
                )
            if not self.overwrite and any(path.files().values()):
                raise OutputError(f"{path}: exists; choose another name, or add overwrite=true to replace it")
            return
        try:
            target = _target(path)
            found = target.stat()
        except FileNotFoundError:
            return
        except OSError as error:
            raise SpeechlstmError(f"{path}: {error.strerror}") from None
        if self._identities is None:
            self._identities = set(_identities(self.reads))
        if (found.st_dev, found.st_ino) in self._identities:
            raise OutputError(f"{path}: is read by this command, so it is not replaced; choose another name")
        if not self.overwrite and found.st_size and not _is_own(target):
            kept = "exists, and is not as this program has written it"
            raise OutputError(f"{path}: {kept}; choose another name, or add overwrite=true to replace it")

    def write(self, path: str | Path | RemotePath, content: str | bytes) -> None:
        """Write a file by `write_atomically`, or whole to a store, if it may be written.

        Raises:
            OutputError: as in `check`.
            SpeechlstmError: it cannot be written.
        """
        self.check(path)
        if isinstance(path, RemotePath):
            path.write(_encoded(content))
            return
        try:
            write_atomically(path, content)
        except BrokenPipeError:  # the reader of the standard output has seen enough
            raise
        except OSError as error:
            raise SpeechlstmError(f"{path}: {error.strerror}") from None


def is_stdout(name: object) -> bool:
    """Return whether a file to write is the standard output."""
    return str(name) in _STDOUT


def is_folder(name: str | Path) -> bool:
    """Return whether a name on the command line is that of a folder: it is there, or the name ends in a slash."""
    text = str(name)
    return text.endswith(("/", "/.", "/..")) or expanded(text).is_dir()


def file_path(name: str | Path) -> Path:
    """Return the path of a file to write that is named on the command line.

    Raises:
        OutputError: the name is that of a folder.
    """
    if is_folder(name):
        raise OutputError(f"{name}: a folder, but must be a file")
    return expanded(name)


def folder_path(name: str | Path, wanted: str = "a folder") -> Path:
    """Return the path of a folder to write into, `out` on the command line.

    Raises:
        UsageError: the name, or that of a folder above it, is a file's.
    """
    path = expanded(name)
    for each in (path, *path.parents):
        if each.exists() and not each.is_dir():
            which = f"out={name} is a file" if each is path else f"out={name}: {each} is a file"
            raise UsageError(f"{which}, but must be {wanted}; choose another out=")
    return path


def absent(folder: Path) -> list[Path]:
    """Return a folder and those above it as far as they are not there, the innermost first."""
    return [each for each in (folder, *folder.parents) if not os.path.lexists(each)]


def remove(path: Path) -> None:
    """Remove a file, or a folder and all that is in it, as far as that is possible."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def _target(path: str | Path) -> Path:
    """Return the regular file that a path leads to, whether it is there or not."""
    try:
        target = Path(os.path.realpath(path))
        mode = target.stat().st_mode
    except FileNotFoundError:
        return target
    except ValueError as error:  # NUL, or half of a surrogate pair
        raise OutputError(f"{str(path)!r}: cannot be the name of a file ({error})") from None
    kinds = {"folder": stat.S_ISDIR, "FIFO": stat.S_ISFIFO, "socket": stat.S_ISSOCK}
    if not stat.S_ISREG(mode):
        kind = next((name for name, test in kinds.items() if test(mode)), "device")
        raise OutputError(f"{path}: a {kind}, but must be a file")
    return target


def temporary_path(target: Path) -> Path:
    """Return where a file or folder is made before it is moved to its place: short, and one for each target."""
    name = hashlib.blake2b(os.fsencode(target.name), digest_size=6).hexdigest()
    return target.with_name(f".{name}.tmp")


@contextlib.contextmanager
def _temporary(target: Path) -> Iterator[tuple[int, Path]]:
    """Open the temporary file of a target; it has one only, so that what a killed process left is used again."""
    temporary = temporary_path(target)
    while True:
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            with contextlib.suppress(OSError):  # a disk without locks
                fcntl.flock(descriptor, fcntl.LOCK_EX)  # another process may be writing the same target
            if _same(descriptor, temporary):
                os.ftruncate(descriptor, 0)
                try:
                    yield descriptor, temporary
                finally:
                    if _same(descriptor, temporary):
                        temporary.unlink()
                return
        finally:
            os.close(descriptor)


def _same(descriptor: int, path: Path) -> bool:
    """Whether an open file is still what a path leads to."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def _identities(paths: Iterable[str | Path]) -> Iterator[tuple[int, int]]:
    """Yield device and inode of the files that are there."""
    for path in paths:
        with contextlib.suppress(OSError, ValueError):
            found = Path(path).stat()
            yield found.st_dev, found.st_ino


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


def _is_own(path: Path) -> bool:
    """Whether a file's content is what this program has written there."""
    try:
        return os.getxattr(path, _MARK) == _digest(path.read_bytes())
    except (OSError, AttributeError):
        return False


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder for this process, until the block or the process ends, however it ends.

    The lock is the kernel's, on the file `.lock`: one that a killed process left behind locks nothing. `.holder` only
    says who holds it.

    Raises:
        SpeechlstmError: another process holds the folder.
        OSError: the folder cannot be made or written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock = FileLock(folder / ".lock").acquire(timeout=0)
    except Timeout:
        raise SpeechlstmError(f"{folder}: {_holder(folder)}; wait, stop it, or use another out=") from None
    with lock:
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": since}
        write_atomically(folder / ".holder", json.dumps(holder) + "\n")
        yield


def _holder(folder: Path) -> str:
    try:
        holder = json.loads((folder / ".holder").read_text(encoding="utf-8"))
        return f"process {holder['pid']} on {holder['host']} has been writing here since {holder['since']}"
    except (OSError, ValueError, KeyError, TypeError):  # caught between taking the lock and signing
        return "another process writes here"


def user_cache() -> Path:
    """Return the folder for what can be computed again: `SPEECHLSTM_CACHE`, else the system's place for caches."""
    own = os.environ.get("SPEECHLSTM_CACHE")
    return expanded(own) if own else user_cache_path("speechlstm")
