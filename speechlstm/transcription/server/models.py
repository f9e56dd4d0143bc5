"""The models of a server, by name."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from speechlstm.decoders import Decoder
from speechlstm.transcription.batches import SpeechModel
from speechlstm.transcription.recognizer import Recognizer
from speechlstm.transcription.server.answers import RequestError
from speechlstm.types import SpeechlstmError

_KEPT = 4  # decoders with hotwords: those of a large lexicon take seconds to make

_MOST = 1000  # keywords of a request

Hotwords = tuple[str, ...]


def to_hotwords(keywords: Any) -> Hotwords:
    """Return what a client gives as keywords.

    Raises:
        RequestError: it is no list of phrases, or a long one.
    """
    if not isinstance(keywords, list) or not all(isinstance(each, str) for each in keywords):
        raise RequestError(400, "keywords must be a list of phrases", "keywords")
    phrases = tuple(phrase for each in keywords if (phrase := " ".join(each.split())))
    if len(phrases) > _MOST:
        raise RequestError(400, f"there are {len(phrases)} keywords, but may be {_MOST}", "keywords")
    return phrases


class HotwordsError(SpeechlstmError):
    """Hotwords that the decoder of a model cannot favor."""


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model as clients know it.

    Attributes:
        name: for clients.
        recognizer: for live speech.
        model: the same for recordings, which share batches.
        decoder: of requests without hotwords.
        create_decoder: makes one that favors hotwords.
    """

    name: str
    recognizer: Recognizer
    model: SpeechModel
    decoder: Decoder
    create_decoder: Callable[[Hotwords], Decoder]
    _made: OrderedDict[Hotwords, Decoder] = field(default_factory=OrderedDict)
    _making: threading.Lock = field(default_factory=threading.Lock)

    def find_decoder(self, hotwords: Hotwords) -> Decoder:
        """Return the decoder that favors hotwords, if there are any.

        Raises:
            HotwordsError: the decoder takes none, or not these.
        """
        if not hotwords:
            return self.decoder
        with self._making:
            try:
                decoder = self._made.pop(hotwords, None) or self.create_decoder(hotwords)
            except SpeechlstmError as error:
                raise HotwordsError(str(error)) from None
            self._made[hotwords] = decoder
            if len(self._made) > _KEPT:
                self._made.popitem(last=False)
        return decoder


class Models:
    """The models of a server; the first is that of requests which name none."""

    def __init__(self, models: Iterable[ServedModel]) -> None:
        self._models = {model.name: model for model in models}

    @property
    def names(self) -> list[str]:
        """Their names, that of the default first."""
        return list(self._models)

    def find(self, name: str) -> ServedModel:
        """Return the model of a name, or the default if it is empty.

        Raises:
            RequestError: there is none.
        """
        name = name or self.names[0]
        if name not in self._models:
            there = f"there is {self.names[0]!r}" if len(self.names) == 1 else f"there are {self._listed()}"
            message = f"the model {name!r} does not exist; {there}"
            raise RequestError(404, message, "model", "model_not_found")
        return self._models[name]

    def _listed(self) -> str:
        return ", ".join(map(repr, self.names))
