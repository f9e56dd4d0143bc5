"""The contract for decoders: greedy search keeps it, and for each clause there is a decoder that breaks only that."""

from __future__ import annotations

import math
import multiprocessing
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from speechlstm.decoders import Decoder
from speechlstm.decoders.base import collapse
from speechlstm.decoders.contract import DecoderContract
from speechlstm.decoders.posteriors import certain, mumbled, padded, spoken
from speechlstm.model.contract import check
from speechlstm.model.registry import parameters
from speechlstm.model.tokenizer import Characters, Tokenizer
from speechlstm.types import Hypothesis

NO_GPU = "a gpu is taken"
SPAWN = "test_a_spawned_process_gives_the_same"


class TestGreedy(DecoderContract):
    name = "greedy"


class Good(Decoder):
    """Best path, as the base class wants it."""

    def decode(self, log_probs: Tensor) -> list[Hypothesis]:
        best, ids = log_probs.max(-1)
        return [collapse(best.numpy(), ids.numpy())]


def sure(hypothesis: Hypothesis) -> bool:
    return bool(hypothesis.tokens) and min(hypothesis.confidences) > 0.9


def without(hypothesis: Hypothesis, index: int) -> Hypothesis:
    """Leave out one token."""
    lists = ("tokens", "starts", "ends", "confidences")
    return replace(
        hypothesis,
        **{name: [v for i, v in enumerate(getattr(hypothesis, name)) if i != index] for name in lists},
    )


class LosesTheEnd(Good):
    def decode(self, log_probs: Tensor) -> list[Hypothesis]:
        [best] = super().decode(log_probs)
        return [without(best, len(best.tokens) - 1) if sure(best) and len(best.tokens) > 20 else best]


class KeepsRepeats(Good):
    def decode(self, log_probs: Tensor) -> list[Hypothesis]:
        [best] = super().decode(log_probs)
        if not sure(best) or best.ends[0] - best.starts[0] < 3:
            return [best]
        twice = Hypothesis(
            [best.tokens[0], *best.tokens], [best.starts[0], best.starts[0] + 1, *best.starts[1:]],
            [best.starts[0] + 1, *best.ends], best.score, [1.0, *best.confidences],
        )  # fmt: skip
        return [twice]


class JoinsAcrossBlanks(Good):
    def decode(self, log_probs: Tensor) -> list[Hypothesis]:
        [best] = super().decode(log_probs)
        for index in range(len(best.tokens) - 1, 0, -1):
            if sure(best) and best.tokens[index] == best.tokens[index - 1]:
                best = without(best, index)
        return [best]


class HearsSilence(Good):
    def decode(self, log_probs: Tensor) -> list[Hypothesis]:
        [best] = super().decode(log_probs)
        return [Hypothesis([2], [0], [1], 0.0, [0.5]) if not best.tokens and len(log_probs) > 1 else best]


class HearsNothing(Good):
    def decode(self, log_probs: Tensor) -> list[Hypothesis]:
        return [replace(super().decode(log_probs)[0], text=None if len(log_probs) else "uh")]


class NeedsTwoFrames(Good):
    def decode(self, log_probs: Tensor) -> list[Hypothesis]:
        return [Hypothesis([], [], [], 0.0, [])] if len(log_probs) == 1 else super().decode(log_probs)


class BestLast(Good):
    def decode(self, log_probs: Tensor) -> list[Hypothesis]:
        [best] = super().decode(log_probs)
        return [best, replace(best, score=best.score + 1)]


class BeyondTheEnd(Good):
    def decode(self, log_probs: Tensor) -> list[Hypothesis]:
        [best] = super().decode(log_probs)
        return [best, replace(best, ends=[end + 1000 for end in best.ends])]


class MoreThanCertain(Good):
    def decode(self, log_probs: Tensor) -> list[Hypothesis]:
        [best] = super().decode(log_probs)
        return [best, replace(best, confidences=[1.01] * len(best.tokens))]


class ReadsThePadding(Good):
    def decode_batch(self, log_probs: Tensor, lengths: Tensor) -> list[list[Hypothesis]]:
        return [self.decode(row) for row in log_probs.float()]


class Wavers(Good):
    calls = 0

    def decode(self, log_probs: Tensor) -> list[Hypothesis]:
        self.calls += 1
        [best] = super().decode(log_probs)
        return [replace(best, score=best.score - 1e-6 * self.calls)]


class KeepsState(Good):
    def decode(self, log_probs: Tensor) -> list[Hypothesis]:
        self.row = log_probs
        time.sleep(0.002)
        return (
            super().decode(self.row)[:1] if len(self.row) == len(log_probs) else super().decode(log_probs[:0])
        )


class AtHomeOnly(Good):
    def decode(self, log_probs: Tensor) -> list[Hypothesis]:
        return super().decode(log_probs[: None if multiprocessing.parent_process() is None else 0])


class FullPrecisionOnly(Good):
    def decode_batch(self, log_probs: Tensor, lengths: Tensor) -> list[list[Hypothesis]]:
        if log_probs.dtype != torch.float32:
            raise TypeError(f"I want float32, not {log_probs.dtype}")
        return super().decode_batch(log_probs, lengths)


class MultipliesInfinity(Good):
    def decode(self, log_probs: Tensor) -> list[Hypothesis]:
        [best] = super().decode(log_probs)
        chosen = torch.nn.functional.one_hot(log_probs.argmax(-1), log_probs.shape[-1])
        return [replace(best, score=float((log_probs * chosen).sum()))]


class WritesItsInput(Good):
    def decode(self, log_probs: Tensor) -> list[Hypothesis]:
        found = super().decode(log_probs)
        if len(log_probs):
            log_probs[0, log_probs[0].argmin()] -= 1e-3
        return found


class NotInTheYaml(Good):
    def __init__(self, tokenizer: Tokenizer, left_out: int = 1) -> None:
        super().__init__(tokenizer)


class WeighsNothing(Good):
    def __init__(self, tokenizer: Tokenizer, lm: str | None = None, lm_weight: float = 1.0) -> None:
        super().__init__(tokenizer)
        self.words = Path(lm).read_text().count("\t") if lm else 0

    def decode(self, log_probs: Tensor) -> list[Hypothesis]:
        [best] = super().decode(log_probs)
        return [without(best, 0) if self.words else best]


class Narrows(Good):
    def __init__(self, tokenizer: Tokenizer, beam_size: int = 8) -> None:
        super().__init__(tokenizer)
        self.beam_size = beam_size

    def decode(self, log_probs: Tensor) -> list[Hypothesis]:
        [best] = super().decode(log_probs)
        return [replace(best, score=best.score - self.beam_size)]


BROKEN = [
    (LosesTheEnd, "certain posteriors give the certain text", "'dog lazy .* a' is decoded as 'dog lazy .* the'"),
    (KeepsRepeats, "repeats are one token", "is decoded as 'aa the.*each token lasts three frames"),
    (JoinsAcrossBlanks, "a blank separates doubled letters", "'tree' is decoded as 'tre': do not join"),
    (HearsSilence, "only blanks are no text", "20 frames are surely blank"),
    (HearsNothing, "no frames are no text", "without frames is decoded as 'uh'"),
    (NeedsTwoFrames, "one frame is enough", "one frame of 'a' is decoded as ''"),
    (BestLast, "scores are sorted", r"scores are \[-.*put the greatest first"),
    (BeyondTheEnd, "frames increase and are in range", r"hypothesis 1 has .*frames \[.* and end at \[10"),
    (MoreThanCertain, "confidences are probabilities", r"confidences are \[1\.01"),
    (ReadsThePadding, "a padded batch equals one by one", "BROKEN returned for utterance 1 .*score nan"),
    (Wavers, "it is deterministic", "the same input decoded twice gives"),
    (KeepsState, "two threads give what one gives", r"keep nothing of an utterance in self\) gives"),
    (AtHomeOnly, "a spawned process gives the same", "in this process and in a new one gives"),
    (FullPrecisionOnly, "half precision is taken", "BROKEN failed: TypeError: I want float32, not torch.float16"),
    (MultipliesInfinity, "impossible tokens are taken", "BROKEN returned for utterance 0 .*score nan"),
    (WritesItsInput, "log probs are left alone", "work on a copy"),
    (NotInTheYaml, "the yaml names it and has its settings", "lacks left_out: add each with its unit"),
    (WeighsNothing, "lm weight 0 is no lm", "without lm the text is '.*', with lm_weight=0 '"),
    (Narrows, "a wider beam finds no less", r"mean scores are \[.*\] where beam_size is \[1, 4, 16\]"),
]  # fmt: skip


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install the decoders above as a package, so that processes and configs find them by name."""
    folder = tmp_path / "broken_decoders" / "conf" / "decoder"
    folder.mkdir(parents=True)
    (tmp_path / "broken_decoders" / "__init__.py").write_text(f"from {__name__} import *\n")
    points = []
    for kind in [Good, *(kind for kind, _, _ in BROKEN)]:
        settings = {"name": kind.__name__} | parameters("decoder", kind)
        lines = [f"{key}: {'null' if value is None else value}\n" for key, value in settings.items()]
        (folder / f"{kind.__name__}.yaml").write_text(
            "".join(line for line in lines if "left_out" not in line)
        )
        points.append(f"{kind.__name__} = broken_decoders:{kind.__name__}\n")
    info = tmp_path / "broken-0.3.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 0.3\n")
    (info / "entry_points.txt").write_text("[speechlstm.decoders]\n" + "".join(points))
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def contract(name: str, **attributes: Any) -> type[DecoderContract]:
    return type("Contract", (DecoderContract,), {"name": name, **attributes})


def failures(kind: type[DecoderContract]) -> dict[str, str]:
    return {verdict.clause: verdict.reason for verdict in check(kind) if verdict.outcome == "failed"}


@pytest.mark.parametrize(
    ("kind", "clause", "reason"), BROKEN, ids=lambda value: getattr(value, "__name__", "")
)
def test_a_broken_decoder_fails_exactly_its_clause(
    site: Path, kind: type[Decoder], clause: str, reason: str
) -> None:
    # A new process takes seconds; those whose fault does not lie there are spared it.
    spared = {} if kind is AtHomeOnly else {SPAWN: lambda self: None}
    found = failures(contract(kind.__name__, **spared))
    assert list(found) == [clause], found
    wanted = reason.replace("BROKEN", f"decoder '{kind.__name__}' of broken 0.3")
    assert re.search(wanted, found[clause], re.DOTALL), found[clause]


def test_every_clause_has_its_breaker() -> None:
    clauses = {
        name.removeprefix("test_").replace("_", " ") for name in dir(DecoderContract) if "test_" in name
    }
    assert clauses == {clause for _, clause, _ in BROKEN} | {NO_GPU}


def test_a_good_one_passes_and_skips_say_why(site: Path) -> None:
    verdicts = {verdict.clause: verdict for verdict in check(contract("Good"))}
    assert {verdict.outcome for verdict in verdicts.values()} == {"passed", "skipped"}
    assert all(verdict.reason for verdict in verdicts.values() if verdict.outcome == "skipped")
    assert verdicts["a wider beam finds no less"].reason == "the decoder has no beam_size"


def test_a_closed_vocabulary_is_declared_by_its_words(site: Path) -> None:
    [reason] = failures(
        contract("JoinsAcrossBlanks", words=["tea", "bee"], **{SPAWN: lambda self: None})
    ).values()
    assert "'bee' is decoded as 'be'" in reason
    verdicts = check(contract("JoinsAcrossBlanks", words=["tea", "cup"], **{SPAWN: lambda self: None}))
    assert {verdict.clause: verdict.reason for verdict in verdicts if verdict.outcome != "passed"} == {
        "a blank separates doubled letters": "none of `words` has a doubled letter",
        NO_GPU: "there is no GPU here",
        "lm weight 0 is no lm": "the decoder takes no lm with an lm_weight, or always needs one",
        "a wider beam finds no less": "the decoder has no beam_size",
    } or torch.cuda.is_available()


def test_a_clause_set_to_none_is_left_out(site: Path) -> None:
    kind = contract("HearsNothing", test_no_frames_are_no_text=None, **{SPAWN: None})
    clauses = [verdict.clause for verdict in check(kind)]
    assert "no frames are no text" not in clauses and len(clauses) == 18 and not failures(kind)


def test_an_unknown_decoder_fails_every_clause_with_the_names_there_are(site: Path) -> None:
    found = failures(contract("nobody", **{SPAWN: lambda self: None}))
    assert len(found) > 10 and all("nobody" in reason for reason in found.values()), found


# posteriors


TOKENS = Characters.from_texts(["ab"])


def test_spoken_posteriors_are_what_they_say() -> None:
    log_probs = spoken(TOKENS, "ab", hold=2, gap=1, sure=0.7)
    assert log_probs.argmax(-1).tolist() == [0, 2, 2, 0, 3, 3, 0]
    assert log_probs.max(-1).values.exp().tolist() == pytest.approx([0.7] * 7)
    assert log_probs.exp().sum(-1).tolist() == pytest.approx([1.0] * 7)
    assert certain([1], 3, sure=1.0).tolist() == [[-math.inf, 0.0, -math.inf]]


def test_mumbled_posteriors_depend_on_nothing_but_the_seed() -> None:
    assert torch.equal(mumbled(TOKENS, "a b", 3), mumbled(TOKENS, "a b", 3))
    assert not torch.equal(mumbled(TOKENS, "a b", 3), mumbled(TOKENS, "a b", 4))
    quiet = mumbled(TOKENS, "a b", 3, noise=0.0)
    assert quiet.argmax(-1).tolist() == [0, 2, 2, 0, 1, 1, 0, 3, 3, 0]


def test_padded_keeps_the_rows() -> None:
    log_probs, lengths = padded([torch.ones(2, 3), torch.ones(0, 3)], padding=7.0)
    assert lengths.tolist() == [2, 0] and log_probs.shape == (2, 2, 3)
    assert log_probs[0].eq(1).all() and log_probs[1].eq(7).all()
