"""A trained recognizer, ready to transcribe and to align."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import torch
from torch import Tensor

from speechlstm.data.audio import AudioInput
from speechlstm.decoders import Decoder
from speechlstm.model.bundle import Bundle, load_bundle
from speechlstm.model.features import Features
from speechlstm.model.live import LiveModel
from speechlstm.model.settings import check_argument
from speechlstm.model.tokenizer import Tokenizer
from speechlstm.transcription import long
from speechlstm.transcription.batches import SpeechModel, in_order, recognize
from speechlstm.transcription.decoding import find_decoder
from speechlstm.transcription.devices import PRECISIONS, autocast, check_precision, find_device
from speechlstm.transcription.jobs import Part
from speechlstm.transcription.journal import Stretches
from speechlstm.transcription.live import Live, Stream
from speechlstm.transcription.runtimes import check_batch, find_runtime
from speechlstm.transcription.transcript import Transcript
from speechlstm.types import AudioError, SpeechlstmError, Utterance

if TYPE_CHECKING:
    from speechlstm.transcription.align import Alignment


class Recognizer:
    """A trained model on a device, with a decoder: what `speechlstm.load` returns.

    Args:
        bundle: the model and its tokenizer.
        device: where to compute.
        precision: of the encoder: 32-true, bf16-mixed, or, on a GPU, 16-mixed.
        decoder: the decoder, or the name of an installed one; None is the one that belongs to the bundle.
        runtime: what computes the model: torch, onnx or onnx-int8.
        **params: settings of a decoder that is given by its name, such as `lm`.

    Attributes:
        bundle: the model and its tokenizer.
        precision, runtime: as they were given.

    Raises:
        UsageError: the device cannot compute in this precision, or there is no such decoder or runtime.
        SpeechlstmError: there is no such device.
    """

    def __init__(
        self,
        bundle: Bundle,
        device: str | torch.device = "cpu",
        precision: str = "32-true",
        decoder: str | Decoder | None = None,
        runtime: str = "torch",
        **params: Any,
    ) -> None:
        check_argument("precision", precision, Literal[tuple(PRECISIONS)])
        self.bundle, self.precision, self.runtime = bundle, precision, runtime
        bundle.model.to(find_device(device))
        check_precision(precision, self.device)
        self._forward = find_runtime(bundle, runtime, self.device, precision)
        self._decoder: Decoder | None = None
        if decoder is not None or params:
            self._decoder = find_decoder(bundle, decoder, params)

    @property
    def decoder(self) -> Decoder:
        """What turns log-probabilities into hypotheses; the decoder of the bundle is made when it is first used."""
        if self._decoder is None:
            self._decoder = self.create_decoder()
        return self._decoder

    @property
    def name(self) -> str:
        """The model's name."""
        return self.bundle.name

    @property
    def path(self) -> Path:
        """The folder that the model came from."""
        return self.bundle.path

    @property
    def tokenizer(self) -> Tokenizer:
        """Whose ids the columns of the log-probabilities are."""
        return self.bundle.tokenizer

    @property
    def sample_rate(self) -> int:
        """Samples per second of the waveforms, in Hz."""
        return self.bundle.model.sample_rate

    @property
    def frame_shift(self) -> float:
        """Seconds from one frame of log-probabilities to the next."""
        return self.bundle.model.frame_shift

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return self.bundle.model.device

    def create_decoder(self, name: str | None = None, **params: Any) -> Decoder:
        """Make a decoder for this model's tokens; without a name the one that belongs to the bundle.

        Raises:
            UsageError: there is no such decoder, or it takes no such settings.
            BundleError: the same of the decoder that the bundle names.
        """
        return find_decoder(self.bundle, name, params)

    @torch.inference_mode()
    def log_probs(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Map `(batch, samples)` and lengths to log-probabilities `(batch, frames, vocab)` and lengths.

        Raises:
            UsageError: these are no such tensors.
        """
        check_batch(waveforms, lengths)
        with autocast(self.precision, self.device):
            log_probs, lengths = self._forward(waveforms.to(self.device), lengths.to(self.device))
        return log_probs, lengths

    def live(self) -> Live:
        """Begin the speech of one speaker, for `stream`: see `speechlstm.transcription.live.Live`.

        Features of an ONNX graph, or of a plugin without the base class, are normalized by what is held alone.
        """
        if self._forward is not self.bundle.model or not isinstance(self.bundle.model.features, Features):
            return self._again
        model = LiveModel(self.bundle.model)

        def forward(held: Tensor, start: int, last: bool) -> Tensor:
            with torch.inference_mode(), autocast(self.precision, self.device):
                return model(held.to(self.device), start, last)

        return forward

    def _again(self, held: Tensor, start: int, last: bool) -> Tensor:
        log_probs, lengths = self.log_probs(held[None], torch.tensor([len(held)]))
        return log_probs[0, : lengths[0]]

    @overload
    def transcribe(self, audio: AudioInput) -> Transcript: ...
    @overload
    def transcribe(self, audio: list[AudioInput]) -> list[Transcript]: ...
    def transcribe(self, audio: AudioInput | list[AudioInput]) -> Transcript | list[Transcript]:
        """Transcribe a recording, or a list of them, which is batched.

        Args:
            audio: a path, `(samples, sample_rate)`, or an open binary file; or a list of such.

        Raises:
            AudioError: a recording cannot be read. For results of the others use
                `speechlstm.transcription.recognizer.transcribe`.

        Examples:
            >>> recognizer = speechlstm.load("small")
            >>> recognizer.transcribe("call.wav").text
            'stop'
            >>> samples, rate = soundfile.read("call.wav", dtype="float32")
            >>> [each.text for each in recognizer.transcribe(["call.wav", (samples, rate)])]
            ['stop', 'stop']
        """
        inputs = audio if isinstance(audio, list) else [audio]
        made: list[Transcript] = []
        for result in in_order(transcribe(self, self.decoder, inputs)):
            if isinstance(result, AudioError):
                raise result
            made.append(result)
        return made if isinstance(audio, list) else made[0]

    def stream(self, step: float = 0.32, pause: float = 0.8) -> Stream:
        """Begin to recognize live speech, which is given to `accept` in blocks, at `sample_rate` Hz.

        Args:
            step: seconds of audio between two recognitions of the last seconds.
            pause: seconds without a word that make an endpoint.

        Raises:
            UsageError: one of them is not a number above 0.

        Examples:
            >>> samples, _ = soundfile.read("call.wav", dtype="float32")
            >>> stream = speechlstm.load("small").stream()
            >>> updates = [*stream.accept(samples), stream.finish()]
            >>> [word.text for update in updates for word in update.words]
            ['stop']
        """
        return Stream(self, self.decoder, step, pause)

    def align(self, audio: AudioInput, text: str) -> Alignment:
        """Find when each word and token of a known text is spoken.

        Raises:
            AudioError: the recording cannot be read or is too long.
            SpeechlstmError: the text cannot be written in the model's tokens, or the audio is too short for it.

        Examples:
            >>> (word,) = speechlstm.load("small").align("call.wav", "stop").transcript.words
            >>> word.text, 0 <= word.start < word.end < 1
            ('stop', True)
        """
        check_argument("text", text, str)
        from speechlstm.transcription.align import align  # brings numba, which transcribing does without

        ((_, result),) = align(self, [(audio, text)])
        if isinstance(result, SpeechlstmError):
            raise result
        return result


def load(
    bundle: str | Path | None = None,
    *,
    device: str | torch.device = "cpu",
    precision: str = "32-true",
    decoder: str | Decoder | None = None,
    runtime: str = "torch",
    **params: Any,
) -> Recognizer:
    """Load a recognizer.

    Args:
        bundle: folder written by `speechlstm train`, or the name of an installed model; None takes the one installed
            model, else the small one that ships with the package.
        device: where to compute, such as `"cpu"` or `"cuda"`.
        precision: of the encoder: `"32-true"`, `"bf16-mixed"`, or, on a GPU, `"16-mixed"`.
        decoder: the decoder, or the name of an installed one; None is the one that belongs to the bundle.
        runtime: what computes the model: `"torch"`, or `"onnx"` or `"onnx-int8"`, which need `speechlstm[onnx]`.
        **params: settings of a decoder that is given by its name, such as `lm="words.arpa"`.

    Returns:
        The recognizer.

    Raises:
        UsageError: the device cannot compute in this precision, or there is no such decoder or runtime.
        BundleError: the folder is not a bundle, is damaged, or was written by an incompatible version.

    Examples:
        >>> recognizer = speechlstm.load("small", decoder="beam", beam_size=8)
        >>> recognizer.sample_rate, recognizer.frame_shift
        (16000, 0.032)
    """
    return Recognizer(load_bundle(bundle), device, precision, decoder, runtime, **params)


def transcribe(
    recognizer: SpeechModel,
    decoder: Decoder,
    inputs: Sequence[AudioInput | Part | Utterance],
    batch_seconds: float = 120.0,
    threads: int = 1,
    claim: Callable[[], int] | None = None,
    strict_audio: bool = False,
    journal: Callable[[Part], Stretches | None] | None = None,
) -> Iterator[tuple[int, Transcript | AudioError]]:
    """Transcribe recordings in batches of similar length; a broken one does not stop the others.

    Recordings of over `speechlstm.transcription.batches.CUT_SECONDS` are cut, as `speechlstm.transcription.long` tells.

    Args:
        recognizer: gives the log-probabilities.
        decoder: turns them into hypotheses.
        inputs: whole recordings, or parts or utterances, of which only the stretch they name is read.
        batch_seconds: most seconds in a batch, see `speechlstm.transcription.batches.recognize`.
        threads: how many batches run at once on a CPU, see there.
        claim: says which batches are this process's, see there.
        strict_audio: damaged or truncated audio fails, see there.
        journal: returns the journal of a recording that is cut, by which an interrupted one goes on.

    Yields:
        `(index in inputs, transcript or the reason why there is none)`, each as soon as it is done.

    Raises:
        UsageError: `batch_seconds` or `threads` is no positive number.
    """
    for batch in recognize(recognizer, inputs, batch_seconds, threads, claim, strict_audio, cut=True):
        yield from batch.failures
        if batch.long is not None:
            job, warnings = batch.long, list[str]()
            blocks = job.stream(recognizer.sample_rate, strict_audio, warnings)
            try:
                made = long.transcribe(
                    recognizer, decoder, blocks, job.name, job.seconds, batch_seconds, threads,
                    journal(job.part) if journal else None,
                )  # fmt: skip
                yield job.index, replace(made, warnings=warnings).shifted(job.origin)
            except AudioError as error:
                yield job.index, error
        hypotheses = decoder(batch.log_probs, batch.lengths) if batch.recordings else []
        for recording, found in zip(batch.recordings, hypotheses, strict=True):
            yield recording.index, recording.transcript(found, recognizer)
