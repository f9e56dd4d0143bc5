"""CTC prefix beam search on the GPU, by torchaudio's `cuda_ctc_decoder`: a decoder that works on whole batches."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from speechlstm.decoders import Decoder
from speechlstm.model.tokenizer import Tokenizer
from speechlstm.types import Hypothesis, UsageError

MOST = 128  # prefixes that the kernels have room for
_TABLE = 2**31 - 1  # the kernels number `utterances * prefixes * frames * tokens` with 32 bits


class CudaDecoder(Decoder):
    """Prefix beam search on the GPU for whole batches, without language model; the score is the exact CTC probability.

    Log-probabilities on the CPU are taken to the GPU first. Hypotheses get their frames and scores on the CPU.

    Args:
        tokenizer: whose ids it decodes.
        beam_size: prefixes kept after each frame, at most 128 and at most as many as there are tokens.
        n_best: most hypotheses returned.
        blank_skip_threshold: frames whose blank is more probable than this are skipped; 1 skips none.

    Raises:
        UsageError: a parameter out of range, or there is no GPU.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        beam_size: int = 16,
        n_best: int = 1,
        blank_skip_threshold: float = 0.95,
    ) -> None:
        super().__init__(tokenizer)
        for name, value in (("beam_size", beam_size), ("n_best", n_best)):
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST:
                raise UsageError(f"{name} is {value!r}, but must be a whole number from 1 to {MOST}")
        if isinstance(blank_skip_threshold, bool | str) or not 0 < blank_skip_threshold <= 1:
            raise UsageError(
                f"blank_skip_threshold is {blank_skip_threshold!r}, but must be a probability above 0"
            )
        if not torch.cuda.is_available():
            raise UsageError(
                "decoder=cuda searches on an NVIDIA GPU, and torch finds none here; decoder=beam needs none"
            )
        from torchaudio.models.decoder import cuda_ctc_decoder  # its kernels are loaded with it

        self.beam_size = min(beam_size, len(tokenizer))
        self.n_best = min(n_best, self.beam_size)
        # Where there are several GPUs it uses the current one, and so does `decode_batch`.
        self.search = cuda_ctc_decoder(tokenizer.tokens, self.n_best, self.beam_size, blank_skip_threshold)
        self.device = torch.device("cuda", torch.cuda.current_device())
        self.lock = threading.Lock()  # the search keeps a batch's tables in itself

    def decode_batch(self, log_probs: Tensor, lengths: Tensor) -> list[list[Hypothesis]]:
        """Decode a padded batch on the GPU, in parts if its tables would be too large."""
        rows = log_probs.to("cpu", torch.float32)  # for the frames and scores of what is found
        results: list[list[Hypothesis]] = []
        for part in parts(len(rows), self.beam_size * rows.shape[1] * rows.shape[2]):
            sequences = self._search(log_probs[part], lengths[part])
            for row, length, tokens in zip(rows[part], lengths[part].tolist(), sequences, strict=True):
                hypotheses = (self.align(row[:length], each) for each in tokens)
                results.append(sorted(hypotheses, key=lambda each: -each.score))
        return results

    def _search(self, log_probs: Tensor, lengths: Tensor) -> list[list[list[int]]]:
        """Return for each utterance the token sequences that were found, different ones, best first."""
        longest = int(lengths.max())
        if not longest:  # the kernels do not expect that
            return [[[]]] * len(lengths)
        # NaN in the padding would spread; minus infinity would become NaN.
        clean = log_probs[:, :longest].detach().to(self.device, torch.float32).nan_to_num(neginf=-1e4)
        with self.lock:
            results = self.search(clean.contiguous(), lengths.to(self.device, torch.int32))
        sequences = []
        for hypotheses, length in zip(results, lengths.tolist(), strict=True):
            tokens = [list(map(int, each.tokens)) for each in hypotheses]
            fitting = [
                each for each in tokens if frames_needed(each) <= length
            ]  # what is left of other utterances
            sequences.append([list(each) for each in dict.fromkeys(map(tuple, fitting))] or [[]])
        return sequences


def parts(utterances: int, size: int) -> Iterator[slice]:
    """Yield slices of a batch whose tables have at most 2^31 - 1 entries, `size` for each utterance."""
    step = max(1, _TABLE // max(size, 1))
    for start in range(0, utterances, step):
        yield slice(start, min(start + step, utterances))


def frames_needed(tokens: list[int]) -> int:
    """Return how many frames a token sequence takes at least: one each, and a blank between equal ones."""
    return len(tokens) + sum(a == b for a, b in pairwise(tokens))
