"""Prefix beam search with a language model, a lexicon and hotwords."""

from speechlstm.decoders.beam.decoder import BeamDecoder

__all__ = ["BeamDecoder"]
