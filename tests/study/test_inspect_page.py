"""The page of `inspect`: each encoder has one, and its numbers are those of the cells."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import numpy as np
import pytest
from browser import embedded, open_page

import speechlstm
from speechlstm.model.acoustic import AcousticModel
from speechlstm.model.bundle import Bundle
from speechlstm.model.encoder import ConformerEncoder, Encoder
from speechlstm.model.features import LogMel
from speechlstm.model.tokenizer import Characters
from speechlstm.study.inspect.observe import Observation, observe
from speechlstm.study.inspect.page import memory_order, render
from speechlstm.transcription.recognizer import Recognizer

SAMPLES = Path(speechlstm.__file__).parent / "data" / "samples"


def small(encoder: type = Encoder, **options: object) -> Observation:
    """Return what an untrained recognizer does with a sample, its name and tokens full of signs."""
    tokens = Characters(["<blank>", "<space>", "<", "&", '"', "é"])
    if encoder is Encoder:
        options = {"hidden_size": 5, "num_layers": 2, **options}
    made = encoder(20, len(tokens), conv_channels=2, **options)
    config = {"name": "</script><b>&amp; {data} é", "sample_rate": 8000}
    model = AcousticModel(LogMel(8000, num_mels=20), made).eval()
    bundle = Recognizer(Bundle(model, tokens, config))
    return observe(bundle, SAMPLES / "stop.flac", bundle.decoder)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (Encoder, {}),
        (Encoder, {"cell": "gru"}),
        (Encoder, {"cell": "rnn"}),
        (ConformerEncoder, {"width": 8, "num_heads": 2, "ffn_size": 8, "num_layers": 1}),
    ],
)
def test_every_encoder_has_a_page_and_signs_stay_signs(
    kind: type, options: dict[str, object], tmp_path: Path
) -> None:
    seen = small(kind, **options)
    (tmp_path / "page.html").write_bytes(render(seen))
    with open_page(tmp_path / "page.html") as page:
        assert "</script><b>&amp; {data} é" in page.evaluate("document.querySelector('#about').textContent")
        assert page.evaluate("document.querySelectorAll('b b, header b').length") == 0
        parts = page.evaluate(
            "panels.filter(each => !each.figure.hidden).map(each => each.figcaption.textContent)"
        )
        wanted = {"lstm": "Cell state", "gru": "Update gate", "rnn": "Hidden state"}
        shown = [name for name, start in wanted.items() if any(each.startswith(start) for each in parts)]
        cell = options.get("cell", "lstm") if kind is Encoder else "none"
        assert shown == {"lstm": ["lstm", "rnn"], "gru": ["gru", "rnn"], "rnn": ["rnn"], "none": []}[cell]
        assert page.errors == []


def numbers(text: str) -> list[float]:
    return [float(each.replace("−", "-")) for each in re.findall(r"−?\d+\.\d+", text)]


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("index", [0, 1])  # forward, backward
def test_a_step_is_worked_out_with_the_numbers_of_the_cell(cell: str, index: int, tmp_path: Path) -> None:
    seen = small(cell=cell)
    each, frame, unit = seen.directions[index], 7, 3
    order = memory_order(each)
    now = {name: float(part[frame, order[unit]]) for name, part in each.gates._asdict().items()}
    earlier = frame + (1 if each.name == "backward" else -1)
    before = {name: float(part[earlier, order[unit]]) for name, part in each.gates._asdict().items()}
    (tmp_path / "page.html").write_bytes(render(seen))
    with open_page(tmp_path / "page.html") as page:
        page.evaluate(f"choose({index}); chooseUnit({unit}); goTo({frame * each.frame_shift}); 0")
        lines = page.evaluate(
            "[...document.querySelectorAll('#equations .worked')].map(each => each.textContent)"
        )
        shown = [numbers(line) for line in lines]
        assert page.errors == []
    assert [line[-1] for line in shown] == pytest.approx(list(now.values()), abs=6e-4)
    if cell == "lstm":
        terms = [now["forget"], before["cell"], now["input"], now["candidate"]]
        assert shown[3][:-1] == pytest.approx(terms, abs=6e-4)
        assert terms[0] * terms[1] + terms[2] * terms[3] == pytest.approx(now["cell"], abs=1e-6)
        assert shown[5][:-1] == pytest.approx([now["output"], now["cell"]], abs=6e-4)
    if cell == "gru":
        terms = [now["update"], now["candidate"], now["update"], before["hidden"]]
        assert shown[3][:-1] == pytest.approx(terms, abs=6e-4)


def test_parts_come_back_as_what_they_were(tmp_path: Path) -> None:
    seen = small()
    (tmp_path / "page.html").write_bytes(render(seen))
    layer = embedded(tmp_path / "page.html")["layers"][0]
    each = seen.directions[0]
    order = np.argsort(each.half_life().numpy(), kind="stable")
    for name, values in each.gates._asdict().items():
        part = layer["parts"][name]
        stored = np.frombuffer(base64.b64decode(part["data"]), "<u2").reshape(5, -1).T / 65535
        span = part["high"] - part["low"]
        np.testing.assert_allclose(part["low"] + stored * span, values.numpy()[:, order], atol=span / 65535)
    assert sum(layer["gates"]["input"]["histogram"]) == pytest.approx(1, abs=1e-3)


def test_a_click_in_a_heat_map_follows_that_unit(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_bytes(render(small()))
    with open_page(tmp_path / "page.html") as page:
        map_ = "panels.find(each => each.heat).frame"
        page.evaluate(f"{map_}.scrollIntoView({{block: 'center'}})")
        box = page.evaluate(
            f"(({{left, top, width, height}}) => [left, top, width, height])({map_}.getBoundingClientRect())"
        )
        for kind in ("mousePressed", "mouseReleased"):
            event = {"type": kind, "x": box[0] + box[2] / 2, "y": box[1] + 0.3 * box[3]}
            page.call("Input.dispatchMouseEvent", **event, button="left", clickCount=1)
        assert page.evaluate("[state.unit, document.querySelector('#whichUnit input').value]") == [3, "4"]
        assert "unit 4 of layer 2 forward at " in page.evaluate("document.querySelector('#step').textContent")
        captions = "[...document.querySelectorAll('figcaption b')].map(each => each.textContent)"
        assert sum(each.startswith("Unit 4 of layer 2") for each in page.evaluate(captions)) == 2
        assert page.errors == []
