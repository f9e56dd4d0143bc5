"""The decoder of a recognizer: given, named with its settings, or the one that belongs to the bundle."""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType
from typing import Annotated, Any

from speechlstm import decoders
from speechlstm.decoders import Decoder
from speechlstm.model.bundle import Bundle, naming_decoder_file
from speechlstm.model.settings import Kind, check_argument
from speechlstm.types import UsageError

_Name = Annotated[object, Kind((str, NoneType), "the name of a decoder, a Decoder, or None")]
_OF_THE_MODEL = ("name", "tokenizer")


def find_decoder(bundle: Bundle, decoder: str | Decoder | None, params: Mapping[str, Any]) -> Decoder:
    """Return the decoder that is given, or make the one of a name; None is the one that belongs to the bundle.

    Raises:
        UsageError: there is no such decoder, or it takes no such settings.
        BundleError: the same of the decoder that the bundle names.
    """
    if isinstance(decoder, Decoder):
        if params:
            kind = type(decoder).__name__
            raise UsageError(
                f"{next(iter(params))} is a setting of a decoder that is given by its name, but decoder is a {kind}; "
                f"make the {kind} with this setting"
            )
        return decoder
    check_argument("decoder", decoder, _Name)
    if wrong := [key for key in _OF_THE_MODEL if key in params]:
        raise UsageError(
            f"{wrong[0]} is no setting of a decoder; choose one with decoder='beam', for example"
        )
    own = decoder in (None, bundle.decoder.get("name"))
    settings = dict(bundle.decoder) if own else {}
    settings = {"name": "greedy" if decoder is None else decoder} | settings | dict(params)
    with naming_decoder_file(bundle, settings):
        return decoders.create(**settings, tokenizer=bundle.tokenizer)
