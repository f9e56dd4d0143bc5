"""A trained recogniser as a folder that loads without running any code from it.

model.safetensors     weights of the encoder, and global feature statistics if there are any
config.json           format version, sample rate, features, encoder, tokenizer, training record
tokens.txt            the token of each id, a line each, for people and other programs
selftest.safetensors  a synthesised clip and the log-probabilities this model gave for it
README.md             model card
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from speechlstm import __version__, decoders
from speechlstm.data.manifest import write_atomically
from speechlstm.decoders import Decoder
from speechlstm.model import tokenizer
from speechlstm.model.encoder import ChunkedEncoder, ConformerEncoder, Encoder, LookaheadEncoder
from speechlstm.model.features import KaldiFbank, LogMel, Mfcc, Spectrogram
from speechlstm.transcription import batches as transcriber
from speechlstm.transcription.devices import PRECISIONS, autocast, check_precision
from speechlstm.types import AudioError, BundleError, SpeechlstmError, Transcript, UsageError, Utterance

if TYPE_CHECKING:
    from speechlstm.transcription.align import Alignment

FORMAT = 1  # raised when an older version could no longer read what is written
SHIPPED = Path(__file__).parent / "pretrained"

# The only classes a bundle can name. A config from elsewhere must never choose what code runs.
_FEATURES = {
    f"speechlstm.model.features.{kind.__name__}": kind for kind in (LogMel, Mfcc, KaldiFbank, Spectrogram)
}
_ENCODERS: dict[str, type[nn.Module]] = {
    f"speechlstm.model.encoder.{kind.__name__}": kind
    for kind in (Encoder, LookaheadEncoder, ChunkedEncoder, ConformerEncoder)
}

_REMEMBERED = 8192  # training utterances whose hashes a bundle keeps
_CONTENT = {"name": str, "sample_rate": int, "features": dict, "encoder": dict, "tokenizer": dict}


class Bundle:
    """A trained recogniser: features, encoder and tokenizer that belong together.

    Args:
        features: waveforms -> features.
        encoder: features -> log-probabilities.
        tokenizer: ids -> text.
        config: what `config.json` says.
        path: folder it came from.
    """

    def __init__(
        self,
        features: nn.Module,
        encoder: nn.Module,
        tokenizer: tokenizer.Tokenizer,
        config: Mapping[str, Any],
        path: Path,
    ) -> None:
        self.features, self.encoder, self.tokenizer = features.eval(), encoder.eval(), tokenizer
        self.config, self.path = config, path
        self.name: str = config["name"]
        self.precision = "32-true"
        self.sample_rate: int = config["sample_rate"]
        self.frame_shift: float = features.frame_shift * encoder.subsampling  # type: ignore[operator,assignment]

    @property
    def device(self) -> torch.device:
        """Where the recogniser computes."""
        return next(self.encoder.parameters()).device

    def to(self, device: str | torch.device) -> Bundle:
        """Move the recogniser to a device and return it."""
        self.features.to(device)
        self.encoder.to(device)
        return self

    @torch.inference_mode()
    def recognize(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Map `(batch, samples)` and lengths to log-probabilities `(batch, frames, vocab)` and lengths."""
        with autocast(self.precision, self.device):
            features, lengths = self.features(waveforms.to(self.device), lengths.to(self.device))
            log_probs, lengths = self.encoder(features, lengths)
        return log_probs, lengths

    def decoder(self, name: str = "greedy", **params: Any) -> Decoder:
        """Make an installed decoder for this recogniser's tokens."""
        return decoders.create(name, tokenizer=self.tokenizer, **params)

    def transcribe(self, path: str | Path, decoder: Decoder | None = None) -> Transcript:
        """Transcribe one audio file.

        Raises:
            AudioError: the file cannot be read or is too long.
        """
        results = transcriber.transcribe(self, decoder or self.decoder(), [str(path)])
        _, result = next(results)
        if isinstance(result, AudioError):
            raise result
        return result

    def align(self, path: str | Path, text: str) -> Alignment:
        """Find when each word and token of a known text is said; raises as `transcription.align.align_file`."""
        from speechlstm.transcription.align import align_file  # numba takes half a second to import

        return align_file(self, path, text)

    def save(self, folder: str | Path, card: str, dtype: torch.dtype = torch.float32) -> None:
        """Write the bundle as a folder, whole or not at all; an older one there is replaced.

        Args:
            folder: where.
            card: the model card, Markdown.
            dtype: of the stored weights.

        Raises:
            SpeechlstmError: there is something else than a bundle.
            OSError: no space, no permission; what was there is still there.
        """
        folder = Path(folder)
        check_place(folder)
        staging = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
        try:
            state = {f"features.{k}": v for k, v in self.features.state_dict().items()}
            state |= {f"encoder.{k}": v for k, v in self.encoder.state_dict().items()}
            state = {key: value.detach().cpu().to(dtype).contiguous() for key, value in state.items()}
            self.encoder.load_state_dict(_part(state, "encoder"))  # the self-test is of the weights as stored
            self.features.load_state_dict(_part(state, "features"))
            config = dict(self.config) | {"format": FORMAT, "speechlstm": __version__}
            tokens = "".join(f"{token}\n" for token in self.tokenizer.tokens)
            files: dict[str, str | bytes] = {
                "model.safetensors": save_tensors(state),
                "selftest.safetensors": save_tensors(self._selftest()),
                "config.json": json.dumps(config, ensure_ascii=False, indent=1) + "\n",
                "tokens.txt": tokens,
                "README.md": card,
            }
            for name, content in files.items():
                write_atomically(staging / name, content)
            old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
            if folder.exists():
                folder.rename(old)
            try:
                staging.rename(folder)
            except BaseException:
                if old.exists():
                    old.rename(folder)
                raise
            shutil.rmtree(old, ignore_errors=True)
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def _selftest(self) -> dict[str, Tensor]:
        clip = synthesise(self.sample_rate)
        log_probs, _ = self.recognize(clip.unsqueeze(0), torch.tensor([len(clip)]))
        return {"waveform": clip, "log_probs": log_probs[0].cpu().contiguous()}

    def trained_on(self, utterances: Sequence[Utterance]) -> float:
        """Return the share of utterances, as far as it is remembered, that the recogniser was trained on."""
        known = np.frombuffer(base64.b64decode(self.config.get("trained_on", "")), "<u4")
        hashes = np.array([_hash(utterance) for utterance in utterances], dtype=np.uint32)
        if len(known) == _REMEMBERED:  # of a larger training only the smallest hashes are known
            hashes = hashes[hashes <= known.max()]
        return float(np.isin(hashes, known).mean()) if len(hashes) else 0.0

    def verify(self) -> float:
        """Return the largest difference in log-probability between now and when the bundle was written.

        Raises:
            BundleError: there is no readable self-test.
        """
        test = _read_tensors(self.path / "selftest.safetensors")
        if not {"waveform", "log_probs"} <= test.keys():
            raise BundleError(
                f"{self.path}: selftest.safetensors lacks waveform or log_probs; export it again"
            )
        clip = test["waveform"]
        log_probs, _ = self.recognize(clip.unsqueeze(0), torch.tensor([len(clip)]))
        if log_probs[0].shape != test["log_probs"].shape:
            raise BundleError(
                f"{self.path}: the self-test gives other shapes than when the bundle was written"
            )
        return float((log_probs[0].cpu() - test["log_probs"]).abs().max())


def sketch(utterances: Sequence[Utterance]) -> str:
    """Return what a bundle remembers of its training utterances: the smallest of their hashes, as base64."""
    hashes = np.unique([_hash(utterance) for utterance in utterances])[:_REMEMBERED]
    return base64.b64encode(hashes.astype("<u4").tobytes()).decode("ascii")


def _hash(utterance: Utterance) -> int:
    name = f"{Path(utterance.audio_filepath).stem}|{utterance.offset:.3f}|{utterance.text}"
    return zlib.crc32(name.encode("utf-8", "surrogateescape"))


def check_place(folder: Path) -> None:
    """Raise a SpeechlstmError unless a bundle may be written here: nothing is there, or a bundle."""
    if folder.is_dir() and ((folder / "config.json").exists() or not any(folder.iterdir())):
        return
    if folder.exists():
        raise SpeechlstmError(f"{folder}: holds something else than a bundle; choose another place")


def make_bundle(
    features: nn.Module, encoder: nn.Module, tokens: tokenizer.Tokenizer, config: Mapping[str, Any]
) -> Bundle:
    """Put trained stages together; `config` holds their nodes, `name`, `sample_rate` and the training record."""
    return Bundle(features, encoder, tokens, {**config, "tokenizer": tokens.to_dict()}, Path())


def load_bundle(
    path: str | Path | None = None, device: str | torch.device = "cpu", precision: str = "32-true"
) -> Bundle:
    """Load a bundle; without a path the one that ships with the package.

    Args:
        path: its folder.
        device: where to compute.
        precision: of the encoder: 32-true, bf16-mixed, or, on a GPU, 16-mixed.

    Raises:
        UsageError: the device cannot compute in this precision.
        BundleError: something is missing, damaged, or from another version.
    """
    folder = SHIPPED if path is None else Path(path)
    if not folder.is_dir():
        raise BundleError(f"{folder}: no such folder; a bundle is the folder that `speechlstm train` writes")
    config = _read_config(folder)
    tensors = _read_tensors(folder / "model.safetensors")
    try:
        tokens = tokenizer.from_dict(config["tokenizer"])
        features = _stage(_FEATURES, config["features"], folder)
        encoder = _stage(
            _ENCODERS, config["encoder"], folder, num_features=features.num_features, vocab_size=len(tokens)
        )
        features.load_state_dict(_part(tensors, "features"))
        encoder.load_state_dict(_part(tensors, "encoder"))
        bundle = Bundle(features, encoder, tokens, config, folder)
    except (RuntimeError, TypeError, ValueError, SpeechlstmError) as error:
        if isinstance(error, BundleError):
            raise
        reason = " ".join(str(error).split())
        raise BundleError(f"{folder}: weights and config do not fit together: {reason}") from None
    try:
        bundle.to(device)
    except (RuntimeError, AssertionError) as error:
        raise SpeechlstmError(
            f"device {str(device)!r} cannot be used: {str(error).splitlines()[0]}"
        ) from None
    if precision not in PRECISIONS:
        raise UsageError(f"precision {precision!r} is not for recognising; choose {', '.join(PRECISIONS)}")
    check_precision(precision, bundle.device)
    bundle.precision = precision
    return bundle


def synthesise(sample_rate: int, seconds: float = 1.5) -> Tensor:
    """Return a clip that sounds vaguely like vowels: harmonics of a gliding pitch under two moving formants."""
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    pitch = 110 + 40 * np.sin(2 * np.pi * 0.7 * time)
    phase = 2 * np.pi * np.cumsum(pitch) / sample_rate
    formants = (500 + 250 * np.sin(2 * np.pi * 1.3 * time), 1500 + 700 * np.sin(2 * np.pi * 0.9 * time + 1))
    clip = np.zeros_like(time)
    for harmonic in range(1, int(0.45 * sample_rate / 150)):
        gain = sum(np.exp(-(((harmonic * pitch - formant) / 200) ** 2)) for formant in formants)
        clip += gain * np.sin(harmonic * phase)
    clip *= np.clip(np.sin(2 * np.pi * 2 * time), 0, 1)  # syllables with silence between them
    return torch.from_numpy((0.3 * clip / np.abs(clip).max()).astype(np.float32))


def _stage(known: Mapping[str, type[Any]], node: dict[str, Any], folder: Path, **sizes: int) -> Any:
    params = dict(node)
    target = params.pop("_target_", None)
    if not isinstance(target, str) or target not in known:
        raise BundleError(f"{folder}/config.json: {target!r} may not be loaded; known are {', '.join(known)}")
    nested = [key for key, value in params.items() if isinstance(value, dict | list) and not _numbers(value)]
    if nested:
        raise BundleError(f"{folder}/config.json: {nested[0]} must be a plain value or a list of numbers")
    return known[target](**params, **sizes)


def _numbers(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, int | float) for each in value)


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BundleError(f"{path}: missing; a bundle is the folder that `speechlstm train` writes") from None
    except (OSError, ValueError) as error:
        raise BundleError(f"{path}: damaged: {error}") from None
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        version = config.get("format") if isinstance(config, dict) else None
        raise BundleError(f"{path}: bundle format {version!r}, but this version of speechlstm reads {FORMAT}")
    for key, kind in _CONTENT.items():
        if key not in config:
            raise BundleError(f"{path}: no {key!r}; the bundle is incomplete")
        if not isinstance(config[key], kind):
            raise BundleError(f"{path}: {key} is {config[key]!r}, but must be of type {kind.__name__}")
    if config["features"].get("sample_rate") != config["sample_rate"]:
        raise BundleError(f"{path}: sample_rate is not that of the features")
    return config


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_tensors(path.read_bytes())
    except FileNotFoundError:
        raise BundleError(f"{path}: missing; the bundle is incomplete") from None
    except (OSError, SafetensorError) as error:
        raise BundleError(f"{path}: damaged: {error}") from None


def _part(tensors: Mapping[str, Tensor], stage: str) -> dict[str, Tensor]:
    prefix = f"{stage}."
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
