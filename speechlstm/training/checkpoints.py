"""Checkpoints on disk: written atomically, read only if complete, the last two kept."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins import TorchCheckpointIO

from speechlstm.training.messages import is_first, say
from speechlstm.types import SpeechlstmError

LAST, PREVIOUS = "last.ckpt", "previous.ckpt"


class Checkpoints(TorchCheckpointIO):
    """Writes each checkpoint beside its place, reads it back, then moves it there; `last.ckpt` becomes `previous.ckpt`.

    Lightning's own stages it in the system's temporary folder: a full disk then costs the good checkpoint that was
    there before, and a folder without permission to write is not complained about.
    """

    advice = "delete it to start over, or use another out="  # on a damaged one

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.settings = settings

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint, on the disk itself when this returns.

        Raises:
            SpeechlstmError: what was read back is not what was written.
            OSError: no space, no permission; the checkpoints that were there still are.
        """
        path = Path(path)
        staging = _beside(path)
        content = {"folder": str(path.parent.resolve()), "settings": self.settings}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with staging.open("wb") as file:
                torch.save(checkpoint | content, file)
                file.flush()
                os.fsync(file.fileno())
                if sys.platform == "linux":  # what is read back comes from the disk itself, not from memory
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            if damage := find_damage(staging):
                raise SpeechlstmError(
                    f"{path}: read back otherwise than written ({damage}); the disk is failing or full"
                )
            if path.name == LAST and path.exists():
                _keep(path, path.with_name(PREVIOUS))
            staging.replace(path)
            _sync_folder(path.parent)
        except OSError as error:
            error.filename = str(path)  # a full disk does not say which file, and nobody knows the staged one
            raise
        except RuntimeError as error:  # how torch.save puts that its file cannot be written
            if isinstance(error.__context__, OSError):
                error.__context__.filename = str(path)
                raise error.__context__ from None
            raise
        finally:
            with contextlib.suppress(OSError):
                staging.unlink()

    def load_checkpoint(self, path: Any, *args: Any, **options: Any) -> dict[str, Any]:
        """Read a checkpoint.

        Raises:
            SpeechlstmError: it is damaged.
        """
        damage = find_damage(Path(path))
        if not damage:
            try:
                content = super().load_checkpoint(path, *args, **options)
                _check(content)
                return _moved(content, Path(path).resolve().parent)
            except OSError:
                raise
            except Exception as error:  # torch and pickle answer damage with exceptions of many kinds
                damage = str(error).partition("\n")[0] or type(error).__name__
        raise SpeechlstmError(f"{path}: damaged checkpoint ({damage}); {self.advice}")


def find_last(folder: Path) -> Path | None:
    """Return the checkpoint to go on from: `last.ckpt`, or the one before where that is damaged or missing.

    Training from the older one leads to the same result, only later. A damaged `last.ckpt` is renamed, so that it
    does not become the one before.

    Raises:
        SpeechlstmError: there are checkpoints, but all are damaged.
    """
    last, previous = folder / LAST, folder / PREVIOUS
    try:
        if not (damage := find_damage(last)):
            return last
    except FileNotFoundError:
        return previous if previous.exists() else None
    if not previous.exists():
        raise SpeechlstmError(
            f"{last}: damaged checkpoint ({damage}); delete it to start over, or use another out="
        )
    if is_first():
        last.replace(broken := last.with_suffix(".damaged"))
        say(f"{last}: damaged checkpoint ({damage}); kept as {broken.name}")
    return previous


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read the checkpoint of a training, for what it holds of the model.

    Raises:
        SpeechlstmError: it is damaged, or of another program.
    """
    reader = Checkpoints({})
    reader.advice = "copy it again, or name another one"
    content = reader.load_checkpoint(path, weights_only=True)
    settings, tokenizer = content.get("settings", {}), content.get("tokenizer", {})
    places = {"state_dict": content, "tokenizer": content, "tokens": tokenizer}
    for part, place in (places | {"features": settings, "encoder": settings}).items():
        if part not in place:
            raise SpeechlstmError(f"{path}: no checkpoint of speechlstm: it has no {part}")
    return content


def find_damage(path: Path) -> str | None:
    """Return what is wrong with a checkpoint file, which is a zip archive with a checksum for each part, or None.

    Raises:
        OSError: it cannot be read.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        return "not a regular file"
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
            if any(part.compress_type != zipfile.ZIP_STORED for part in parts):
                return "it is compressed, which checkpoints are not"
            if sum(part.file_size for part in parts) > status.st_size:
                return "its parts are larger than the file"
            broken = archive.testzip()
    except (zipfile.BadZipFile, EOFError, NotImplementedError, ValueError, RuntimeError) as error:
        return str(error) or type(error).__name__
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return "a part of it would begin before its first byte"
    return f"wrong checksum of {broken}" if broken else None


_CONTENT = {  # of a checkpoint, as far as it is there
    "state_dict": dict, "tokenizer": dict, "settings": dict, "callbacks": dict, "loops": dict, "optimizer_states": list,
    "lr_schedulers": list, "epoch": int, "global_step": int, "pytorch-lightning_version": str, "folder": str,
    "planned": int, "averaging_state": dict, "current_model_state": dict, "SpeechData": dict,
}  # fmt: skip


def _check(content: Any) -> None:
    """Raise a ValueError if what a checkpoint holds is not of the kinds that it should be."""
    if not isinstance(content, dict):
        raise ValueError(f"it holds no dictionary, but {type(content).__name__}")
    for key, kind in _CONTENT.items():
        if not isinstance(content.get(key, kind()), kind):
            raise ValueError(f"its {key} is {type(content[key]).__name__}, but should be {kind.__name__}")
    weights, tokens = content.get("state_dict", {}), content.get("tokenizer", {}).get("tokens", [])
    if not all(isinstance(name, str) and isinstance(each, torch.Tensor) for name, each in weights.items()):
        raise ValueError("its weights are no tensors")
    if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
        raise ValueError("its tokens are no texts")
    if not all(isinstance(stage, dict) for stage in content.get("settings", {}).values()):
        raise ValueError("its settings are not those of the model's parts")


def _beside(path: Path) -> Path:
    """Return where a file is made before it is moved to its place; what a killed process left there is written over."""
    return path.with_name(f".{path.name}.tmp")


def _keep(path: Path, as_: Path) -> None:
    """Give a file a second name, without a moment in which it has none."""
    link = _beside(as_)
    try:
        link.unlink(missing_ok=True)
        os.link(path, link)
        link.replace(as_)
    except OSError:  # a file system without hard links; `find_last` knows that `last.ckpt` can be missing
        path.replace(as_)


def _sync_folder(folder: Path) -> None:
    """Make the folder's entries as lasting as the files' content."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _moved(checkpoint: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Change the paths that callbacks remember below the folder where the checkpoint lay into where it lies now.

    Otherwise the run's best score would be forgotten when its folder is moved to another place or machine.
    """
    old = checkpoint.get("folder", str(folder))

    def here(value: Any) -> Any:
        if isinstance(value, dict):
            return {here(key): here(each) for key, each in value.items()}
        if isinstance(value, str) and (value == old or value.startswith(f"{old}/")):
            return f"{folder}{value[len(old) :]}"
        return value

    if old != str(folder):
        checkpoint["callbacks"] = {
            name: here(state) for name, state in checkpoint.get("callbacks", {}).items()
        }
    return checkpoint
