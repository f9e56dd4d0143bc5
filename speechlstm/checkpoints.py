"""Checkpoints on disk: written whole or not at all."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins import TorchCheckpointIO

from speechlstm.errors import SpeechlstmError
from speechlstm.manifest import write_atomically


class Checkpoints(TorchCheckpointIO):
    """Writes each checkpoint beside its place, then moves it there.

    Lightning's own stages it in the system's temporary folder: a full disk then costs the good checkpoint that was
    there before, and a folder without permission to write is not complained about.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint.

        Raises:
            OSError: no space, no permission.
        """
        content = io.BytesIO()
        torch.save(checkpoint, content)
        write_atomically(Path(path), content.getvalue())

    def load_checkpoint(self, path: Any, *args: Any, **options: Any) -> dict[str, Any]:
        """Read a checkpoint.

        Raises:
            SpeechlstmError: it is damaged.
        """
        try:
            return super().load_checkpoint(path, *args, **options)
        except OSError:
            raise
        except Exception as error:  # torch and pickle answer damage with exceptions of many kinds
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise SpeechlstmError(
                f"{path}: damaged checkpoint ({reason}); delete it to train anew, or use another out="
            ) from error
