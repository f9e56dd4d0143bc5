"""Audio files inside tar archives, read where they lie: `shard.tar@1024/name.flac`, the byte being the member's first.

So an archive of any size is read at random without being unpacked, and nothing has to be kept of it but the paths.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, BinaryIO

from speechlstm.types import AudioError, Utterance

_NAMES = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)
_LONGEST = 1 << 20  # bytes of a name with its attributes
_MEMBER = re.compile(r"(.+?\.tar)@(\d{1,18})/(.+)", re.DOTALL)


class _Record(tarfile.TarInfo):
    """A record of an archive; one that only lengthens a name may have any size, and is read into memory whole."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Record:
        """Read a record's header."""
        record = super().frombuf(buf, encoding, errors)
        if record.type in _NAMES and record.size > _LONGEST:
            raise tarfile.ReadError(f"a name of {record.size} bytes")
        return record


def split(path: str) -> tuple[str, int, str] | None:
    """Return archive, byte and member's name where a path names a member of an archive that is there, else None."""
    match = _MEMBER.fullmatch(path)
    return (match[1], int(match[2]), match[3]) if match and Path(match[1]).is_file() else None


def holder(path: str) -> Path:
    """Return the file that holds the audio: the archive, or the audio file itself."""
    inside = split(path)
    return Path(inside[0] if inside else path)


def holders(utterances: Iterable[Utterance]) -> list[Path]:
    """Return the files that hold the audio of utterances."""
    return [holder(each.audio_filepath) for each in utterances]


def members(archive: str | Path) -> Iterator[tuple[str, str]]:
    """Yield the path by which each member can be opened, and its name, in the archive's order.

    Raises:
        AudioError: it cannot be read, is damaged, or is compressed.
    """
    try:
        with tarfile.open(archive, "r:", tarinfo=_Record) as tar:
            for member in tar:
                yield f"{archive}@{member.offset}/{member.name}", member.name
    except tarfile.TarError as error:
        raise AudioError(
            f"{archive}: not a plain tar archive ({error}); a compressed one must be unpacked"
        ) from None
    except OSError as error:
        raise AudioError(f"{archive}: cannot be read ({error.strerror})") from None


def open_member(path: str, archive: BinaryIO) -> IO[bytes]:
    """Return a member as a file of its own, which reads what is asked of it and no more.

    Args:
        path: names the member.
        archive: the archive that `path` begins with, open.

    Raises:
        AudioError: at that byte begins no member of that name, or it is cut off.
    """
    inside = split(path)
    assert inside is not None
    name, byte, wanted = inside
    archive.seek(byte)
    try:
        tar = tarfile.open(fileobj=archive, mode="r:", tarinfo=_Record)  # noqa: SIM115  closing `archive` is the caller's
        member = tar.next()
    except tarfile.TarError:
        member = None
    found = member.name if member else "nothing"
    if not member or found != wanted:
        raise AudioError(
            f"{path}: at byte {byte} of {Path(name).name} begins {found}; prepare the manifest again"
        )
    content = tar.extractfile(member) if member.isreg() else None
    if content is None:
        raise AudioError(f"{path}: not a regular file in the archive; leave it out")
    if member.offset_data + member.size > Path(name).stat().st_size:
        raise AudioError(f"{path}: the archive is truncated; copy or download it again")
    return content
