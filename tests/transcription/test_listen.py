"""`listen` writes the very waveforms that the training's loaders deliver, and pictures of what is masked in them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from speechlstm import configs
from speechlstm.cli import listen as command
from speechlstm.data.manifest import read_manifest
from speechlstm.training.augment import Chain
from speechlstm.training.data import SpeechData

Run = Callable[..., tuple[int, str, str]]
RATE = 8_000
SMALL = ["manifest=m.jsonl", "out=augmented", f"sample_rate={RATE}"]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_command: Run) -> Run:
    """Return a function that runs the command in a folder with a manifest of four utterances."""
    rng, lines = np.random.default_rng(0), []
    for number, name in enumerate(["long", "été/$x$", "short", "c"]):
        samples = [4_000, 3_000, 2_000, 2_500][number]
        soundfile.write(tmp_path / f"{number}.wav", 0.2 * rng.standard_normal(samples), RATE)
        lines.append(
            {"audio_filepath": f"{number}.wav", "duration": samples / RATE, "text": "a b", "id": name}
        )
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    monkeypatch.chdir(tmp_path)
    return partial(run_command, command, *SMALL)


def written(folder: str = "augmented") -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file())


@pytest.mark.parametrize("epoch", [0, 3])
def test_it_is_what_the_loaders_deliver(run: Run, epoch: int) -> None:
    settings = [
        "augment=noisy",
        "seed=5",
        *(f"augment.waveform.{part}.probability=1" for part in ("noise", "band")),
    ]
    status, out, err = run(*settings, f"epoch={epoch}", "number=4")
    assert (status, err) == (0, "")
    assert written() == sorted(
        f"{name}.{kind}" for name in ("long", "été/$x$", "short", "c") for kind in ("png", "wav")
    )
    cfg = configs.load("train", [*settings, f"sample_rate={RATE}"])
    chain: Chain = configs.build(cfg.augment.waveform)
    utterances = read_manifest("m.jsonl")
    data = SpeechData(
        utterances, utterances, lambda _: [1], RATE, 1.0, 0, False, configs.build(cfg.augment.speed), chain, cfg.seed
    )  # fmt: skip
    data.start |= {"epoch": epoch}
    delivered = {}
    for batch in data.train_dataloader():
        for utterance, row, length in zip(batch.utterances, batch.waveforms, batch.lengths, strict=True):
            delivered[utterance.id] = row[:length]
    assert delivered.keys() == {"long", "été/$x$", "short", "c"}
    for name, waveform in delivered.items():
        augmented, rate = soundfile.read(f"augmented/{name}.wav", dtype="float32")
        np.testing.assert_array_equal(augmented, waveform)
        assert rate == RATE
        assert f"{len(augmented) / RATE:.2f} s  a b" in out


def test_as_many_as_asked_from_the_first(run: Run) -> None:
    assert run("augment=none", "number=2")[0] == 0
    assert written() == ["long.png", "long.wav", "été/$x$.png", "été/$x$.wav"]
    plain, _ = soundfile.read("0.wav", dtype="float32")
    np.testing.assert_array_equal(soundfile.read("augmented/long.wav", dtype="float32")[0], plain)


def test_the_picture_shows_the_masked_features(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: dict[str, np.ndarray] = {}
    real = command._picture

    def picture(features: np.ndarray, frame_shift: float, title: str) -> bytes:
        shown[title] = features
        return real(features, frame_shift, title)

    monkeypatch.setattr(command, "_picture", picture)
    masks = [
        "augment.features.freq_shift=0",
        "augment.features.time_masks=0",
        "augment.features.freq_width=30",
    ]
    assert run("number=1", *masks)[0] == 0
    augmented = torch.from_numpy(soundfile.read("augmented/long.wav", dtype="float32")[0])
    features = configs.build_part("features", configs.load("listen", [*SMALL]).features)
    wanted = features(augmented[None], torch.tensor([len(augmented)]))[0][0].numpy()
    (found,) = shown.values()
    masked = (found == 0).all(axis=0)
    assert 0 < masked.sum() < 60
    np.testing.assert_array_equal(found[:, ~masked], wanted[:, ~masked])
    assert Path("augmented/long.png").read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_there_is_only_audio(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    status, _, err = run("number=1")
    assert status == 0 and err == "no pictures: they need matplotlib: pip install 'speechlstm[plots]'\n"
    assert written() == ["long.wav"]


def test_what_cannot_be_read_is_named(run: Run) -> None:
    Path("1.wav").write_bytes(b"nothing")
    status, _, err = run("augment=none")
    assert status == 3 and "1.wav: " in err and err.endswith("1 of 4 failed, named above\n")
    assert "Traceback" not in err and len(written()) == 6
    for number in (0, 2, 3):
        Path(f"{number}.wav").unlink()
    assert run("augment=none")[0] == 1


@pytest.mark.parametrize(
    ("settings", "status", "message"),
    [
        (["out=m.jsonl"], 2, "out=m.jsonl is a file, but must be a folder"),
        (["number=0"], 2, "number is 0"),
        (["epoch=-1"], 2, "epoch is -1"),
        (["manifest=gone.jsonl"], 1, "gone.jsonl"),
        (["augment=loud"], 2, "no augment 'loud'"),
        (
            ["augment=noisy", "augment.waveform.reverb.folder=gone"],
            2,
            "reverb.folder is gone, where there is no",
        ),
        (["augment=noisy", "augment.waveform.noise.snr=[20,0]"], 2, r"noise.snr is [20,0], but must be"),
    ],
)
def test_wrong_usage_is_one_line(run: Run, settings: list[str], status: int, message: str) -> None:
    found, _, err = run(*settings)
    errors = [line for line in err.splitlines() if line]
    assert found == status and len(errors) == 1 and message in errors[0]
    assert not Path("augmented").exists()
