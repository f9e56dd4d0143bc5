"""The command `inspect`: pages and pictures of recordings, and what it says of those it cannot show."""

from __future__ import annotations

import builtins
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from browser import embedded, open_page
from PIL import Image

import speechlstm
from speechlstm.cli import inspect as command

SAMPLES = Path(speechlstm.__file__).parent / "data" / "samples"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, run_command: Run) -> Run:
    """Return a function that runs the command in an empty folder and gives exit status, stdout and stderr."""

    def quiet(*arguments: str) -> tuple[int, str, str]:
        status, out, err = run_command(command, *arguments)
        return status, out, re.sub("^inspecting: .*\n", "", err, flags=re.MULTILINE)  # on a slow machine

    monkeypatch.chdir(tmp_path)
    return quiet


def test_a_page_and_pictures_of_a_recording(run: Run, tmp_path: Path) -> None:
    status, out, err = run(str(SAMPLES / "enter.flac"), "out=deep/pages", "layer=2", "direction=backward")
    assert (status, out, err) == (0, "deep/pages/enter.html\n", "")
    names = ["enter-memory.png", "enter.html", "enter.png"]
    assert sorted(path.name for path in (tmp_path / "deep/pages").iterdir()) == names
    for name in ("enter.png", "enter-memory.png"):
        picture = np.asarray(Image.open(tmp_path / "deep/pages" / name).convert("L"))
        assert min(picture.shape) > 800 and picture.std() > 20, "something is drawn"
    page = tmp_path / "deep/pages/enter.html"
    content = embedded(page)
    assert [word["text"] for word in content["words"]] == ["enter", "nine"]
    first = content["layers"][content["first"]]
    assert (first["layer"], first["direction"]) == (2, "backward")
    assert page.stat().st_size < 1_000_000


def test_the_page_in_a_browser(run: Run, tmp_path: Path) -> None:
    run(str(SAMPLES / "enter.flac"), "png=false")
    assert not list(tmp_path.rglob("*.png"))
    with open_page(tmp_path / "inspect/enter.html") as page:
        wait = "new Promise(done => setTimeout(done, {}))"
        loaded = "new Promise((done, fail) => {const a = document.querySelector('audio'); "
        loaded += "a.onerror = () => fail(a.error.message); const now = () => done(a.duration); "
        assert page.evaluate(loaded + "a.readyState ? now() : a.onloadedmetadata = now})") == pytest.approx(
            1.0138, abs=0.01
        )
        buttons = "[...document.querySelectorAll('#text button')]"
        assert page.evaluate(f"{buttons}.map(each => each.textContent)") == ["enter", "nine"]

        page.evaluate(f"{buttons}[1].click()")
        page.evaluate(wait.format(200))
        assert page.evaluate("document.querySelector('audio').currentTime") > 0.3
        assert page.evaluate("getComputedStyle(document.querySelector('#now')).display") == "block"
        captions = "[...document.querySelectorAll('figcaption')].map(each => each.textContent).join('|')"
        assert "What “nine” at 0." in page.evaluate(captions)

        # each heat map has many colors, and another layer has others; gates and values stand as in the equations
        ink = "panels.filter(each => each.heat && !each.figure.hidden).map(each => each.canvas.toDataURL().length)"
        before = page.evaluate(ink)
        assert len(before) == 6 and min(before) > 2000
        page.evaluate("document.querySelector('select').value = 0")
        page.evaluate("document.querySelector('select').dispatchEvent(new Event('change'))")
        assert re.findall("Forget gate f|Input gate i|Candidate g|Cell state c|Output gate o|Hidden state h",
                          page.evaluate(captions)) == [
            "Forget gate f", "Input gate i", "Candidate g", "Cell state c", "Output gate o", "Hidden state h",
        ]  # fmt: skip
        assert "layer 1 forward" in page.evaluate(captions)
        assert page.evaluate(ink) != before

        # the table sorts by numbers, both ways
        column = "[...document.querySelectorAll('#layers tbody tr')].map(each => parseFloat(each.cells[2].textContent))"
        head = "document.querySelectorAll('#layers th button')[2].click()"
        page.evaluate(head)
        rising = page.evaluate(column)
        assert len(rising) == 6 and rising == sorted(rising)
        page.evaluate(head)
        assert page.evaluate(column) == rising[::-1] != rising

        # dragging looks closer, the pointer reads values, the button goes back
        box = page.evaluate(
            "(({left, top, width}) => [left, top, width])(panels[3].frame.getBoundingClientRect())"
        )
        for kind, share in (("mousePressed", 0.3), ("mouseMoved", 0.5), ("mouseReleased", 0.5)):
            event = {"type": kind, "x": box[0] + share * box[2], "y": box[1] + 20}
            page.call("Input.dispatchMouseEvent", **event, button="left", buttons=1, clickCount=1)
        assert page.evaluate("state.to - state.from") < 0.4
        assert re.match(r"0\.\d\d s", page.evaluate("document.querySelector('output').textContent"))
        page.evaluate("document.querySelector('#whole').click()")
        assert page.evaluate("[state.from, state.to === data.seconds]") == [0, True]

        for width in (500, 1280):
            for dark in (False, True):
                page.view(width, dark=dark)
                assert page.evaluate("document.documentElement.scrollWidth") <= width, "nothing sticks out"
        page.screenshot(tmp_path / "page.png")
        assert page.errors == []
        assert len(page.requests) == 1, "the page asks for nothing but itself"


def test_of_a_long_recording_the_page_shows_a_stretch_and_offers_others(run: Run, tmp_path: Path) -> None:
    sound = np.zeros(70 * 8000, np.float32)
    sound[30 * 8000 : 31 * 8000] = 0.5
    soundfile.write(tmp_path / "long one.wav", sound, 8000)
    settings = ["out=my pages", "png=false", "decoder=greedy", "layer=1"]
    status, out, err = run("long one.wav", *settings, "offset=0")
    assert (status, out) == (0, "my pages/long one.html\n")
    assert err == "long one.wav: showing 0 to 20 s of 70 s; on the page you can choose another part\n"
    with open_page(tmp_path / "my pages/long one.html") as page:
        command = "document.querySelector('#stretch code').textContent"
        wanted = ["speechlstm", "inspect", "long one.wav", *settings, "offset=0.0", "duration=20.0"]
        assert shlex.split(page.evaluate(command)) == wanted
        assert "The recording is 70.0 s long" in page.evaluate(
            "document.querySelector('#stretch p').textContent"
        )
        levels = page.evaluate("[...bytes(data.overview.envelope)]")
        loud = [k for k in range(1200) if levels[2 * k + 1] > 200]
        assert [loud[0] * 70 / 1200, loud[-1] * 70 / 1200] == pytest.approx([30, 31], abs=0.15)
        box = page.evaluate(
            "(({left, top, width}) => [left, top, width])"
            "(document.querySelector('#stretch svg').getBoundingClientRect())"
        )
        place = lambda seconds: box[0] + box[2] / 1200 * (14 + (1200 - 28) * seconds / 70)  # noqa: E731
        for kind, seconds in (("mousePressed", 28), ("mouseMoved", 36), ("mouseReleased", 36)):
            event = {"type": kind, "x": place(seconds), "y": box[1] + 20}
            page.call("Input.dispatchMouseEvent", **event, button="left", buttons=1, clickCount=1)
        arguments = shlex.split(page.evaluate(command))[2:]
        assert page.errors == []
    assert run(*arguments) == (0, "my pages/long one.html\n", "")
    content = embedded(tmp_path / "my pages/long one.html")
    assert content["layers"][content["first"]]["layer"] == 1
    assert content["overview"]["offset"] == pytest.approx(28, abs=0.2)
    assert content["seconds"] == pytest.approx(8, abs=0.2)


def test_the_command_for_another_part_keeps_what_is_not_of_this_one(run: Run, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "long.wav", np.zeros(30 * 8000, np.float32), 8000)
    (tmp_path / "conf/decoder").mkdir(parents=True)
    (tmp_path / "conf/decoder/mine.yaml").write_text("name: greedy\n")
    kept = ["decoder=mine", "strict_audio=true", "out=é, it's", "png=false"]
    given = ["inputs=[long.wav]", "--config-dir", "conf", *kept, "text=stop", "duration=2", "offset=5"]
    status, out, err = run(*given)
    assert (status, out, err) == (0, "é, it's/long.html\n", "")
    command = embedded(tmp_path / "é, it's/long.html")["overview"]["command"]
    assert shlex.split(command) == ["speechlstm", "inspect", "long.wav", "--config-dir=conf", *kept]
    assert run(*shlex.split(command)[2:], "offset=7.0", "duration=3.0")[:2] == (0, out)


def test_silence_and_a_very_short_recording(run: Run, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "silence.wav", np.zeros(8000), 16_000)
    soundfile.write(tmp_path / "blip.wav", np.full(10, 0.1), 16_000)
    status, out, err = run("silence.wav", "blip.wav")
    assert (status, out, err) == (0, "inspect/silence.html\ninspect/blip.html\n", "")
    for name in ("silence", "blip"):
        with open_page(tmp_path / f"inspect/{name}.html") as page:
            assert page.errors == []


def test_failures_are_named_and_the_others_go_on(run: Run, tmp_path: Path) -> None:
    (tmp_path / "broken.wav").write_bytes(b"nothing")
    status, out, err = run("broken.wav", str(SAMPLES / "stop.flac"), "png=false")
    assert (status, out) == (3, "inspect/stop.html\n")
    assert err.startswith("failed: broken.wav: ") and err.endswith("1 of 2 failed, named above\n")
    assert run("broken.wav", "png=false")[0] == 1


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 2, "no audio given; usage: speechlstm inspect"),
        (["s.wav", "direction=up"], 2, "direction is 'up', but must be one of forward, backward"),
        (["s.wav", "layer=9"], 2, "no layer 9 forward; there are: 1 forward, 1 backward, 2 forward"),
        (["s.wav", "t.wav", "text=stop"], 2, "text= is of one recording, but 2 are given"),
        (["s.wav", "out=s.wav"], 2, "out=s.wav is a file, but must be a folder for the pages"),
        (["s.wav", "bundle=nowhere"], 1, "nowhere: no such folder"),
        (["s.wav", "bundle=s.wav"], 1, "s.wav: damaged checkpoint"),
        (["s.wav", "lair=1"], 2, "no setting 'lair'; did you mean 'layer'?"),
        (["s.wav", "duration=99"], 2, "duration is 99, but must be a number"),
        (["s.wav", "text=stop stop stop stop stop stop stop"], 1, "frames cannot hold 7 tokens"),
    ],
)
def test_wrong_usage_is_explained(
    run: Run, tmp_path: Path, arguments: list[str], status: int, message: str
) -> None:
    soundfile.write(tmp_path / "s.wav", np.zeros(4000), 16_000)
    got, out, err = run(*arguments)
    assert (got, out) == (status, "")
    assert message in err and "Traceback" not in err
    assert not (tmp_path / "inspect").exists()


def test_pictures_need_matplotlib(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *arguments: object) -> object:
        if name.split(".")[0] == "matplotlib":
            raise ImportError(name)
        return real(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", missing)
    status, _, err = run(str(SAMPLES / "stop.flac"))
    assert status == 1 and "pip install 'speechlstm[plots]', or leave them out with png=false" in err
    assert run(str(SAMPLES / "stop.flac"), "png=false")[0] == 0


def test_a_file_named_as_one_of_the_standard_library_is_in_nobodys_way(tmp_path: Path) -> None:
    """Further ranks are started so, in the working folder."""
    (tmp_path / "inspect.py").write_text("raise RuntimeError")
    done = subprocess.run(
        [sys.executable, "-P", "-m", "speechlstm", "verify", "bundle=nowhere"],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 1 and done.stderr.count("nowhere: no such folder") == 1, done.stderr
    assert "Traceback" not in done.stderr
