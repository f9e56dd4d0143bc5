"""Small language models and phones, and the command `plugins` where packages can be installed and a bundle spells."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from plugin_packages import SAID, Bundle
from spelling import write
from weighed_lexicon import LEXICON, phones_file

import speechlstm
from speechlstm.cli import plugins as command
from speechlstm.decoders.lm import NGram, load
from speechlstm.model.tokenizer import Phones

WORD_LM = """\\data\\
ngram 1=6
ngram 2=6

\\1-grams:
-1.2\t<unk>
-99\t<s>\t-0.4
-0.9\t</s>
-0.7\ta\t-0.3
-1.1\tab\t-0.2
-0.8\tb\t-0.1

\\2-grams:
-0.2\t<s> ab
-0.5\ta b
-0.3\tab a
-1.5\tb b
-0.4\tb </s>
-0.6\ta </s>

\\end\\
"""
TOKEN_LM = """\\data\\
ngram 1=6
ngram 2=5

\\1-grams:
-2\t<unk>
-99\t<s>\t-0.4
-0.9\t</s>
-0.7\ta\t-0.3
-1.1\tb\t-0.2
-0.8\t<space>\t-0.1

\\2-grams:
-0.2\t<s> b
-0.5\ta b
-0.3\t<space> a
-1.5\tb b
-0.4\tb </s>

\\end\\
"""


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, NGram]:
    """Return a model of words and one of tokens."""
    folder = tmp_path_factory.mktemp("lm")
    (folder / "word.arpa").write_text(WORD_LM)
    (folder / "token.arpa").write_text(TOKEN_LM)
    return {name: load(folder / f"{name}.arpa") for name in ("word", "token")}


@pytest.fixture(scope="session")
def phones(tmp_path_factory: pytest.TempPathFactory) -> Phones:
    """Return phones whose lexicon has probabilities: <blank> | A B."""
    path = phones_file(tmp_path_factory.mktemp("lexicon"), LEXICON)
    return Phones.from_texts(["ay bee ba"], path)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Make a folder that packages can be installed into, and forget them afterwards."""
    (tmp_path / "site").mkdir()
    monkeypatch.syspath_prepend(tmp_path / "site")
    yield tmp_path / "site"
    for path in (tmp_path / "site").iterdir():
        sys.modules.pop(path.name, None)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """Return a bundle that spells, with files of its own."""
    (tmp_path / "bundle").mkdir()
    for name in ("config.json", "model.safetensors"):
        (tmp_path / "bundle" / name).write_text(name)
    return Bundle(tmp_path / "bundle")


@pytest.fixture
def plugins(
    bundle: Bundle,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    run_command: Callable[..., tuple[int, str, str]],
) -> Callable[..., tuple[int, str, str]]:
    """Return a function that runs `speechlstm plugins` in a folder with a manifest."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPEECHLSTM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(speechlstm, "load", lambda path, device: bundle)
    lines = []
    for name, (said, spelled) in SAID.items():
        write(Path(f"audio/{name}.wav"), spelled, 1.0)
        lines.append({"audio_filepath": f"audio/{name}.wav", "duration": 1.0, "text": said})
    Path("m.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return partial(run_command, command)
