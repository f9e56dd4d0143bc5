"""Recognition on one device in this process, or on several that take turns with the batches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Annotated, Any, TypeVar

import torch

from speechlstm.data import progress
from speechlstm.model.settings import Kind, check_argument, shown
from speechlstm.types import SpeechlstmError, UsageError

Inputs = TypeVar("Inputs")
Result = TypeVar("Result", bound=tuple[Any, ...])

PRECISIONS = {"32-true": None, "bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}  # to recognize in


class Devices(ABC):
    """What a command computes on.

    Several devices are as many processes, each of which runs the whole command on its own device. They divide the
    work between `share` and the end of `merge`; with the results the first process goes on alone.

    Attributes:
        device: of this process.
        precision: of the encoder, in the trainer's words.
        is_first: whether this process speaks and reports for all.
    """

    device: torch.device
    precision: str
    is_first: bool

    @abstractmethod
    def share(self, inputs: Inputs) -> AbstractContextManager[Inputs]:
        """Begin together, all with the inputs of the first process; an error within ends all of them."""

    @property
    @abstractmethod
    def claim(self) -> Callable[[], int] | None:
        """What returns the number of the batch that this process does next; None where it does all of them."""

    @abstractmethod
    def merge(self, results: Iterable[Result], count: int, task: str, unit: str) -> Iterator[Result]:
        """Yield the results of all processes in the first, and none in the others, with a progress bar.

        Args:
            results: of this process, each beginning with the number of its input.
            count: of inputs.
            task: label of the bar.
            unit: word for an input.
        """


class OneDevice(Devices):
    """One device, in this process, whose results come as they are done."""

    is_first = True

    def __init__(self, device: str, precision: str) -> None:
        self.device, self.precision = torch.device(device), precision

    def share(self, inputs: Inputs) -> AbstractContextManager[Inputs]:
        """Return the inputs."""
        return nullcontext(inputs)

    @property
    def claim(self) -> None:
        """There is nobody to share the batches with."""

    def merge(self, results: Iterable[Result], count: int, task: str, unit: str) -> Iterator[Result]:
        """Yield the results."""
        yield from progress.track(results, task, count, unit=unit)


def find_device(device: str | torch.device) -> torch.device:
    """Return a device that can compute here.

    Raises:
        UsageError: it is not the name of a device.
        SpeechlstmError: there is no such device in this machine, or it holds no numbers.
    """
    wanted = "a device, such as 'cpu' or 'cuda'"
    check_argument("device", device, Annotated[object, Kind((str, torch.device), wanted)])
    try:
        found = torch.device(device)
    except RuntimeError:
        raise UsageError(f"device is {shown(device)}, but must be {wanted}") from None
    try:
        torch.zeros(1).to(found).tolist()
    except (
        Exception
    ) as error:  # RuntimeError, AssertionError, and the ImportError of a backend that is not there
        reason = str(error).splitlines()[0].partition(". ")[0]
        raise SpeechlstmError(f"device {str(device)!r} cannot be used ({reason}); use device='cpu'") from None
    return found


def autocast(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    """Return a context for one thread, in which matrix products are computed in one of `PRECISIONS`."""
    dtype = PRECISIONS[precision]
    return torch.autocast(device.type, dtype) if dtype else nullcontext()


def check_precision(precision: str, device: torch.device) -> None:
    """See whether a device can compute in a precision.

    Raises:
        UsageError: it cannot, or only by pretending to.
    """
    if precision in ("16-true", "bf16-true"):
        mixed = precision.replace("true", "mixed")
        raise UsageError(
            f"trainer.precision={precision} would compute features and loss in half precision, too, which learns "
            f"nothing; use {mixed}"
        )
    if precision == "16-mixed" and device.type == "cpu":
        raise UsageError("trainer.precision=16-mixed needs a GPU; use bf16-mixed or 32-true on a CPU")
    half = precision == "bf16-mixed" and device.type == "cuda"
    if half and not torch.cuda.is_bf16_supported(including_emulation=False):
        name = torch.cuda.get_device_name(device)
        raise UsageError(
            f"trainer.precision=bf16-mixed is beyond this {name}; use trainer.precision=16-mixed or 32-true"
        )
