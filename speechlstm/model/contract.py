"""The common base of the contracts of all stages: a named part, its settings in YAML, and a way to run without pytest.

Three lines in a test file run all tests of a stage under pytest:

    from speechlstm.decoders.contract import DecoderContract

    class TestMine(DecoderContract):
        name = "mine"

`EncoderContract`, `FeaturesContract` and `TokenizerContract` are in `speechlstm.model.STAGE.contract`. `speechlstm
plugins check=mine` runs the same without pytest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar
from unittest import SkipTest  # pytest takes it for a skip, too

from omegaconf import OmegaConf
from torch import Tensor

from speechlstm.model import installed, registry
from speechlstm.types import SpeechlstmError

SAMPLE_RATE = 8000  # Hz, of the features that are made


class Contract:
    """What a part must do to be of use: subclass the contract of its stage, name the part, and run pytest.

    A clause that cannot hold is left out, and seen to be, by setting it to None in the subclass.
    """

    stage: ClassVar[str] = ""
    name: ClassVar[str] = ""  # of the part, the entry point's
    params: ClassVar[Mapping[str, Any]] = {}  # its settings where they differ from those of its YAML

    def test_the_yaml_names_it_and_has_its_settings(self) -> None:
        """`conf/<stage>/<name>.yaml` exists, names the part, has each of its settings, and makes it."""
        settings = installed.settings(self.stage, self.name)
        given, own = set(settings), set(self.parameters)
        require(settings.get("name") == self.name, f"name in the YAML must be {self.name}")
        missing, unknown = sorted(own - given), sorted(given - own - {"name"})
        require(not missing, f"the YAML lacks {', '.join(missing)}: add each with its unit in a comment")
        require(not unknown, f"the YAML sets {', '.join(unknown)}, which the {self.stage} does not take")
        self.make()

    @property
    def parameters(self) -> dict[str, Any]:
        """The settings that the class takes, with its own defaults."""
        return registry.parameters(self.stage, registry.load(self.stage, self.name))

    def make(self, **params: Any) -> Any:
        """Make the part with the settings of its YAML and its `params`; further ones go before them."""
        named = {"name": self.name}  # also where the YAML has another name, or none
        return registry.create(
            self.stage, **{**self.settings(), **self.given(), **self.params, **params, **named}
        )

    def settings(self) -> dict[str, Any]:
        """Return what its YAML sets, and its `params` before that."""
        tree = {"lm": None, "sample_rate": SAMPLE_RATE, "part": installed.settings(self.stage, self.name)}
        settings: Any = OmegaConf.to_container(OmegaConf.create(tree), resolve=True)
        return {**settings["part"], **self.params}

    def given(self) -> dict[str, Any]:
        """Return what follows from other stages."""
        return {}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one clause: `outcome` is `"passed"`, `"failed"` or `"skipped"`, with the reason."""

    clause: str
    outcome: str
    reason: str = ""


def check(contract: type[Contract]) -> Iterator[Verdict]:
    """Run a contract's clauses one after another, without pytest."""
    names = {
        name: None for kind in reversed(contract.__mro__) for name in vars(kind) if name.startswith("test_")
    }
    for name in names:
        if getattr(contract, name) is None:  # how a subclass leaves a clause out
            continue
        clause = name.removeprefix("test_").replace("_", " ")
        try:
            getattr(contract(), name)()
        except SkipTest as reason:
            yield Verdict(clause, "skipped", str(reason))
        except Exception as error:  # whatever the part raises
            plain = isinstance(error, AssertionError | SpeechlstmError)
            yield Verdict(clause, "failed", str(error) if plain else f"{type(error).__name__}: {error}")
        else:
            yield Verdict(clause, "passed")


def require(condition: bool, message: str) -> None:
    """Raise an AssertionError with a message unless a condition holds."""
    if not condition:  # not an assert, which pytest rewrites in test files only and `python -O` leaves out
        raise AssertionError(message)


def require_same(one: Tensor, other: Tensor, what: str, tolerance: float = 1e-4) -> None:
    """Raise an AssertionError unless two tensors are the same, to an absolute tolerance."""
    require(one.shape == other.shape, f"{what}: shapes {tuple(one.shape)} and {tuple(other.shape)}")
    most = float((one - other).abs().max()) if one.numel() else 0.0
    require(most <= tolerance, f"{what} differs by {most:.2g}")  # false for NaN
