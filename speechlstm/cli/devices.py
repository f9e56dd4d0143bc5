"""What a command works with: the devices, the model, and the decoder that its settings name, and the threads."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from omegaconf import DictConfig, OmegaConf

from speechlstm import configs
from speechlstm.configs.mistakes import settings as dotted
from speechlstm.decoders import Decoder
from speechlstm.model import registry
from speechlstm.model.bundle import naming_decoder_file
from speechlstm.transcription.cluster import Cluster, Pool, Setup
from speechlstm.transcription.devices import Devices, OneDevice
from speechlstm.transcription.recognizer import Recognizer
from speechlstm.types import UsageError


def choose_devices(trainer: DictConfig) -> Devices:
    """Return the devices that a trainer's settings describe; of their other settings only the precision counts.

    Raises:
        UsageError: settings that do not fit together, or that this machine has no devices for.
    """
    if trainer.get("strategy") is not None:
        from speechlstm.training.devices import ManyDevices  # Lightning takes seconds to import

        return ManyDevices(trainer)
    number = trainer.devices
    if isinstance(number, Sequence) and len(number) == 1 and isinstance(number[0], int):
        (gpu,) = number
    elif number == 1:
        gpu = 0
    else:
        raise UsageError(
            f"trainer.devices is {number}, but this trainer uses one device: 1, or [2] for the GPU of that number; "
            "several are for trainer=ddp, ddp_cpu, multinode or slurm"
        )
    kinds = {"cpu": "cpu", "gpu": "cuda", "auto": "cuda" if torch.cuda.is_available() else "cpu"}
    if trainer.accelerator not in kinds:
        raise UsageError(f"trainer.accelerator is {trainer.accelerator!r}, but must be {', '.join(kinds)}")
    kind = kinds[trainer.accelerator]
    return OneDevice(f"cuda:{gpu}" if kind == "cuda" else kind, str(trainer.precision))


def about_the_default(bundle: str | None) -> list[str]:
    """Return what someone at a terminal should know who has chosen no model and gets the small one."""
    if bundle is not None or not sys.stderr.isatty() or registry.default_bundle() != registry.SMALL:
        return []
    return [
        "this is the bundled model, which knows only letters, digits, numbers, and a few commands; for general "
        "English, install plugins/speechlstm-english; bundle=small hides this note"
    ]


def choose_cluster(
    cfg: DictConfig, recognizer: Recognizer, where: Devices, channels: bool = False
) -> Cluster | None:
    """Return the pool of actors that `executor=ray` describes, each of which loads this model; None: no such pool.

    Raises:
        UsageError: it is to be used with several devices of this machine.
    """
    if cfg.executor.name != "ray":
        return None
    if not isinstance(where, OneDevice):
        raise UsageError("executor=ray goes with no trainer= of several devices: it has actors instead")
    pool = Pool(**{key: value for key, value in cfg.executor.items() if key != "name"})
    setup = Setup(
        str(recognizer.path), decoder_settings(cfg, recognizer), "cuda" if pool.gpus else "cpu",
        where.precision, cfg.runtime, cfg.batch_seconds, cfg.strict_audio, channels, str(Path.cwd()),
    )  # fmt: skip
    return Cluster(pool, setup)


def batch_threads(threads: int | None) -> int:
    """Leave PyTorch one thread for each batch, and return how many batches a command runs at once.

    This is for the whole process, so the command decides it, not the library; decoders, which share out utterances
    themselves, are made before. `threads` of None takes as many as PyTorch would have used for one batch.
    """
    available = torch.get_num_threads()
    torch.set_num_threads(1)
    return available if threads is None else threads


def make_decoder(cfg: DictConfig, recognizer: Recognizer) -> Decoder:
    """Return the decoder that a command's settings name, or the one that belongs to the bundle.

    Raises:
        UsageError: there is no such decoder, or it takes no such settings.
        BundleError: the same of the decoder that the bundle names.
    """
    settings = decoder_settings(cfg, recognizer)
    with naming_decoder_file(recognizer.bundle, settings):
        decoder: Decoder = configs.build_part("decoder", settings, tokenizer=recognizer.tokenizer)
    return decoder


def decoder_settings(cfg: DictConfig, recognizer: Recognizer) -> dict[str, Any]:
    """Return the name and the settings of that decoder.

    A bundle may bring a decoder with its settings, such as a lexicon. If `decoder=` names the same decoder, these take
    the place of its defaults, and the settings on the command line go before them.

    Raises:
        UsageError: `lm=` is given, but the decoder uses no language model.
    """
    settings = _merged(cfg, recognizer)
    lm = cfg.get("lm")
    if lm is not None and all(value != lm for _, value in dotted(settings)):
        name = settings.get("name")
        raise UsageError(f"lm={lm} has no effect: decoder {name} uses no language model; add decoder=beam")
    return settings


def _merged(cfg: DictConfig, recognizer: Recognizer) -> dict[str, Any]:
    own = {"name": "greedy", **recognizer.bundle.decoder}
    if cfg.get("decoder") is None:
        return own | ({"lm": cfg.lm} if "lm" in own and cfg.get("lm") is not None else {})
    settings = cast(dict[str, Any], OmegaConf.to_container(cfg.decoder, resolve=True))
    given = configs.given_settings("decoder", own["name"])
    if given is None:
        return settings
    if cfg.get("lm") is not None:
        given.add("lm")
    return settings | {key: value for key, value in own.items() if key not in given}
