"""Pages that people open in a browser: each one HTML file that needs no server and no network.

The error report and the pages of the study share this: a shell, one style, one palette, one way to draw axes.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from speechlstm.evaluation.pages.palette import SERIES, css

_SHARED = Path(__file__).parent
_SCRIPTS = ("base.js", "axes.js", "pixels.js", "sound.js")


def render(
    folder: Path,
    scripts: Sequence[str],
    title: str,
    data: Mapping[str, Any],
    recordings: Mapping[int, bytes] | None = None,
) -> bytes:
    """Return a page as UTF-8.

    What comes from outside, such as texts, names and paths, stands in the page as JSON in which no `<` is left, and
    its program shows it as text only.

    Args:
        folder: of the page's own parts: `body.html`, `style.css`, and its program.
        scripts: files of the program, in the order in which they run, after the shared ones.
        title: of the window, as plain text.
        data: what the program shows, as `data`; plain JSON without infinities.
        recordings: encoded audio by number, as elements `audio-NUMBER` with base64 in them.
    """
    text = json.dumps(dict(data) | {"series": SERIES}, ensure_ascii=False, allow_nan=False)
    sounds = (
        f'<script type="text/plain" id="audio-{number}">{base64.b64encode(content).decode()}</script>'
        for number, content in (recordings or {}).items()
    )
    program = [_SHARED / name for name in _SCRIPTS] + [folder / name for name in scripts]
    parts = {
        "title": html.escape(title),
        "style": "\n".join((css(), _read(_SHARED / "style.css"), _read(folder / "style.css"))),
        "body": _read(folder / "body.html"),
        "data": text.replace("<", "\\u003c"),
        "audio": "\n".join(sounds),
        "script": "\n".join(_read(path) for path in program),
    }
    # In one pass, so that a text which looks like a place to be filled is not.
    page = re.sub(r"{{(\w+)}}", lambda place: parts[place[1]], _read(_SHARED / "shell.html"))
    return page.encode("utf-8", "replace")  # JSON may hold halves of surrogate pairs, which no file can


def _read(path: Path) -> str:
    return path.read_text("utf-8")
