"""Check that this installation reproduces the outputs of a bundle."""

from __future__ import annotations

from omegaconf import DictConfig

from speechlstm import configs
from speechlstm.model.bundle import load_bundle
from speechlstm.model.selftest import verify


@configs.main("verify")
def main(cfg: DictConfig) -> int:
    """Compare the bundle's self-test with what this machine computes; exit status 1 when they differ."""
    bundle = load_bundle(cfg.bundle)
    bundle.model.to(cfg.device)
    difference = verify(bundle)
    good = difference <= cfg.tolerance
    print(
        f"{bundle.path}: {'reproduced' if good else 'NOT reproduced'}: log-probabilities differ by at most "
        f"{difference:.1e} (allowed {cfg.tolerance:.0e}, natural log)"
    )
    return 0 if good else 1
