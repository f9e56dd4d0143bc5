"""The page in Chromium: a recording goes in, words come out, can be heard, and are saved."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import service
import soundfile
from browser import Page, open_page
from service import STOP, Server

import speechlstm
from speechlstm.data.audio import load_audio
from speechlstm.transcription.formats import to_srt, to_textgrid, to_vtt


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of two words, a second apart, and noise after them."""
    stop = load_audio(STOP, 16_000)
    path = tmp_path_factory.mktemp("talk") / "my talk.wav"
    soundfile.write(path, np.concatenate((stop, np.zeros(16_000, np.float32), stop)), 16_000)
    return path


@pytest.fixture(scope="module")
def page(server: Server) -> Iterator[Page]:
    with open_page(f"http://127.0.0.1:{server.port}/") as opened:
        wait(opened, "$('model').textContent")
        yield opened


def wait(page: Page, condition: str) -> None:
    page.evaluate(
        f"new Promise(done => {{ const look = () => {condition} ? done() : setTimeout(look, 50); look(); }})"
    )


def choose(page: Page, *files: Path) -> None:
    """Choose files as a person does, and wait for the answers."""
    root = page.call("DOM.getDocument")["root"]["nodeId"]
    field = page.call("DOM.querySelector", nodeId=root, selector="#files")["nodeId"]
    before = page.evaluate("document.querySelectorAll('article').length")
    page.call("DOM.setFileInputFiles", nodeId=field, files=[str(file) for file in files])
    wait(page, f"document.querySelectorAll('article').length === {before + len(files)}")
    wait(page, "!$('status').textContent")


def words(page: Page) -> Any:
    return page.evaluate(
        "[...document.querySelector('article').querySelectorAll('.word')].map(w => w.textContent)"
    )


def save(page: Page) -> Any:
    """Press all buttons that save the latest result, and return what is saved by name."""
    page.evaluate(
        "{ window.made = {}; const make = URL.createObjectURL; "
        "URL.createObjectURL = blob => { window.blob = blob; return make(blob) }; "
        "HTMLAnchorElement.prototype.click = function () { window.made[this.download] = window.blob.text() }; "
        "document.querySelectorAll('article')[0].querySelectorAll('.save [value]').forEach(b => b.value && b.click()); "
        "URL.createObjectURL = make; } 0"
    )
    return page.evaluate(
        "Promise.all(Object.entries(window.made).map(async ([name, text]) => [name, await text]))"
        ".then(Object.fromEntries)"
    )


def test_words_appear_and_are_heard_when_clicked(page: Page, talk: Path) -> None:
    choose(page, talk)
    wanted = speechlstm.load("small").transcribe(str(talk))
    assert words(page) == ["stop", "stop"] == [word.text for word in wanted.words]
    assert page.evaluate("document.querySelector('h2').textContent") == "my talk.wav"
    doubts = page.evaluate(
        "[...document.querySelectorAll('article .word')].slice(0, 2)"
        ".map(w => Number(w.style.getPropertyValue('--doubt')))"
    )
    assert doubts == pytest.approx([1 - word.confidence for word in wanted.words], abs=2e-3)
    page.evaluate("document.querySelectorAll('article .word')[1].click()")
    wait(page, "document.querySelector('audio').currentTime > 0")
    now = page.evaluate("document.querySelector('audio').currentTime")
    assert now == pytest.approx(wanted.words[1].start, abs=0.5)
    wait(page, "document.querySelectorAll('article .word')[1].classList.contains('now')")


def test_what_is_saved_is_what_the_command_writes(page: Page, talk: Path) -> None:
    choose(page, talk)
    wanted = speechlstm.load("small").transcribe(str(talk))
    saved = save(page)
    assert saved["my talk.txt"] == "stop stop\n"
    assert saved["my talk.srt"] == to_srt(wanted)
    assert saved["my talk.vtt"] == to_vtt(wanted)
    assert saved["my talk.TextGrid"] == to_textgrid(wanted)
    assert [word["word"] for word in json.loads(saved["my talk.json"])["words"]] == ["stop", "stop"]


def test_the_text_of_a_long_recording_appears_as_it_is_recognized(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    path.write_bytes(service.talk(300).getvalue())
    page.evaluate(
        "{ window.seen = []; new MutationObserver(() => { const a = document.querySelector('article');"
        " if (a.querySelector('h2').textContent === 'long.wav' && !a.querySelector('.word'))"
        " window.seen.push(a.querySelector('.text').textContent.length);"
        " }).observe($('results'), { childList: true, subtree: true }); } 0"
    )
    choose(page, path)
    seen = page.evaluate("window.seen.filter(Boolean)")
    assert len(set(seen)) >= 3 and seen == sorted(seen), "it grows"
    assert len(words(page)) > 100 and page.evaluate("!!document.querySelector('article .save')")
    headings = "[...document.querySelectorAll('h2')].filter(h => h.textContent === 'long.wav').length"
    assert page.evaluate(headings) == 1


def test_an_edited_text_is_saved(page: Page, talk: Path) -> None:
    choose(page, talk)
    page.evaluate("document.querySelector('article .edit').click()")
    assert page.evaluate("document.activeElement.value") == "stop\nstop", "a line for each segment"
    page.evaluate("document.activeElement.value = 'please  \"stop\"\\n<i>halt'; 0")
    page.evaluate("document.querySelector('article .edit').click()")
    assert words(page) == ["please", '"stop"', "<i>halt"]
    saved = save(page)
    assert saved["my talk.txt"] == 'please "stop" <i>halt\n' and "&lt;i&gt;halt" in saved["my talk.vtt"]
    assert 'text = """stop"""' in saved["my talk.TextGrid"]
    first, second, third = json.loads(saved["my talk.json"])["words"]
    before = speechlstm.load("small").transcribe(str(talk)).words
    assert first["start"] == round(before[0].start, 3) < first["end"] == second["start"] < second["end"]
    assert third["start"] == round(before[1].start, 3) and third["confidence"] == 1
    page.evaluate("document.querySelector('article .edit').click(); document.activeElement.value = ''")
    page.evaluate("document.querySelector('article .edit').click()")
    assert words(page) == [] and save(page)["my talk.srt"] == ""


def test_model_and_keywords_are_chosen(page: Page, talk: Path) -> None:
    assert page.evaluate("[...$('model').options].map(o => o.value)") == ["letters-digits-commands", "other"]
    page.evaluate("$('model').value = 'other'; 0")
    choose(page, talk)
    assert words(page) == ["halt", "halt"]
    page.evaluate("$('model').selectedIndex = 0; $('keywords').value = 'c, e, t'; 0")
    rubout = STOP.parent / "rubout.flac"
    choose(page, rubout)
    model = speechlstm.load("small", decoder="beam", hotwords=["c", "e", "t"])
    assert words(page) == model.transcribe(str(rubout)).text.split()
    page.evaluate("$('keywords').value = 'x-ray'; 0")
    choose(page, talk)
    assert "'x-ray' cannot be spelled" in page.evaluate("document.querySelector('article').textContent")
    page.evaluate("$('keywords').value = ''; 0")
    page.errors[:] = [error for error in page.errors if "400" not in error]


def test_it_works_by_keyboard(page: Page, talk: Path) -> None:
    choose(page, talk)

    def press(key: str, code: int) -> None:
        for kind in ("keyDown", "keyUp"):
            text = {"text": "\r"} if key == "Enter" and kind == "keyDown" else {}
            page.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **text)

    page.evaluate("document.querySelector('article audio').focus()")
    page.evaluate("document.querySelector('article .word').focus()")
    press("ArrowRight", 39)
    focused = "[...document.querySelectorAll('article .word')].indexOf(document.activeElement)"
    assert page.evaluate(focused) == 1
    press("ArrowRight", 39)
    assert page.evaluate(focused) == 1, "it is the last one"
    press("Enter", 13)
    wait(page, "document.querySelector('article audio').currentTime > 1")
    press("ArrowLeft", 37)
    assert page.evaluate(focused) == 0
    assert (
        page.evaluate(
            "document.querySelectorAll('article')[0].querySelectorAll('.word[tabindex=\"0\"]').length"
        )
        == 1
    )


def test_several_files_and_broken_ones_each_get_their_answer(page: Page, talk: Path, tmp_path: Path) -> None:
    broken, silent, cut = (tmp_path / name for name in ("<b>broken.wav", "silent.wav", "cut.wav"))
    broken.write_bytes(b"no audio at all")
    soundfile.write(silent, np.zeros(16_000), 16_000)
    cut.write_bytes(talk.read_bytes()[:-20_000])
    choose(page, broken, silent, talk, cut)
    shown, warned = page.evaluate(
        "['.text', '.warning'].map(kind => "
        "Object.fromEntries([...document.querySelectorAll('article')].slice(0, 4)"
        ".map(a => [a.querySelector('h2').textContent, a.querySelector(kind)?.textContent.trim()])))"
    )
    assert [name for name, text in warned.items() if text] == ["cut.wav"]
    assert re.fullmatch(r"Warning: [\d.]+ s missing at [\d.]+ s", warned["cut.wav"])
    assert "<b>broken.wav" in shown["<b>broken.wav"], "the reason names the file, and is shown as text"
    assert shown["silent.wav"] == "No speech was recognized."
    assert shown["my talk.wav"].split() == ["stop", "stop"]
    page.errors[:] = [error for error in page.errors if "400" not in error]


def test_it_asks_nobody_else_and_fits_phones_by_day_and_night(
    page: Page, server: Server, talk: Path, tmp_path: Path
) -> None:
    assert page.errors == []
    assert all(address.startswith(f"http://127.0.0.1:{server.port}/") for address in page.requests)
    choose(page, talk)
    page.evaluate("document.querySelectorAll('article .edit')[0].click()")
    grounds = []
    for width, dark in ((1280, False), (1280, True), (360, False)):
        page.view(width, dark=dark)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        grounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        page.screenshot(tmp_path / f"page-{width}-{dark}.png")
    assert grounds[0] == grounds[2] != grounds[1]


def test_a_key_is_asked_for_on_the_page(narrow: Server, talk: Path) -> None:
    with open_page(f"http://127.0.0.1:{narrow.port}/") as opened:
        wait(opened, "!$('locked').hidden")
        opened.evaluate("$('key').value = 'sésame'; $('key').dispatchEvent(new Event('change')); 0")
        wait(opened, "$('model').textContent")
        choose(opened, talk)
        assert words(opened) == ["stop", "stop"]


@pytest.fixture(scope="module")
def microphone(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Return the flags that make a file of words a second apart the microphone, over and over."""
    pytest.importorskip("websockets", reason="websockets is not installed: pip install 'speechlstm[server]'")
    path = tmp_path_factory.mktemp("microphone") / "spoken.wav"
    stop = load_audio(STOP, 48_000)
    soundfile.write(path, np.tile(np.concatenate((stop, np.zeros(60_000, np.float32))), 3), 48_000, "PCM_16")
    return (
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={path}",
    )


@pytest.mark.parametrize("locked", [False, True])
def test_the_microphone_is_transcribed_live(
    locked: bool, server: Server, narrow: Server, microphone: tuple[str, ...], tmp_path: Path
) -> None:
    address = f"http://127.0.0.1:{(narrow if locked else server).port}/"
    with open_page(address, flags=microphone) as opened:
        if locked:
            wait(opened, "!$('locked').hidden")
            opened.evaluate("$('key').value = 'sésame'; $('key').dispatchEvent(new Event('change')); 0")
        wait(opened, "$('model').textContent")
        opened.evaluate("$('record').click()")
        wait(opened, "$('record').textContent === 'Stop'")
        wait(opened, "$('final').textContent.split('stop').length > 2 && !$('live').hidden")
        if not locked:
            for width, dark in ((1280, False), (360, True)):
                opened.view(width, dark=dark)
                assert opened.evaluate("document.documentElement.scrollWidth") <= width
                opened.screenshot(tmp_path / f"live-{width}.png")
        opened.evaluate("$('record').click()")
        wait(opened, "document.querySelector('article')")
        assert set(words(opened)) == {"stop"} and len(words(opened)) >= 2
        assert (
            opened.evaluate("$('record').textContent + $('live').hidden + $('status').textContent")
            == "Recordtrue"
        )
        opened.evaluate("document.querySelectorAll('article .word')[1].click()")
        wait(opened, "document.querySelector('audio').currentTime > 1")
        saved = save(opened)
        assert sorted(name.rpartition(".")[2] for name in saved) == ["TextGrid", "json", "srt", "txt", "vtt"]
        assert all(each.split("://")[1].startswith(address.split("://")[1]) for each in opened.requests)
        assert [error for error in opened.errors if "401" not in error] == []


def test_a_recording_is_over_when_all_that_was_spoken_is_there(server: Server) -> None:
    """Also where the server is behind, so that items that pauses have ended come after the end."""
    ended = """(() => {
      const recording = new Recording({}, () => {}, () => {}), sent = [];
      recording.media = { getTracks: () => [] };
      recording.socket = {
        readyState: WebSocket.OPEN, close: () => sent.push(recording.final),
        send: (text) => sent.push(JSON.parse(text).type.split(".").at(-1)),
      };
      recording.stop();
      const completed = "conversation.item.input_audio_transcription.completed";
      for (const transcript of ["one", "two"]) recording.take({ type: completed, transcript, words: [] });
      recording.take({ type: "input_audio_buffer.cleared" });
      return sent.join();
    })()"""
    with open_page(f"http://127.0.0.1:{server.port}/") as opened:
        wait(opened, "$('model').textContent")
        assert opened.evaluate(ended) == "commit,clear,one two "


def test_a_recording_that_cannot_begin_says_why(server: Server) -> None:
    with open_page(f"http://127.0.0.1:{server.port}/") as opened:  # without a microphone
        wait(opened, "$('model').textContent")
        opened.evaluate("$('record').click()")
        wait(opened, "$('status').textContent.startsWith('The recording cannot begin: ')")
        assert opened.evaluate("$('record').textContent + $('record').disabled") == "Recordfalse"
