"""Damage to the headers of safetensors files."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any


def change_header(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the header of a safetensors file and leave the numbers."""
    content = path.read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    about = json.loads(content[8 : 8 + size])
    change(about)
    text = json.dumps(about).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + size :])
