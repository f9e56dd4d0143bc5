"""Transcription by Ray on a real cluster of two nodes, parts of which are killed in mid-run."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import speechlstm
from speechlstm.cli import evaluate
from speechlstm.cli import transcribe as command
from speechlstm.transcription.chunks import MOST_DEATHS, Waiting
from speechlstm.transcription.cluster import Cluster, Pool, Setup
from speechlstm.transcription.jobs import Part
from speechlstm.transcription.recognizer import transcribe
from speechlstm.types import SpeechlstmError

SAMPLES = sorted((Path(speechlstm.__file__).parent / "data/samples").glob("*.flac"))
SPEECHLSTM = [sys.executable, "-m", "speechlstm"]


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    """Start two nodes with one core each."""
    pytest.importorskip("ray", reason="executor=ray needs Ray: pip install 'speechlstm[ray]'")
    from ray.cluster_utils import Cluster as Nodes

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        node = {"num_cpus": 1, "object_store_memory": 100 << 20}
        made = Nodes(initialize_head=True, head_node_args=node | {"include_dashboard": False})
        made.second = made.add_node(**node)
        yield made
        made.shutdown()


@pytest.fixture
def talks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Part]:
    """Copy samples to a folder of 40 recordings, one of them broken."""
    monkeypatch.chdir(tmp_path)
    Path("talks").mkdir()
    names = [f"talks/{index:02}.flac" for index in range(40)]
    for index, name in enumerate(names):
        shutil.copy(SAMPLES[index % len(SAMPLES)], name)
    Path(names[7]).write_bytes(b"no audio")
    return [Part(name) for name in names]


def outcomes(results: Iterator[tuple[int, Any]]) -> list[tuple[int, str]]:
    """Return what was found, by number; a number that comes twice is there twice."""
    return sorted((number, getattr(found, "text", None) or str(found)) for number, found in results)


def workers(nodes: Any) -> list[int]:
    """Return the processes of the actors on these nodes."""
    raylets = {each.process.pid for node in nodes.list_all_nodes() for each in node.all_processes["raylet"]}
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            _, _, rest = stat.read_text().rpartition(")")
            name = (stat.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if int(rest.split()[1]) in raylets and name.startswith(b"ray::_Worker"):
            found.append(int(stat.parent.name))
    return found


@pytest.mark.slow
def test_killing_anything_loses_nothing_and_repeats_nothing(
    nodes: Any, talks: list[Part], tmp_path: Path
) -> None:
    arguments = ["transcribe", "talks", "out=texts", "executor=ray", f"executor.address={nodes.address}"]
    driver = subprocess.Popen([*SPEECHLSTM, *arguments], stderr=subprocess.PIPE)
    while driver.poll() is None and not list(Path().glob("texts/talks/*.txt")):
        time.sleep(0.2)
    driver.kill()  # and the actors end with it
    driver.communicate()
    before = {path: path.stat().st_mtime_ns for path in Path().glob("texts/talks/*.txt")}
    assert 0 < len(before) < 39

    model = speechlstm.load()
    local = outcomes(transcribe(model, model.decoder, talks))
    setup = Setup(
        bundle=str(model.path), decoder=dict(model.bundle.decoder) or {"name": "greedy"}, device="cpu",
        precision="32-true", runtime="torch", batch_seconds=120.0, strict_audio=False, channels=False,
        folder=str(tmp_path),
    )  # fmt: skip
    kills = ["actor", "process", "node"]
    results = []
    with Cluster(Pool(address=nodes.address), setup) as cluster:
        for each in cluster.transcribe(talks):
            results.append(each)
            busy = [actor for actor, _ in cluster._busy.values()]
            if kills and busy:
                kill = kills.pop(0)
                if kill == "actor":
                    cluster._ray.kill(busy[0])
                elif kill == "process":
                    os.kill(workers(nodes)[0], signal.SIGKILL)
                else:
                    nodes.remove_node(nodes.second, allow_graceful=False)
    assert not kills
    assert outcomes(iter(results)) == local

    again = subprocess.run([*SPEECHLSTM, *arguments], capture_output=True, text=True)
    assert again.returncode == 3, again.stderr  # one is broken
    assert f"{len(before)} of 40 transcripts there already" in again.stderr
    after = {path: path.stat().st_mtime_ns for path in Path().glob("texts/talks/*.txt")}
    assert before.items() <= after.items() and len(after) == 39
    texts = {path.stem: path.read_text().strip() for path in after}
    assert texts == {f"{number:02}": text for number, text in local if number != 7}


@pytest.mark.slow
def test_an_evaluation_has_the_figures_of_one_on_this_machine(
    nodes: Any, talks: list[Part], run_command: Callable[..., tuple[int, str, str]]
) -> None:
    given = (SAMPLES[0].parent / "samples.jsonl").read_text().splitlines()
    entries = [json.loads(given[number % len(given)]) for number in range(30)]
    for number, entry in enumerate(entries):
        entry["audio_filepath"] = (
            str(SAMPLES[0].parent / entry["audio_filepath"]) if number else "talks/07.flac"
        )
        entry["id"] = f"u{number}"
    entries[1] |= {"offset": 0.1, "duration": 0.2, "text": "another"}  # only this stretch is read
    Path("dev.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    figures, lines = [], []
    for executor in ([], ["executor=ray", f"executor.address={nodes.address}", "executor.actors=1"]):
        arguments = ["manifest=dev.jsonl", "bundle=small", "format=json", "overwrite=true", *executor]
        status, out, err = run_command(evaluate, *arguments, "out=found.jsonl")
        assert status == 3 and "talks/07.flac: not audio" in err
        found = json.loads(out)
        figures.append(
            {key: value for key, value in found.items() if "seconds" not in key and "factor" not in key}
        )
        lines.append(Path("found.jsonl").read_text())
    assert figures[0] == figures[1] and lines[0] == lines[1] and len(lines[0].splitlines()) == 29


def test_what_ray_says_of_nodes_does_not_come_among_the_texts(
    nodes: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    setup = Setup(
        bundle="small", decoder={"name": "greedy"}, device="cpu", precision="32-true", runtime="torch",
        batch_seconds=120.0, strict_audio=False, channels=False, folder=str(tmp_path),
    )  # fmt: skip
    news = {"lines": ["The node with node id: 96 has been marked dead"], "pid": "raylet", "is_err": False}
    with Cluster(Pool(address=nodes.address), setup) as cluster:
        cluster._ray._private.worker.print_to_stdstream(news, False)  # as the thread does that listens
    assert capsys.readouterr().out == ""


def test_a_report_of_causes_needs_the_network_at_hand(
    talks: list[Part], run_command: Callable[..., tuple[int, str, str]]
) -> None:
    manifest = SAMPLES[0].parent / "samples.jsonl"
    status, _, err = run_command(
        evaluate, f"manifest={manifest}", "bundle=small", "report=r.html", "executor=ray"
    )
    assert status == 2 and "report= needs the network at hand" in err and not Path("r.html").exists()


@pytest.mark.parametrize("seconds", [0.005, 30.0])
def test_chunks_suit_how_long_they_take_and_shrink_towards_the_end(seconds: float) -> None:
    waiting = Waiting(5000, actors=2)
    sizes, numbers = [], []
    while waiting:
        left, chunk = len(waiting), waiting.take()
        sizes.append(len(chunk.numbers))
        numbers += chunk.numbers
        assert len(chunk.numbers) <= max(left / 4, 32)
        waiting.took(len(chunk.numbers), len(chunk.numbers) * seconds)
    assert numbers == list(range(5000))
    if seconds < 1:
        assert sizes[:3] == [8, 512, 512] and sizes[-2] == 32 >= sizes[-1], "brisk ones are batched well"
    else:
        assert sizes == [8] + 4992 * [1], "slow ones come back one by one"


def test_a_recording_that_kills_actors_takes_no_other_along() -> None:
    waiting, deaths, done = Waiting(2000, actors=1), 0, list[int]()
    waiting.took(1000, 1.0)
    while waiting:
        chunk = waiting.take()
        if 300 not in chunk.numbers:
            done += chunk.numbers
            continue
        deaths += 1
        if chunk.deaths + 1 < MOST_DEATHS:
            waiting.put_back(chunk)
    assert deaths == MOST_DEATHS
    assert sorted(done) == [number for number in range(2000) if number != 300]


@pytest.mark.slow
def test_a_model_that_no_actor_can_load_is_named(nodes: Any, tmp_path: Path) -> None:
    missing = Setup(
        str(tmp_path / "gone"), {"name": "greedy"}, "cpu", "32-true", "torch", 120.0, False, False, "/"
    )
    with (
        Cluster(Pool(address=nodes.address), missing) as cluster,
        pytest.raises(SpeechlstmError, match=r"an actor cannot load the model: .*gone"),
    ):
        list(cluster.transcribe([Part("a.wav")]))


@pytest.mark.parametrize("port", [1, 99999])
def test_a_cluster_that_is_not_there_is_named(port: int) -> None:
    pytest.importorskip("ray", reason="executor=ray needs Ray: pip install 'speechlstm[ray]'")
    setup = Setup("small", {"name": "greedy"}, "cpu", "32-true", "torch", 120.0, False, False, "/")
    with (
        pytest.raises(SpeechlstmError, match="no Ray cluster there"),
        Cluster(Pool(address=f"127.0.0.1:{port}"), setup),
    ):
        pass


def test_a_cluster_may_ask_for_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """As that of `ray start --head` does, of which Ray only says that it cannot connect."""
    ray = pytest.importorskip("ray", reason="executor=ray needs Ray: pip install 'speechlstm[ray]'")

    def refuse(**_: object) -> None:
        raise ConnectionError("Failed to connect to Ray cluster")

    monkeypatch.setattr(ray, "init", refuse)
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    setup = Setup("small", {"name": "greedy"}, "cpu", "32-true", "torch", 120.0, False, False, "/")
    with socket.create_server(("127.0.0.1", 0)) as there:
        cluster = Cluster(Pool(address=f"127.0.0.1:{there.getsockname()[1]}"), setup)
        with pytest.raises(SpeechlstmError, match="asks for a token, set RAY_AUTH_MODE=token"), cluster:
            pass


def test_other_devices_do_not_go_with_ray(
    talks: list[Part], run_command: Callable[..., tuple[int, str, str]]
) -> None:
    status, _, err = run_command(command, "talks", "executor=ray", "trainer=ddp_cpu", "trainer.devices=2")
    assert status == 2 and "executor=ray goes with no trainer= of several devices" in err


def test_without_ray_its_package_is_named(
    talks: list[Part], run_command: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    status, out, err = run_command(command, "talks", "executor=ray")
    assert (status, out) == (2, "") and "pip install 'speechlstm[ray]'" in err
