"""CTC prefix beam search by fast-ctc-decode, a small search written in Rust."""

from __future__ import annotations

import fast_ctc_decode
from torch import Tensor

from speechlstm.decoders import Decoder
from speechlstm.model.tokenizer import Tokenizer
from speechlstm.types import Hypothesis

_FIRST = 0xF0000  # the library writes a character for each token: these 65,534 are nobody's


class FastCtcDecoder(Decoder):
    """Prefix beam search in Rust, without language model: one hypothesis, its score the exact CTC probability.

    Args:
        tokenizer: whose ids it decodes, at most 65,534.
        beam_size: prefixes kept after each frame.
        beam_cut_threshold: tokens less probable than this in a frame are not tried there; at most `1 / tokens`,
            which is what more becomes.

    Raises:
        ValueError: a parameter out of range.
    """

    def __init__(self, tokenizer: Tokenizer, beam_size: int = 25, beam_cut_threshold: float = 1e-3) -> None:
        super().__init__(tokenizer)
        if beam_size < 1:
            raise ValueError(f"beam_size is {beam_size}, but must be 1 or more")
        if not 0 <= beam_cut_threshold <= 1:
            raise ValueError(f"beam_cut_threshold is {beam_cut_threshold}, but must lie between 0 and 1")
        if len(tokenizer) > 65_534:
            raise ValueError(f"the tokenizer has {len(tokenizer)} tokens, but this search takes 65534")
        self.beam_size = beam_size
        self.beam_cut_threshold = min(beam_cut_threshold, 0.999 / len(tokenizer))
        self.alphabet = [chr(_FIRST + index) for index in range(len(tokenizer))]

    def decode(self, log_probs: Tensor) -> list[Hypothesis]:
        """Decode one utterance `(frames, vocab)`; always one hypothesis."""
        probabilities = log_probs.exp().numpy()
        # The frames that come with the text are those in which the search first thought of a token, not where it
        # lies, and there is no score; the base class finds both for the text.
        text, _ = fast_ctc_decode.beam_search(
            probabilities, self.alphabet, self.beam_size, self.beam_cut_threshold
        )
        return [self.align(log_probs, [ord(character) - _FIRST for character in text])]
