"""Decoders each of which breaks one clause of their contract, and a good one."""

from __future__ import annotations

import multiprocessing
import time
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from speechlstm.decoders import Decoder
from speechlstm.decoders.base import collapse
from speechlstm.model.tokenizer import Tokenizer
from speechlstm.types import Hypothesis


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
