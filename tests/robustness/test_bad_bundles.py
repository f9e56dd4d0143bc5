"""Bundles and checkpoints that are damaged or hostile: one sentence each, at once and in little memory."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import struct
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from headers import change_header
from safetensors.torch import load_file, save_file

import speechlstm
from speechlstm.model.acoustic import AcousticModel
from speechlstm.model.bundle import Bundle, load_bundle
from speechlstm.model.encoder import Encoder
from speechlstm.model.features import LogMel
from speechlstm.model.provenance import trained_on
from speechlstm.model.reading import read_tensors
from speechlstm.model.selftest import save_bundle, verify
from speechlstm.model.tokenizer import Characters, Phones
from speechlstm.study.inspect.checkpoint import load as from_checkpoint
from speechlstm.training.checkpoints import Checkpoints
from speechlstm.training.warmstart import read
from speechlstm.types import BundleError, SpeechlstmError, Utterance

FEATURES = {
    "sample_rate": 8000,
    "num_mels": 16,
    "window": 0.025,
    "hop": 0.01,
    "low_freq": 0.0,
    "high_freq": None,
}
FEATURES |= {"floor": 1e-10, "normalize": "utterance"}
ENCODER = {"cell": "lstm", "hidden_size": 8, "num_layers": 1, "subsampling": 4, "conv_channels": 2}
ENCODER |= {"projection_size": None, "dropout": 0.1, "layer_norm": True, "residual": True, "intermediate": []}
PARTS = {"features": {"name": "logmel", **FEATURES}, "encoder": {"name": "blstm", **ENCODER}}
WEIGHTS = sorted(Encoder(16, 8, **ENCODER).state_dict())
SECONDS, BYTES = 2.0, 300e6  # of CPU, of memory

Damage = Callable[[Path], object]


def make() -> Bundle:
    torch.manual_seed(0)
    tokens = Characters.from_texts(["a bad cafe"])
    model = AcousticModel(LogMel(**FEATURES), Encoder(16, len(tokens), **ENCODER)).eval()
    return Bundle(model, tokens, {"name": "tiny", "sample_rate": 8000, **PARTS})


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles") / "tiny"
    save_bundle(make(), folder, "")
    return folder


@pytest.fixture
def folder(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "tiny"))


def peak(reset: bool = False) -> int:
    """Return the most memory that this process has used since the last reset, in bytes."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


@contextlib.contextmanager
def refused(
    where: Path, kind: type[SpeechlstmError] = BundleError, message: str = ""
) -> Iterator[pytest.ExceptionInfo[SpeechlstmError]]:
    """Expect one sentence that begins with the place, soon and in little memory."""
    before = peak(reset=True)
    start = time.process_time()
    with pytest.raises(kind, match=message or None) as raised:
        yield raised
    assert time.process_time() - start < SECONDS
    assert peak() - before < BYTES
    text = str(raised.value)
    assert text.startswith(str(where)) and "\n" not in text and len(text) < 2500
    text.encode()


def config(**changes: Any) -> Damage:
    """Change keys of config.json, given as `stage__key`."""

    def damage(folder: Path) -> None:
        path = folder / "config.json"
        content = json.loads(path.read_text(encoding="utf-8"))
        for key, value in changes.items():
            *outer, last = key.split("__")
            inner = content
            for name in outer:
                inner = inner[name]
            inner[last] = value
        path.write_text(json.dumps(content), encoding="utf-8")

    return damage


# settings

IMPOSSIBLE = [10**40, "x", {"a": 1}, [[1]]]
SETTINGS = [(stage, key) for stage, part in PARTS.items() for key in part if key != "name"]


@pytest.mark.parametrize("value", IMPOSSIBLE, ids=str)
@pytest.mark.parametrize(("stage", "key"), SETTINGS)
def test_a_setting_that_cannot_be(folder: Path, stage: str, key: str, value: object) -> None:
    changes = {f"{stage}__{key}": value} | ({"sample_rate": value} if key == "sample_rate" else {})
    config(**changes)(folder)
    with refused(folder, message=key):
        load_bundle(folder)


LARGE: list[dict[str, object]] = [
    {"encoder__hidden_size": 8192, "encoder__num_layers": 64},
    {"encoder__hidden_size": 8192},
    {"encoder__num_layers": 64, "encoder__hidden_size": 512},
    {"encoder__projection_size": 8192},
    {"encoder__conv_channels": 8192},
    {"encoder__hidden_size": 10**9},
    {"encoder__num_layers": 10**7},
    {"encoder__conv_channels": 10**8},
    {"encoder__name": "chunked", "encoder__lookahead": 10**9},
    {"encoder__name": "chunked", "encoder__chunk_size": 10**9},
    {"encoder__name": "lookahead", "encoder__lookahead": 10**9},
    {"encoder__name": "lookahead", "encoder__hidden_size": 8192, "encoder__lookahead": 1000},
    {"encoder": {"name": "conformer", "width": 8192, "ffn_size": 8192, "num_layers": 64}},
    {"encoder": {"name": "conformer", "ffn_size": 10**9}},
    {"encoder": {"name": "conformer", "kernel_size": 10**9 + 1}},
    {"features__sample_rate": 10**9, "sample_rate": 10**9},
    {"features__num_mels": 10**8},
    {"features__num_mels": 512},
    {"features__window": 1e9},
    {"features__sample_rate": 768000, "sample_rate": 768000, "features__window": 0.5},
    {"features": {"name": "spectrogram", "sample_rate": 8000, "window": 0.5}},
    {"features": {"name": "mfcc", "sample_rate": 8000, "num_coefficients": 10**9}},
    {"features": {"name": "fbank", "sample_rate": 8000, "num_mels": 10**9}},
]


@pytest.mark.parametrize("changes", LARGE, ids=str)
def test_settings_that_ask_for_more_memory_than_the_weights_have(
    folder: Path, changes: dict[str, object]
) -> None:
    config(**changes)(folder)
    with refused(folder):
        load_bundle(folder)


OTHER: dict[str, tuple[dict[str, object], str]] = {
    "no part of that name": ({"encoder__name": "nope"}, "needs encoder 'nope', which is not installed"),
    "a part of another stage": ({"encoder__name": "logmel"}, "needs encoder 'logmel'"),
    "packages a number": ({"encoder__name": "nope", "packages": 5}, "which is not installed$"),
    "package blank": ({"encoder__name": "nope", "packages": {"encoder": " "}}, "which is not installed"),
    "an unknown setting": ({"encoder__depth": 1}, "depth"),
    "format of the future": ({"format": 10**30}, "bundle format 1000"),
    "format a long text": ({"format": "x" * 10**6}, "bundle format 'xxx"),
    "features a long text": ({"features": "x" * 10**6}, "features is 'xxx"),
    "encoder null": ({"encoder": None}, "encoder is None"),
    "name no text": ({"name": "a\ud83d"}, "half a surrogate pair"),
    "name a number": ({"name": 5}, "name is 5"),
    "tokenizer a list": ({"tokenizer": []}, "tokenizer is"),
    "tokenizer of no kind": ({"tokenizer__kind": ["characters"]}, "kind is"),
    "tokens a text": ({"tokenizer__tokens": "abc"}, "must be distinct"),
    "tokens a mapping": ({"tokenizer__tokens": {"<blank>": 0}}, "must be distinct"),
    "tokens with numbers": ({"tokenizer__tokens": ["<blank>", 1]}, "must be distinct"),
    "tokens with lists": ({"tokenizer__tokens": ["<blank>", ["a"]]}, "must be distinct"),
    "a token twice": ({"tokenizer__tokens": ["<blank>", "a", "a"]}, "must be distinct"),
    "an empty token": ({"tokenizer__tokens": ["<blank>", ""]}, "must be distinct"),
    "half a surrogate pair": ({"tokenizer__tokens": ["<blank>", "\ud83d"]}, "half a surrogate pair"),
    "no tokens": ({"tokenizer__tokens": ["<blank>"]}, "no tokens"),
    "too many tokens": (
        {"tokenizer__tokens": ["<blank>", *map(str, range(200_000))]},
        "do not fit together",
    ),
    "a token too few": ({"tokenizer__tokens": ["<blank>", "a"]}, "do not fit together"),
    "case of no kind": ({"tokenizer__case": "camel"}, "tokenizer.case is 'camel'"),
    "case a list": ({"tokenizer__case": ["lower"]}, "tokenizer.case is"),
    "punctuation of no kind": ({"tokenizer__punctuation": 1}, "tokenizer.punctuation is 1"),
    "language of no kind": ({"tokenizer__language": "xx"}, "tokenizer.language is 'xx'"),
    "subwords without a model": ({"tokenizer__kind": "subwords"}, "damaged description of a subwords"),
    "subwords with a bad model": (
        {"tokenizer": {"kind": "subwords", "case": "lower", "tokens": ["<blank>", "a"], "model": "!"}},
        "damaged description of a subwords",
    ),
    "phones without a lexicon": ({"tokenizer__kind": "phones"}, "damaged description of a phones"),
    **{
        f"lexicon {shape!r}": (
            {"tokenizer": {"kind": "phones", "case": "lower", "tokens": ["<blank>", "|", "A"], "lexicon": shape}},
            "lexicon",
        )
        for shape in (
            5, "text", ["a"], {"a": 1}, {"a": "B"}, {"a": "A  A"}, {"a": [1]}, {"a": ["A", ""]},
            {"a": [[1]]}, {"a": []}, {"a": [["B"]]},
        )
    },
}  # fmt: skip


@pytest.mark.parametrize("name", OTHER)
def test_a_config_that_is_wrong(folder: Path, name: str) -> None:
    changes, message = OTHER[name]
    config(**changes)(folder)
    with refused(folder, message=message):
        load_bundle(folder)


# files


def instead(kind: str) -> Callable[[Path], None]:
    """Put something else in a file's place."""

    def damage(path: Path) -> None:
        path.unlink(missing_ok=True)
        if kind == "FIFO":
            os.mkfifo(path)
        elif kind == "folder":
            path.mkdir()
        elif kind == "sparse":
            with path.open("wb") as file:
                file.truncate(1 << 36)
        elif kind.startswith("link to "):
            path.symlink_to(kind.removeprefix("link to "))
        else:
            content = {
                "empty": b"",
                "noise": bytes(range(256)) * 8,
                "deep": b"[" * 100_000,
                "deep objects": b'{"a":' * 100_000,
                "long number": b"1" * 10_000,
                "UTF-16": '{"format": 2}'.encode("utf-16"),
                "null": b"null",
                "number": b"5",
                "list": b"[]",
            }
            path.write_bytes(content[kind])

    return damage


NO_FILES = ["FIFO", "folder", "sparse", "link to /dev/zero", "link to nowhere", "link to .", "empty", "noise"]
NO_JSON = ["deep", "deep objects", "long number", "UTF-16", "null", "number", "list"]


@pytest.mark.parametrize("kind", NO_FILES)
@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "selftest.safetensors", "decoder.json"])
def test_a_file_that_is_none(folder: Path, name: str, kind: str) -> None:
    instead(kind)(folder / name)
    with refused(folder / name, message="damaged|missing"):
        verify(load_bundle(folder))


@pytest.mark.parametrize("kind", NO_JSON)
@pytest.mark.parametrize("name", ["config.json", "decoder.json"])
def test_json_that_is_none(folder: Path, name: str, kind: str) -> None:
    instead(kind)(folder / name)
    with refused(folder / name):
        load_bundle(folder)


@pytest.mark.parametrize("content", ["null", "[]", "5", "true", '"tiny"', "[1, 2]"])
def test_a_config_that_is_no_object(folder: Path, content: str) -> None:
    (folder / "config.json").write_text(content)
    with refused(
        folder / "config.json", message="but must be a JSON object that describes a model"
    ) as caught:
        load_bundle(folder)
    assert f"config.json: {content[:20].strip(chr(34))}" in str(caught.value)


# weights


def weights(change: Callable[[dict[str, torch.Tensor]], object], file: str = "model.safetensors") -> Damage:
    def damage(folder: Path) -> None:
        tensors = load_file(folder / file)
        change(tensors)
        save_file(tensors, folder / file)

    return damage


def header(change: Callable[[dict[str, Any]], object]) -> Damage:
    """Change the header of the weights and leave the numbers."""

    return lambda folder: change_header(folder / "model.safetensors", change)


OF_A_TENSOR: dict[str, tuple[Callable[[dict[str, torch.Tensor], str], object], str]] = {
    "NaN": (lambda t, name: t[name].view(-1)[-1:].fill_(torch.nan), "has numbers that are NaN"),
    "infinite": (lambda t, name: t[name].view(-1)[:1].fill_(-torch.inf), "has infinite numbers"),
    "whole numbers": (lambda t, name: t.update({name: t[name].to(torch.int32)}), "is of type torch.int32"),
    "another shape": (
        lambda t, name: t.update({name: t[name][None].clone()}),
        "do not fit together: .* must be .*, but is ",
    ),
    "missing": (
        lambda t, name: t.pop(name),
        r"model\.safetensors: .* do not fit together: by config.json, .* is missing",
    ),
}


def test_files_that_are_swapped_are_named(folder: Path) -> None:
    one, other = folder / "model.safetensors", folder / "selftest.safetensors"
    one.rename(folder / "x")
    other.rename(one)
    (folder / "x").rename(other)
    with refused(
        folder, message=r"model\.safetensors: holds no weights .*, but log_probs, waveform; is it another"
    ):
        load_bundle(folder)


def test_the_first_wrong_tensors_are_named_with_both_shapes(folder: Path) -> None:
    config(encoder__hidden_size=9)(folder)
    message = r"model\.safetensors: .* must be \(18, 8\), but is \(16, 8\); .*; and \d+ more; put back"
    with refused(folder, message=message):
        load_bundle(folder)


@pytest.mark.parametrize("kind", OF_A_TENSOR)
@pytest.mark.parametrize("name", [f"encoder.{name}" for name in WEIGHTS])
def test_a_tensor_that_is_wrong_is_named(folder: Path, name: str, kind: str) -> None:
    change, message = OF_A_TENSOR[kind]
    weights(lambda tensors: change(tensors, name))(folder)
    with refused(folder, message=message):
        load_bundle(folder)


def at(name: str, **changes: object) -> Callable[[dict[str, Any]], object]:
    return lambda about: about[name].update(changes)


BIAS = "encoder.output.bias"
HEADERS: dict[str, Damage] = {
    **{f"dtype {dtype}": header(at(BIAS, dtype=dtype)) for dtype in ("F4", "F6_E2M3", "F8_E5M2", "C64", "U64", "", 5)},
    "huge shape": header(at(BIAS, shape=[10**15])),
    "shape beyond 64 bits": header(at(BIAS, shape=[10**30])),
    "negative shape": header(at(BIAS, shape=[-8])),
    "empty shape of much": header(at(BIAS, shape=[0, 10**15])),
    "shape a text": header(at(BIAS, shape="8")),
    "offsets beyond the file": header(at(BIAS, data_offsets=[0, 10**12])),
    "offsets reversed": header(at(BIAS, data_offsets=[32, 0])),
    "offsets of another tensor": header(at(BIAS, data_offsets=[0, 32])),
    "no dtype": header(lambda about: about[BIAS].pop("dtype")),
    "a tensor too many": header(lambda about: about.update(more=about[BIAS])),
    "all gone": header(dict.clear),
    "another name": header(lambda about: about.update({"x" * 10**6: about.pop(BIAS)})),
    "header longer than the file": lambda folder: (folder / "model.safetensors").write_bytes(
        struct.pack("<Q", 2**63) + b"{}"
    ),
    "header no JSON": lambda folder: (folder / "model.safetensors").write_bytes(struct.pack("<Q", 4) + b"[[[["),
    "cut short": lambda folder: os.truncate(folder / "model.safetensors", 2000),
    "a tensor of the self-test": weights(lambda tensors: tensors.update(waveform=torch.zeros(9))),
    "a pickle": lambda folder: torch.save({}, folder / "model.safetensors"),
}  # fmt: skip


@pytest.mark.parametrize("name", HEADERS)
def test_weights_with_a_wrong_header(folder: Path, name: str) -> None:
    HEADERS[name](folder)
    with refused(folder) as caught:
        load_bundle(folder)
    for foreign in ("deserializing", "expected", "line 1 column", "usize", "Error"):  # words of the library's
        assert foreign not in str(caught.value)


TENSOR = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}


@pytest.mark.parametrize(
    ("about", "numbers", "message"),
    [
        (b"", 16, "its header is cut short, or it is no safetensors file"),
        (b"{nope", 16, "its header is not JSON"),
        (b"\xff{}", 16, "its header is not JSON"),
        (b"[" * 3000, 16, "its header is not JSON"),
        (b"null", 16, "its header is not a JSON object"),
        ({"a": TENSOR}, 13, "13 bytes of numbers follow its header, which tells of 16"),
        ({"a": TENSOR | {"dtype": "Q9"}}, 16, "its header gives 'a' the type 'Q9', but can be BOOL"),
        ({"a": TENSOR | {"shape": [5]}}, 16, "its header gives 'a' 16 bytes, but its type and shape need 20"),
        ({"a": TENSOR | {"shape": [-1]}}, 16, "'a' a shape that is not a list of whole numbers from 0"),
        ({"a": TENSOR | {"shape": [2**60] * 2000}}, 16, "'a' a shape of more numbers than any file holds"),
        ({"a": TENSOR | {"data_offsets": [16, 0]}}, 16, "'a' a place that is not its beginning and its end"),
        ({"a": {"shape": [4]}}, 16, "its header gives 'a' no type, shape, or place"),
        ({"a": TENSOR, "b": TENSOR}, 16, "by its header, numbers of two tensors overlap, or belong to none"),
        ({"__metadata__": {"x": 5}, "a": TENSOR}, 16, "what its header says of the file are not all texts"),
    ],
)
def test_how_a_safetensors_file_is_damaged(tmp_path: Path, about: Any, numbers: int, message: str) -> None:
    text = about if isinstance(about, bytes) else json.dumps(about).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(numbers))
    with pytest.raises(BundleError) as caught:
        read_tensors(path)
    said = str(caught.value)
    assert said.startswith(f"{path}: damaged: ") and message in said and said.endswith("; copy it again")
    path.write_bytes(struct.pack("<Q", len(good := json.dumps({"a": TENSOR}))) + good.encode() + bytes(16))
    assert read_tensors(path)["a"].tolist() == [0.0] * 4


SELFTESTS: dict[str, Callable[[dict[str, torch.Tensor]], object]] = {
    "no waveform": lambda t: t.pop("waveform"),
    "no log-probabilities": lambda t: t.pop("log_probs"),
    "a waveform of rank 2": lambda t: t.update(waveform=t["waveform"][None].clone()),
    "a waveform of rank 0": lambda t: t.update(waveform=torch.tensor(0.5)),
    "an empty waveform": lambda t: t.update(waveform=torch.zeros(0)),
    "a long waveform": lambda t: t.update(waveform=torch.zeros(61 * 8000)),
    "a waveform of whole numbers": lambda t: t.update(waveform=torch.zeros(8000, dtype=torch.int64)),
    "a waveform of NaN": lambda t: t["waveform"].fill_(torch.nan),
    "log-probabilities of rank 3": lambda t: t.update(log_probs=t["log_probs"][None].clone()),
    "log-probabilities of fewer tokens": lambda t: t.update(log_probs=t["log_probs"][:, 1:].clone()),
    "log-probabilities of whole numbers": lambda t: t.update(log_probs=t["log_probs"].to(torch.int32)[:3]),
}


@pytest.mark.parametrize("name", SELFTESTS)
def test_a_self_test_that_is_none(folder: Path, name: str) -> None:
    weights(SELFTESTS[name], "selftest.safetensors")(folder)
    with refused(folder):
        verify(load_bundle(folder))


@pytest.mark.parametrize("value", [5, None, "A", "AAA", "AAAA", ["AAAA"]], ids=str)
def test_a_record_of_the_training_that_is_none(value: object) -> None:
    with pytest.raises(BundleError, match=r"trained_on in the bundle's config\.json is damaged"):
        trained_on({"trained_on": value}, [Utterance("a.wav", 1.0, "a", "a")])


# the decoder of a bundle

DECODERS: dict[str, tuple[object, str]] = {
    "no name": ({"beam_size": 5}, "with the name of a decoder"),
    "name a list": ({"name": ["beam"]}, "with the name of a decoder"),
    "a text": ("beam", "with the name of a decoder"),
    "a missing language model": ({"name": "beam", "lm": "lm.arpa"}, r"lm is 'lm\.arpa', which is no file"),
    "a missing lexicon": ({"name": "beam", "words": "lexicon.dic"}, "words is 'lexicon.dic'"),
    "a file elsewhere": ({"name": "beam", "lm": "/etc/passwd"}, "lm is '/etc/passwd', which is no file of"),
    "a file above": ({"name": "beam", "lm": "../tiny/config.json"}, "which is no file of the bundle"),
    "a file of Windows": ({"name": "beam", "lm": "..\\config.json"}, "which is no file of the bundle"),
}


@pytest.mark.parametrize("name", DECODERS)
def test_a_decoder_that_is_wrong(folder: Path, name: str) -> None:
    content, message = DECODERS[name]
    (folder / "decoder.json").write_text(json.dumps(content))
    with refused(folder / "decoder.json", message=message):
        load_bundle(folder)


DECODER_SETTINGS: dict[str, tuple[dict[str, object], str]] = {
    "not installed": ({"name": "nope"}, r"decoder\.json: no decoder 'nope'"),
    "a setting of the wrong type": (
        {"name": "beam", "beam_size": "many"},
        r"decoder\.json: .*beam_size is 'many'",
    ),
    "an unknown setting": ({"name": "beam", "breadth": 5}, r"decoder\.json: .*breadth"),
    "weights as language model": ({"name": "beam", "lm": "model.safetensors"}, "model.safetensors"),
    "damaged language model": ({"name": "beam", "lm": "bad.arpa"}, "bad.arpa"),
    "lexicon of other phones": ({"name": "beam", "lexicon": "strict", "words": "bad.dic"}, "bad.dic"),
}


@pytest.mark.parametrize("name", DECODER_SETTINGS)
def test_a_decoder_that_cannot_be_made(folder: Path, name: str) -> None:
    content, message = DECODER_SETTINGS[name]
    (folder / "bad.arpa").write_text("\\data\\\nngram 1=5\n\\1-grams:\n-1\ta\n")
    (folder / "bad.dic").write_text("word X Y Z\n")
    (folder / "decoder.json").write_text(json.dumps(content))
    recognizer = speechlstm.load(folder)
    with pytest.raises(SpeechlstmError, match=message) as raised:
        recognizer.create_decoder()
    assert "\n" not in str(raised.value)


def test_a_lexicon_of_other_phones(tmp_path: Path) -> None:
    lexicon = {"yes": [["Y", "EH"]]}
    tokens = Phones(["<blank>", "|", "EH", "Y"], lexicon)
    model = AcousticModel(LogMel(**FEATURES), Encoder(16, len(tokens), **ENCODER)).eval()
    bundle = Bundle(model, tokens, {"name": "tiny", "sample_rate": 8000, **PARTS})
    bundle.decoder = {"name": "beam", "words": "words.dic"}
    save_bundle(bundle, tmp_path / "tiny", "")
    (tmp_path / "tiny/words.dic").write_text("no N OW\n")
    with pytest.raises(SpeechlstmError, match=r"words\.dic"):
        speechlstm.load(tmp_path / "tiny").create_decoder()


# checkpoints


def checkpoint() -> dict[str, Any]:
    bundle = make()
    state = {f"acoustic.{name}": value for name, value in bundle.model.state_dict().items()}
    return {
        "epoch": 1,
        "global_step": 5,
        "pytorch-lightning_version": "2.6.4",
        "callbacks": {},
        "loops": {},
        "state_dict": state,
        "tokenizer": bundle.tokenizer.to_dict(),
        "settings": PARTS,
    }


def test_a_checkpoint_that_is_one_is_read(tmp_path: Path) -> None:
    torch.save(checkpoint(), tmp_path / "a.ckpt")
    assert read(tmp_path / "a.ckpt").tokens == from_checkpoint(tmp_path / "a.ckpt").tokenizer.tokens


KINDS = [
    *((key, value) for key in ("state_dict", "tokenizer", "settings") for value in (5, "text", [], None, {"a": 5})),
    *((key, "text") for key in ("callbacks", "loops", "epoch", "global_step", "optimizer_states")),
    *((key, 5.5) for key in ("planned", "averaging_state", "current_model_state", "SpeechData", "lr_schedulers")),
    *(("settings", {**PARTS, "encoder": {**PARTS["encoder"], **large}}) for large in (
        {"hidden_size": 10**9}, {"hidden_size": 8192, "num_layers": 64},
        {"num_layers": 10**7}, {"conv_channels": 10**8}, {"name": "nope"}, {"name": 5},
    )),
    ("settings", {**PARTS, "features": {**PARTS["features"], "sample_rate": 10**9}}),
    ("tokenizer", {"kind": "characters", "case": "lower", "tokens": 5}),
]  # fmt: skip


@pytest.mark.parametrize("door", [read, from_checkpoint], ids=["init_from", "inspect"])
@pytest.mark.parametrize("number", range(len(KINDS)))
def test_a_checkpoint_of_other_content(tmp_path: Path, number: int, door: Callable[[Path], object]) -> None:
    key, value = KINDS[number]
    torch.save(checkpoint() | {key: value}, tmp_path / "a.ckpt")
    with refused(tmp_path / "a.ckpt", SpeechlstmError):
        door(tmp_path / "a.ckpt")


def zipped(path: Path, size: int, compression: int) -> None:
    with zipfile.ZipFile(path, "w", compression) as archive, archive.open("archive/data.pkl", "w") as part:
        for _ in range(size >> 20):
            part.write(bytes(1 << 20))


FILES: dict[str, Damage] = {
    "a zip bomb": lambda path: zipped(path, 1 << 28, zipfile.ZIP_DEFLATED),
    "a zip bomb in bzip2": lambda path: zipped(path, 1 << 24, zipfile.ZIP_BZIP2),
    "a zip of zeros": lambda path: zipped(path, 1 << 20, zipfile.ZIP_STORED),
    "a zip of nothing": lambda path: zipped(path, 0, zipfile.ZIP_STORED),
    "a list": lambda path: torch.save([1], path),
    "a number": lambda path: torch.save(5, path),
    "an old file of torch": lambda path: torch.save({}, path, _use_new_zipfile_serialization=False),
    "text": lambda path: path.write_text("weights"),
    "empty": lambda path: path.write_bytes(b""),
    "cut short": lambda path: (torch.save(checkpoint(), path), os.truncate(path, 3000)),
    "FIFO": instead("FIFO"),
    "link to /dev/zero": instead("link to /dev/zero"),
    "folder": instead("folder"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_no_checkpoint(tmp_path: Path, name: str) -> None:
    path = tmp_path / "last.ckpt"
    FILES[name](path)
    with refused(path, SpeechlstmError):
        Checkpoints({}).load_checkpoint(path, weights_only=True)
