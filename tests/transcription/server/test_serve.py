"""The server as its clients meet it: a process of its own, and OpenAI's package."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from service import STOP, Server, start, talk
from upload import form
from warm import Server as Warm

import speechlstm
from speechlstm.cli import serve
from speechlstm.data.audio import load_audio
from speechlstm.data.manifest import read_manifest
from speechlstm.transcription.formats import to_srt, to_vtt

openai = pytest.importorskip("openai", reason="openai is not installed")


SAMPLES = STOP.parent


@pytest.fixture(scope="module")
def wanted() -> Any:
    return speechlstm.load("small").transcribe(str(STOP))


def test_openai_s_client_gets_every_format(server: Server, wanted: Any) -> None:
    assert server.transcribe().text == "stop"
    assert server.transcribe(response_format="text") == "stop\n"
    assert server.transcribe(response_format="srt") == to_srt(wanted)
    assert server.transcribe(response_format="vtt") == to_vtt(wanted)
    verbose = server.transcribe(response_format="verbose_json", language="en")
    assert (verbose.text, verbose.language) == ("stop", "en")
    assert verbose.duration == pytest.approx(wanted.duration, abs=1e-3) and verbose.words is None
    (segment,) = verbose.segments
    assert segment.text == "stop" and segment.avg_logprob == pytest.approx(
        np.log(wanted.words[0].confidence), abs=1e-3
    )


def test_words_have_times_when_asked_for(server: Server, wanted: Any) -> None:
    verbose = server.transcribe(response_format="verbose_json", timestamp_granularities=["word"])
    (word,) = verbose.words
    (same,) = wanted.words
    assert (word.word, word.start, word.end) == ("stop", round(same.start, 3), round(same.end, 3))
    assert word.confidence == round(same.confidence, 4) and verbose.segments is None
    both = server.transcribe(response_format="verbose_json", timestamp_granularities=["word", "segment"])
    assert both.words and both.segments


@pytest.mark.parametrize("kind", ["json", "verbose_json"])
def test_what_is_missing_of_a_recording_is_said(server: Server, kind: str) -> None:
    cut = ("cut.wav", talk(4).getvalue()[:100_000])
    assert server.transcribe(cut, response_format=kind).warnings == ["0.88 s missing at 3.1 s"]
    assert not hasattr(server.transcribe(response_format=kind), "warnings")


def test_models_are_listed_and_chosen_by_name(server: Server) -> None:
    models = list(server.client().models.list())
    assert [model.id for model in models] == ["letters-digits-commands", "other"]
    assert {model.owned_by for model in models} == {"speechlstm"}
    assert [server.transcribe(model=model.id).text for model in models] == ["stop", "halt"]
    assert server.client().models.retrieve("other").id == "other"
    body, headers = form(STOP.read_bytes())
    status, answered = server.ask("POST", "/v1/audio/transcriptions", body, **headers)
    assert status == 200 and json.loads(answered) == {"text": "stop"}, (
        "the first is that of requests without one"
    )
    assert json.loads(server.ask("GET", "/health")[1])["models"] == [model.id for model in models]
    assert server.ask("HEAD", "/health")[:2] == (200, b"")


def test_many_clients_are_answered_together_and_each_with_its_own(server: Server) -> None:
    utterances = [u for u in read_manifest(SAMPLES / "samples.jsonl") for _ in range(4)]
    expected = [
        made.text for made in speechlstm.load("small").transcribe([u.audio_filepath for u in utterances])
    ]
    before = server.count("speechlstm_batch_size_sum")

    def ask(number: int) -> str:
        if number % 5 == 4:
            with pytest.raises(openai.BadRequestError):
                server.transcribe(("broken.wav", b"no audio"))
        return str(server.transcribe(Path(utterances[number].audio_filepath)).text)

    with ThreadPoolExecutor(16) as clients:
        assert list(clients.map(ask, range(len(utterances)))) == expected
    assert server.count("speechlstm_batch_size_sum") - before == len(utterances)
    assert server.count("speechlstm_queue_length") == 0


def test_keywords_are_favored_in_their_request_only(server: Server) -> None:
    path = SAMPLES / "rubout.flac"
    plain = server.transcribe(path).text
    texts = set()
    for phrases in (["c", "e", "t "], ["g", "eighteen"]):
        model = speechlstm.load("small", decoder="beam", hotwords=phrases)
        texts.add(server.transcribe(path, keywords=phrases).text)
        assert model.transcribe(str(path)).text in texts
    assert texts != {plain}
    assert server.transcribe(path, keywords=[" "]).text == plain == server.transcribe(path).text
    with pytest.raises(openai.BadRequestError, match="hotword 'x-ray' cannot be spelled") as refused:
        server.transcribe(keywords=["stop", "x-ray"])
    assert refused.value.param == "keywords"
    with pytest.raises(openai.BadRequestError, match="there are 1001 keywords, but may be 1000"):
        server.transcribe(keywords=["stop"] * 1001)


def test_nothing_is_kept_on_disk(server: Server) -> None:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.tile(load_audio(STOP, 16_000), 60), 16_000, format="WAV")
    assert len(buffer.getvalue()) > 1_500_000, "more than what forms are kept in memory for by default"
    assert server.transcribe(("long.wav", buffer.getvalue())).text.startswith("stop stop")
    assert not list((server.folder / "here").iterdir()) and not list((server.folder / "temporary").iterdir())


def test_a_signal_ends_it_after_what_has_begun(tmp_path: Path, warm: Warm) -> None:
    made = start(tmp_path, warm=warm)  # of its own
    made.transcribe()  # now it is warm
    samples = np.tile(load_audio(STOP, 16_000), 250)
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, 16_000, format="FLAC")
    answers: list[str] = []
    asking = threading.Thread(
        target=lambda: answers.append(made.transcribe(("a.flac", buffer.getvalue())).text)
    )
    asking.start()
    while made.count("speechlstm_batch_size_count") < 2:
        time.sleep(0.05)
    assert not answers, "it works still"
    made.process.send_signal(signal.SIGTERM)
    asking.join(300)
    assert answers and answers[0].startswith("stop stop")
    assert made.process.wait(60) == 143
    assert made.process.stdout is not None and made.process.stdout.read() == ""


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            ["bundle=[small,small]"],
            "two models have the name 'letters-digits-commands'; name=[...] gives each another",
        ),
        (["bundle=[small,small]", "name=[a,a]"], "two models have the name 'a'"),
        (["bundle=[small,small]", "name=[a]"], "name= has 1 name for 2 models"),
        (["bundle=small", "name=[a,b]"], "name= has 2 names for 1 model"),
        (["bundle=[]"], "bundle is []"),
    ],
)
def test_models_need_names_of_their_own(run_command: Any, settings: list[str], message: str) -> None:
    status, _, errors = run_command(serve, "port=0", "trainer=cpu", *settings)
    assert status == 2 and message in errors


def test_an_address_that_is_taken_is_said(server: Server, warm: Warm) -> None:
    command = ["-m", "speechlstm", "serve", "bundle=small", f"port={server.port}"]
    with warm.start(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        _, err = process.communicate()
    assert process.returncode == 1
    assert f"host=127.0.0.1 port={server.port} cannot be listened on: Address already in use" in err
