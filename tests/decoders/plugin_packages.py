"""Packages with a decoder, installed for a test, and a bundle with files."""

from __future__ import annotations

from pathlib import Path

from spelling import SpellingBundle

CONFIG = "name: {name}\n"
SAID = {
    "one": ("yes no", "yes no"),
    "two": ("yes no no", "yes now no"),
    "three": ("oh", ""),
}  # said, and spelled
HEARS_ALL = '''
from speechlstm.decoders import Decoder
from speechlstm.decoders.base import collapse

class Mine(Decoder):
    """Takes the best path.

    And keeps quiet about the rest.
    """

    def __init__(self, tokenizer, beam_size: int = 4, lm=None):
        super().__init__(tokenizer)
        self.lm, self.beam_size = lm, beam_size

    def decode(self, log_probs):
        best, ids = log_probs.max(-1)
        if self.lm or self.beam_size > 100:
            ids = ids * 0
        return [collapse(best.numpy(), ids.numpy())]
'''


def plugin(folder: Path, name: str, source: str, config: str | None = None, package: str = "") -> None:
    """Install a package with one decoder, `name = name:Mine`."""
    (folder / name / "conf" / "decoder").mkdir(parents=True)
    (folder / name / "__init__.py").write_text(source)
    (folder / name / "conf" / "decoder" / f"{name}.yaml").write_text(config or CONFIG.format(name=name))
    info = folder / f"{package or name}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package or name}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[speechlstm.decoders]\n{name} = {name}:Mine\n")


class Bundle(SpellingBundle):
    """A spelling bundle with files, as those that are loaded have."""

    runtime, precision = "torch", "32-true"

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
