"""The helper that opens pages: what it promises to the tests that rest on it."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from browser import open_page
from PIL import Image

PAGE = """<!doctype html><meta charset="utf-8"><title>é</title>
<style>html { background: #fff } @media (prefers-color-scheme: dark) { html { background: #000 } }</style>
<div style="height: 2000px">tall</div>
<script>%s</script>"""


def page(tmp_path: Path, script: str = "") -> Path:
    path = tmp_path / "a page, é.html"
    path.write_text(PAGE % script, encoding="utf-8")
    return path


def test_a_page_answers_and_is_photographed_whole_in_both_schemes(tmp_path: Path) -> None:
    with open_page(page(tmp_path), width=640) as opened:
        assert opened.evaluate("document.title") == "é"
        assert opened.evaluate("new Promise(done => setTimeout(() => done([innerWidth, 1]), 5))") == [640, 1]
        corners = []
        for dark in (False, True):
            opened.view(800, dark=dark)
            opened.screenshot(tmp_path / "shot.png")
            picture = Image.open(io.BytesIO((tmp_path / "shot.png").read_bytes())).convert("L")
            assert picture.width == 800 and picture.height >= 2000
            corners.append(picture.getpixel((0, 0)))
        assert corners == [255, 0]
        assert opened.errors == []
        assert len(opened.requests) == 1, "the page itself"
        with pytest.raises(AssertionError, match="nowhere is not defined"):
            opened.evaluate("nowhere")


def test_errors_are_kept(tmp_path: Path) -> None:
    script = """console.error("said", 7); console.log("fine"); new Image().src = "missing.png";
    setTimeout(() => { throw new Error("thrown") }, 1)"""
    with open_page(page(tmp_path, script)) as opened:
        opened.evaluate("new Promise(done => setTimeout(done, 300))")
        errors = " | ".join(opened.errors)
        assert "said 7" in errors and "Error: thrown" in errors and "missing.png" in errors
        assert "fine" not in errors
        assert opened.requests[1].endswith("missing.png")
