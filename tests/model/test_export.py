"""Exported models: the same log-probabilities as PyTorch's for whatever lengths, and texts in another program."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from padding import as_if_trained
from torch import Tensor

from speechlstm.cli import export as command
from speechlstm.data.audio import load_audio
from speechlstm.data.files import write_atomically
from speechlstm.data.manifest import read_manifest
from speechlstm.decoders.greedy import GreedyDecoder
from speechlstm.evaluation.metrics import corpus
from speechlstm.model import registry
from speechlstm.model.acoustic import AcousticModel
from speechlstm.model.bundle import Bundle, load_bundle
from speechlstm.model.encoder import Encoder
from speechlstm.model.features import LogMel
from speechlstm.model.selftest import synthesize
from speechlstm.model.tokenizer import Characters, Phones, Subwords, Tokenizer, Words
from speechlstm.types import UsageError

onnx = pytest.importorskip("onnx", reason="onnx is not installed: pip install 'speechlstm[onnx]'")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

from speechlstm.model.export import symbols, to_onnx  # noqa: E402

RATE = 8000
SAMPLES = Path(command.__file__).parents[1] / "data" / "samples" / "samples.jsonl"
TOKENS = Characters.from_texts(["a cab bad"])
SMALL: dict[str, Any] = {"hidden_size": 6, "num_layers": 2, "conv_channels": 3}
LENGTHS = (31_000, 1, 0, 801, 27_999, 19_000, 8100)  # samples


def bundle(features: dict[str, Any], encoder: dict[str, Any]) -> Bundle:
    """Return a model whose weights are random, biases and statistics too."""
    torch.manual_seed(0)
    made = registry.create("features", sample_rate=RATE, **features)
    if made.normalize == "global":
        made.mean.copy_(torch.randn(made.num_features))
        made.std.copy_(torch.rand(made.num_features) + 1)
        made.estimated = True
    sizes = {"num_features": made.num_features, "vocab_size": len(TOKENS)}
    network = as_if_trained(registry.create("encoder", **encoder, **sizes))
    model = AcousticModel(made, network).eval()
    return Bundle(model, TOKENS, {"name": "random", "encoder": encoder})


def noises(lengths: tuple[int, ...] | list[int]) -> tuple[Tensor, Tensor]:
    """Return noise of different levels, with quiet and digital zeros between, which stands past the lengths as well.

    One row in two has a second of zeros, and after it one of near silence, so that all limits of speech are met.
    """
    generator = torch.Generator().manual_seed(1)
    levels = torch.logspace(-3, 0, len(lengths))[:, None]
    waveforms = levels * torch.randn(len(lengths), max(lengths), generator=generator).clamp(-1, 1)
    waveforms[::2, RATE : 2 * RATE] = 0
    waveforms[::2, 2 * RATE : 3 * RATE] *= 0.003
    return waveforms, torch.tensor(lengths)


def run(model: bytes, waveforms: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(model, options)
    fed = {"waveforms": waveforms.numpy()} | ({} if lengths is None else {"lengths": lengths.numpy()})
    log_probs, frames = session.run(None, fed)
    return torch.from_numpy(log_probs), torch.from_numpy(frames)


def check(made: Bundle, lengths: tuple[int, ...] | list[int] = LENGTHS, model: bytes = b"") -> None:
    waveforms, counts = noises(lengths)
    with torch.inference_mode():
        wanted, frames = made.model(waveforms, counts)
    got, number = run(model or to_onnx(made), waveforms, counts)
    assert number.tolist() == frames.tolist()
    torch.testing.assert_close(got, wanted, atol=1e-4, rtol=0)


@pytest.mark.parametrize("normalize", ["utterance", "global", "none"])
@pytest.mark.parametrize(
    "features",
    [
        {"name": "logmel", "num_mels": 20},
        {"name": "logmel", "num_mels": 20, "window": 0.0201, "hop": 0.0123, "low_freq": 50.0},
        {"name": "fbank", "num_mels": 20, "high_freq": -400.0, "scale": 32768.0},
        {"name": "mfcc", "num_mels": 20, "num_coefficients": 7},
        {"name": "mfcc", "num_mels": 20, "num_coefficients": 7, "deltas": False},
        {"name": "pcen", "num_mels": 20},
        {"name": "pcen", "num_mels": 20, "time_constant": 0.05, "gain": 0.5, "bias": 1.0, "power": 0.25},
        {"name": "spectrogram"},
        {"name": "logmel", "num_mels": 20, "floor": 1},
        {"name": "pcen", "num_mels": 20, "gain": 1, "bias": 2, "power": 1, "time_constant": 1, "eps": 1},
    ],
    ids=lambda each: " ".join(map(str, each.values())),
)
def test_every_kind_of_features_is_exported(features: dict[str, Any], normalize: str) -> None:
    check(bundle({**features, "normalize": normalize}, {"name": "blstm", **SMALL}))


@pytest.mark.parametrize(
    "encoder",
    [
        *({"name": "blstm", "cell": cell} for cell in ("lstm", "gru", "rnn")),
        *({"name": "lookahead", "cell": cell, "lookahead": 3} for cell in ("lstm", "gru", "rnn")),
        {"name": "lookahead", "lookahead": 0},
        *(
            {"name": "chunked", "cell": cell, "chunk_size": 3, "lookahead": 2}
            for cell in ("lstm", "gru", "rnn")
        ),
        {"name": "chunked", "chunk_size": 5, "lookahead": 0},
        {"name": "chunked", "chunk_size": 400, "lookahead": 7},
        *({"name": "blstm", "subsampling": each} for each in (1, 2)),
        {"name": "blstm", "projection_size": 5},
        {"name": "blstm", "layer_norm": False, "residual": False},
        {"name": "blstm", "intermediate": [1]},
    ],
    ids=lambda each: " ".join(map(str, each.values())),
)
def test_every_recurrent_encoder_is_exported(encoder: dict[str, Any]) -> None:
    check(bundle({"name": "logmel", "num_mels": 20}, {**SMALL, **encoder}))


@pytest.fixture(scope="module")
def plain() -> tuple[Bundle, bytes]:
    made = bundle({"name": "logmel", "num_mels": 20}, {"name": "blstm", **SMALL})
    return made, to_onnx(made)


@given(lengths=st.lists(st.integers(0, 32_000), min_size=1, max_size=4))
def test_log_probs_are_those_of_pytorch_for_any_lengths(
    plain: tuple[Bundle, bytes], lengths: list[int]
) -> None:
    made, model = plain
    check(made, lengths, model)


def test_digital_silence_and_full_scale_come_out_as_in_pytorch(plain: tuple[Bundle, bytes]) -> None:
    made, model = plain
    waveforms = torch.zeros(3, 6000)
    waveforms[1] = 1.0
    waveforms[2, 3000:3100] = synthesize(RATE)[:100]
    with torch.inference_mode():
        wanted, _ = made.model(waveforms, torch.full((3,), 6000))
    torch.testing.assert_close(run(model, waveforms, None)[0], wanted, atol=1e-4, rtol=0)


def test_without_lengths_all_is_taken(plain: tuple[Bundle, bytes]) -> None:
    _, model = plain
    waveforms, _ = noises([3000, 3000])
    whole = torch.full((2,), 3000)
    torch.testing.assert_close(run(model, waveforms, None), run(model, waveforms, whole), atol=0, rtol=0)
    beyond = run(model, waveforms, torch.tensor([3000, 99_999]))
    torch.testing.assert_close(beyond, run(model, waveforms, whole), atol=0, rtol=0)


class OwnEncoder(Encoder):
    pass


class OwnFeatures(LogMel):
    pass


def test_what_cannot_be_exported_is_named(plain: tuple[Bundle, bytes]) -> None:
    whole, _ = plain
    conformer = bundle({"name": "logmel", "num_mels": 20}, {"name": "conformer", "width": 8, "num_layers": 1})
    own = AcousticModel(whole.model.features, OwnEncoder(20, len(TOKENS), **SMALL))
    features = AcousticModel(OwnFeatures(RATE, 20), whole.model.encoder)
    for made, name in (
        (conformer, "encoder ConformerEncoder"),
        (dataclasses.replace(whole, model=own), "encoder OwnEncoder"),
        (dataclasses.replace(whole, model=features), "features OwnFeatures"),
    ):
        with pytest.raises(UsageError, match=f"{name} cannot be exported to ONNX"):
            to_onnx(made)
    with pytest.raises(UsageError, match="quantize is 'int4', but must be one of none, int8"):
        to_onnx(whole, "int4")
    gru = bundle({"name": "logmel", "num_mels": 20}, {"name": "blstm", "cell": "gru", **SMALL})
    with pytest.raises(UsageError, match="quantize=int8 is for cell=lstm"):
        to_onnx(gru, "int8")


def spoken(rate: int) -> list[np.ndarray[Any, Any]]:
    return [load_audio(each.audio_filepath, rate) for each in read_manifest(SAMPLES)]


def test_int8_gives_nearly_the_same_words_from_a_quarter_of_the_size() -> None:
    small = load_bundle("small")
    whole, int8 = to_onnx(small), to_onnx(small, "int8")
    assert len(int8) < 0.3 * len(whole)
    decoder, texts = GreedyDecoder(small.tokenizer), list[tuple[str, str]]()
    for waveform in spoken(small.model.sample_rate):
        batch = torch.from_numpy(waveform)[None]
        exact, frames = run(whole, batch, None)
        rough, _ = run(int8, batch, None)
        assert 1e-5 < (exact - rough).exp().sub(1).abs().mean() < 0.2
        texts.append((str(decoder(exact, frames)[0][0].text), str(decoder(rough, frames)[0][0].text)))
    assert corpus(texts).words.errors <= 1, texts


def test_a_file_says_what_it_holds(plain: tuple[Bundle, bytes]) -> None:
    model = onnx.load_from_string(plain[1])
    about = {each.key: each.value for each in model.metadata_props}
    assert (
        about["sample_rate"] == "8000" and about["vocab_size"] == "6" and about["subsampling_factor"] == "4"
    )
    assert math.isclose(float(about["frame_shift"]), 0.04)
    shapes = [each.type.tensor_type.shape.dim for each in model.graph.output]
    assert shapes[0][2].dim_value == len(TOKENS), "readers take the number of tokens from the shape"


@pytest.mark.parametrize(
    ("tokenizer", "wanted"),
    [
        (TOKENS, "<blk> 0\n▁ 1\na 2\nb 3\nc 4\nd 5\n"),
        (Words.from_texts(["no yes"]), "<blk> 0\n▁no 1\n▁yes 2\n"),
        (Phones(["<blank>", "|", "K", "AE"], {"ca": [["K", "AE"]]}), "<blk> 0\n▁| 1\n▁K 2\n▁AE 3\n"),
    ],
)
def test_tokens_are_written_as_other_programs_read_them(tokenizer: Tokenizer, wanted: str) -> None:
    assert symbols(tokenizer) == wanted


def test_pieces_of_words_keep_their_marks() -> None:
    pytest.importorskip("sentencepiece", reason="sentencepiece is not installed")
    lines = symbols(Subwords.from_texts(["a cab a bad cab"], vocab_size=7)).splitlines()
    assert len(lines) == 7 and any(line.startswith("▁") for line in lines[1:])


def foreign(model: bytes, made: Bundle, folder: Path, sherpa: ModuleType) -> Any:
    (folder / "model.onnx").write_bytes(model)
    (folder / "tokens.txt").write_text(symbols(made.tokenizer), encoding="utf-8")
    return sherpa.OfflineRecognizer.from_omnilingual_asr_ctc(
        model=str(folder / "model.onnx"), tokens=str(folder / "tokens.txt")
    )


def test_sherpa_onnx_writes_our_texts(tmp_path: Path) -> None:
    sherpa = pytest.importorskip("sherpa_onnx", reason="sherpa-onnx is not installed")
    small = load_bundle("small")
    recognizer = foreign(to_onnx(small), small, tmp_path, sherpa)
    decoder, rate = GreedyDecoder(small.tokenizer), small.model.sample_rate
    for waveform in spoken(rate):
        waveform = waveform + 0.01  # sherpa-onnx subtracts the mean itself
        log_probs, frames, *_ = small.model(torch.from_numpy(waveform)[None], torch.tensor([len(waveform)]))
        ours = decoder(log_probs.detach(), frames)[0][0]
        stream = recognizer.create_stream()
        stream.accept_waveform(rate, waveform)
        recognizer.decode_stream(stream)
        assert stream.result.text.strip() == ours.text
        # it takes each model of this kind for one of 20 ms a frame
        assert np.allclose(stream.result.timestamps, [0.02 * start for start in ours.starts])


def test_the_command_writes_model_and_tokens(tmp_path: Path, run_command: Any) -> None:
    status, printed, complaint = run_command(command, "bundle=small", f"out={tmp_path / 'onnx'}")
    assert (status, complaint) == (0, "")
    assert (tmp_path / "onnx/model.onnx").read_bytes() == to_onnx(load_bundle("small"))
    assert (tmp_path / "onnx/tokens.txt").read_text().startswith("<blk> 0\n")
    assert "model.onnx: letters-digits-commands, 21." in printed and "tokens.txt" in printed
    assert run_command(command, "bundle=small", f"out={tmp_path / 'onnx'}")[0] == 0, (
        "its own files are replaced"
    )
    tokens = tmp_path / "onnx/tokens.txt"
    (tmp_path / "onnx/model.onnx").rename(tmp_path / "onnx/other.onnx")
    write_atomically(tokens, "<blk> 0\n")
    status, _, complaint = run_command(command, "bundle=small", f"out={tmp_path / 'onnx'}")
    assert (
        status == 2
        and "tokens.txt: belongs to other.onnx, a model with other tokens; give each model" in complaint
    )
    (tmp_path / "one.onnx").write_text("mine")
    status, _, complaint = run_command(command, "bundle=small", f"out={tmp_path / 'one.onnx'}")
    assert status == 2 and "one.onnx: exists, and is not as this program has written it" in complaint
    assert (tmp_path / "one.onnx").read_text() == "mine"
    status, _, complaint = run_command(command, "bundle=small", f"out={tmp_path / 'onnx/tokens.txt'}")
    assert status == 2 and "must be a folder, or end in .onnx" in complaint


def test_a_bundle_is_not_written_into(tmp_path: Path, run_command: Any) -> None:
    copy = tmp_path / "bundle"
    copy.mkdir()
    for each in load_bundle("small").path.iterdir():
        (copy / each.name).write_bytes(each.read_bytes())
    status, _, complaint = run_command(command, f"bundle={copy}", f"out={copy}", "overwrite=true")
    assert status == 2 and "tokens.txt: is read by this command" in complaint
