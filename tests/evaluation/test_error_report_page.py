"""The page of the error report: what it does in a browser, and that hostile texts stay texts."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from browser import Page, embedded, open_page

from speechlstm.evaluation import errorreport
from speechlstm.evaluation.errorreport.recording import encode_opus
from speechlstm.transcription.transcript import Alternative, Transcript, Word
from speechlstm.types import Utterance, counted

HOSTILE = [
    "</script><script>window.broken = true</script>",
    "<img src=x onerror='window.broken = true'>",
    "{{audio}} {{data}} \\u003c &lt; <!-- ",
    "\"quotes\" 'and' `ticks` ${window.broken = true}",
    "emoji 👩‍👩‍👧 🗣️ 𝒶",
    "مرحبا بالعالم שלום",
    "line\u2028separator null\u0000byte",
]
SETUP = {
    "manifest": "m.jsonl",
    "bundle": "b",
    "decoder": "greedy",
    "compare_with": None,
    "failed": 0,
    "version": "1",
}


def page(
    folder: Path, pairs: list[tuple[str, str]], others: list[str] | None = None, alternatives: int = 0
) -> Path:
    """Write the report of made-up results, with a recording of half a second for each."""
    said = [
        Utterance("a.wav", 0.5, text, id=f"{index} {text}", speaker=f"{text} {index % 3}")
        for index, (text, _) in enumerate(pairs)
    ]
    heard = [
        Transcript(
            "a.wav", text, [Word(w, 0.1 * i, 0.1 * i + 0.1, 0.9) for i, w in enumerate(text.split())], -1.0,
            0.5 + index / 10, alternatives=[Alternative(f"{text} {n}", -2.0 - n) for n in range(alternatives)],
        )
        for index, (_, text) in enumerate(pairs)
    ]  # fmt: skip
    causes = [errorreport.Cause("model", (-9.5, -1.0), (-9.5, -1.0)) if a != b else None for a, b in pairs]
    table = dict(zip((u.id for u in said), others, strict=True)) if others else None
    figures = errorreport.analyze(said, heard, causes, [20.0 + i for i in range(len(pairs))], table)
    sound = encode_opus(np.sin(np.arange(8000) * 0.2).astype(np.float32) * 0.3, 16_000)
    setup = SETUP | {"compare_with": "other.jsonl" if others else None}
    path = folder / "errors.html"
    path.write_bytes(errorreport.render(figures, setup, dict.fromkeys(range(len(pairs)), sound)))
    return path


def test_hostile_texts_stay_texts(tmp_path: Path) -> None:
    path = page(tmp_path, [(text, "x " + text) for text in HOSTILE])
    html = path.read_text("utf-8")
    assert [" ".join(u["reference"].split()) for u in embedded(path)["utterances"]] == [
        " ".join(text.split()) for text in HOSTILE
    ]
    assert html.count("</script>") == html.count("<script") == 2 + len(HOSTILE)
    assert "<img" not in html
    half = page(tmp_path, [("\ud83d", "")])
    assert embedded(half)["utterances"][0]["reference"] == "?", "half a surrogate pair, which JSON may hold"


def test_the_page_asks_for_nothing(tmp_path: Path) -> None:
    html = page(tmp_path, [("a", "b")]).read_text("utf-8")
    assert not re.search(r"""(src|href)\s*=\s*["'](?!data:)""", html)
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|@import|url\((?!#)", html)
    assert "default-src 'none'" in html


def rows(opened: Page, column: str) -> list[str]:
    """Return the texts of a column of the table, from top to bottom."""
    return opened.evaluate(
        "(() => { const table = document.getElementById('table');"
        f" const at = [...table.tHead.rows[0].cells].findIndex(cell => cell.textContent === {column!r});"
        " return [...table.tBodies[0].rows].map(row => row.cells[at].textContent.trim()); })()"
    )


def press(opened: Page, selector: str, text: str = "") -> None:
    """Press the first element that matches and has the text."""
    found = f"[...document.querySelectorAll({selector!r})].find(each => each.textContent.includes({text!r}))"
    opened.evaluate(f"{found}.dispatchEvent(new MouseEvent('click', {{bubbles: true}}))")


PAIRS = [("a b c", "a b c"), ("a b", "a x"), ("c", ""), ("", "d"), ("a b c d", "b c x x")]


def test_a_reader_sorts_chooses_and_listens(tmp_path: Path) -> None:
    path = page(tmp_path, PAIRS, alternatives=2)
    with open_page(path) as opened:
        assert rows(opened, "errors") == ["3 / 4", "1 / 2", "1 / 1", "1 / 0", "0 / 3"]
        press(opened, "th button", "errors")
        assert rows(opened, "errors") == ["0 / 3", "1 / 2", "1 / 1", "1 / 0", "3 / 4"]
        assert (
            opened.evaluate("document.querySelector('th[aria-sort]').getAttribute('aria-sort')")
            == "ascending"
        )
        press(opened, "th button", "s")
        press(opened, "#table tbody tr", "1 a b")
        shown = opened.evaluate("document.getElementById('utterance').innerText")
        assert (
            "1 of 2" in shown and "model error" in shown and "−9.50" in shown and "Other hypotheses" in shown
        )
        loaded = opened.evaluate(
            "new Promise(done => { const audio = document.querySelector('audio');"
            " const tell = () => done([audio.duration, audio.error]);"
            " audio.readyState >= 2 ? tell() : audio.addEventListener('loadeddata', tell); })"
        )
        assert loaded == [pytest.approx(0.5, abs=0.05), None]
        # The tone of 0.2 radians a sample, 509 Hz, is the loudest line of the spectrogram, and drawn the darkest.
        line = opened.evaluate(
            "(async () => { while (!utterance.picture) await new Promise(done => setTimeout(done, 20));"
            " const {sound, frame} = utterance.picture, {bins, levels} = spectrum(sound, 0, 0.5, 50), column = [];"
            " for (let bin = 0; bin < bins; bin++) column.push(levels[50 * bin + 25]);"
            " const canvas = frame.querySelector('canvas'), middle = Math.round(canvas.width / 2);"
            " const pixels = canvas.getContext('2d').getImageData(middle, 0, 1, canvas.height).data, dark = [];"
            " for (let at = 0; at < canvas.height; at++) dark.push(255 - pixels[4 * at + 1]);"
            " return [(column.indexOf(Math.max(...column)) + 0.5) / bins,"
            " 1 - (dark.indexOf(Math.max(...dark)) + 0.5) / canvas.height, sound.rate]; })()"
        )
        assert line[0] * line[2] / 2 == pytest.approx(0.2 / (2 * np.pi) * 16_000, abs=40)
        assert line[1] * line[2] / 2 == pytest.approx(0.2 / (2 * np.pi) * 16_000, abs=80)
        opened.evaluate(
            "document.getElementById('scroller').dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowDown'}))"
        )
        assert opened.evaluate("decodeURIComponent(location.hash)").startswith("#2 ")
        assert opened.errors == []
        assert opened.requests == [path.resolve().as_uri()]


def test_a_reader_filters_by_text_kind_and_chart(tmp_path: Path) -> None:
    with open_page(page(tmp_path, PAIRS)) as opened:
        count = "document.getElementById('count').textContent"
        opened.evaluate(
            "(box => { box.value = 'X'; box.dispatchEvent(new Event('input')); })(document.getElementById('search'))"
        )
        assert opened.evaluate(count) == "2 of 5 utterances"
        press(opened, ".legend button", "deletions")
        assert opened.evaluate(count) == "2 of 5 utterances"
        assert sorted(rows(opened, "errors")) == ["1 / 1", "3 / 4"]
        press(opened, "#words tr[tabindex]", "b")
        assert [each.split()[0] for each in rows(opened, "id")] == ["1"]
        press(opened, "#chips button")
        assert opened.evaluate(count) == "5 of 5 utterances"
        opened.evaluate(
            "(box => { box.value = [...box.options].find(each => each.text === 'without errors').value;"
            " box.dispatchEvent(new Event('change')); })(document.getElementById('kind'))"
        )
        assert rows(opened, "errors") == ["0 / 3"]
        for chart in ("By speaker", "By duration", "By signal", "By speaking rate"):
            shown = opened.evaluate(
                "(() => { const card = [...document.querySelectorAll('#groups .card')]"
                f".find(each => each.textContent.includes({chart!r})); let sum = 0;"
                " for (const mark of card.querySelectorAll('[role=button]')) {"
                " mark.dispatchEvent(new MouseEvent('click'));"
                " sum += table.rows.length; } return sum; })()"
            )
            assert shown == (4 if chart == "By speaking rate" else 5), (
                f"{chart}: each utterance is in one group"
            )
        assert opened.errors == []


def test_two_systems_stand_side_by_side(tmp_path: Path) -> None:
    with open_page(page(tmp_path, PAIRS, others=["a b c", "a b", "", "", "a b c d"])) as opened:
        assert rows(opened, "change") == ["+3", "+1", "+1"], "those that changed, at first"
        assert rows(opened, "hypothesis of the other")[0] == "a b c d"
        shown = opened.evaluate("document.getElementById('comparison').innerText")
        assert "paired bootstrap" in shown and "other.jsonl" in shown
        press(opened, "#comparison .legend button", "as many")
        assert len(rows(opened, "change")) == 2
        assert opened.evaluate("document.querySelectorAll('#utterance .alignment').length") == 2
        assert opened.errors == []


@pytest.mark.parametrize("dark", [False, True])
def test_hostile_texts_do_nothing_in_a_browser(dark: bool, tmp_path: Path) -> None:
    path = page(tmp_path, [(text, f"x {text}") for text in HOSTILE], [f"{text} y" for text in HOSTILE])
    with open_page(path, width=800, dark=dark) as opened:
        press(opened, "th button", "id")
        for index, text in enumerate(HOSTILE):
            opened.evaluate(f"table.choose(data.utterances[{index}])")
            shown = opened.evaluate(
                "[...document.querySelectorAll('.alignment')[0].querySelectorAll('.reference')].map(e => e.textContent)"
            )
            assert shown == ["∅", *text.split()]
        assert opened.evaluate("window.broken") is None
        assert opened.evaluate("document.querySelectorAll('img, body script').length") == 2 + len(HOSTILE)
        assert opened.evaluate("document.documentElement.scrollWidth") <= 800, "nothing is cut off"
        assert opened.errors == []


@pytest.mark.parametrize("pairs", [[], [("", "")], [("", "a")]])
def test_a_page_of_nothing_is_whole(pairs: list[tuple[str, str]], tmp_path: Path) -> None:
    with open_page(page(tmp_path, pairs)) as opened:
        assert f"of {counted(len(pairs), 'utterance')}" in opened.evaluate(
            "document.getElementById('count').textContent"
        )
        assert len(rows(opened, "id")) == len(pairs)
        assert "NaN" not in opened.evaluate(
            "document.body.innerText + document.querySelector('main').innerHTML"
        )
        assert opened.errors == []


def test_ten_thousand_utterances_are_a_page_of_rows_at_a_time(tmp_path: Path) -> None:
    said = [Utterance("a.wav", 1.0, "a b", id=str(index)) for index in range(10_000)]
    heard = [Transcript("a.wav", "a b" if index % 3 else "a", [], -1.0, 1.0) for index in range(10_000)]
    figures = errorreport.analyze(said, heard, [None] * 10_000, [None] * 10_000)
    path = tmp_path / "errors.html"
    path.write_bytes(errorreport.render(figures, SETUP, {}))
    assert path.stat().st_size < 5e6
    with open_page(path) as opened:
        assert rows(opened, "id") == [str(index) for index in range(0, 300, 3)]
        press(opened, "th button", "id")
        press(opened, "#next")
        assert rows(opened, "id") == [str(index) for index in range(100, 200)]
        opened.evaluate("table.choose(table.rows[199])")
        opened.evaluate(
            "document.getElementById('scroller').dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowDown'}))"
        )
        assert rows(opened, "id")[0] == "200", "the arrow keys turn the page"
        assert opened.errors == []
