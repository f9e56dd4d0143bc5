"""Check a manifest and its audio for problems."""

from __future__ import annotations

from omegaconf import DictConfig

from speechlstm import configs
from speechlstm.data import doctor
from speechlstm.data.audio import parse_channel
from speechlstm.data.manifest import read_entries
from speechlstm.model.acoustic import AcousticModel
from speechlstm.model.bundle import load_bundle
from speechlstm.model.encoder import weights_follow
from speechlstm.model.tokenizer import Tokenizer

_SOMETHING_WRONG = 3


@configs.main("validate")
def main(cfg: DictConfig) -> int:
    """Examine the manifest and print a table, or JSON."""
    tokenizer: Tokenizer | None
    if cfg.bundle is not None:
        bundle = load_bundle(cfg.bundle)
        model, tokenizer = bundle.model, bundle.tokenizer
    else:
        texts = [utterance.text for _, utterance in read_entries(cfg.alphabet or cfg.manifest)[0]]
        tokenizer = (
            configs.build_part("tokenizer", cfg.tokenizer, texts=texts) if "".join(texts).strip() else None
        )
        features = configs.build_part("features", cfg.features)
        sizes = {"num_features": features.num_features, "vocab_size": 2}
        with weights_follow():  # never: only its frames are counted
            model = AcousticModel(features, configs.build_part("encoder", cfg.encoder, **sizes))

    def num_encoder_frames(seconds: float) -> int:
        return model.num_frames(round(seconds * model.sample_rate))

    report = doctor.examine(
        cfg.manifest, tokenizer, num_encoder_frames, cfg.against, cfg.threads, parse_channel(cfg.channel)
    )
    print(report.to_json() if cfg.format == "json" else report.table(cfg.examples))
    return _SOMETHING_WRONG if report.wrong else 0
