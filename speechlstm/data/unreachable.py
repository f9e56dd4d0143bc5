"""Why a file at a URL cannot be had, as one sentence: each package for a scheme has errors of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from speechlstm.types import SpeechlstmError, counted

SECONDS = 30  # to wait for a web server to connect, to answer, or to go on
SLOWEST = 1000  # bytes a second, which is less than any speech takes: a server that sends less is given up

_YOURSELF = "or download the file yourself, and give that"
_REASONS = {  # by words in the names of the exceptions of Python, aiohttp, requests, and botocore; the first counts
    ("TooManyRedirects",): "the server redirects in a circle; check the address",
    ("RedirectClient",): "the server redirects to what is no web address; check the address",
    ("Certificate", "CertVerification"): "the server's certificate cannot be verified{}; check the address, "
    + _YOURSELF,
    (
        "SSL",
    ): "the server does not speak HTTPS as expected; check the address, and whether it begins with http://",
    ("InvalidURL", "InvalidUrl", "ParamValidation"): "not a valid address; check it",
    (
        "DNS",
        "gaierror",
        "NameResolution",
    ): "there is no server of this name; check the address and the network",
    (
        "Timeout",
    ): f"the server has sent nothing, or hardly anything, for {SECONDS} s; try again later, {_YOURSELF}",
    (
        "Payload",
        "Disconnected",
        "Reset",
        "IncompleteRead",
        "BrokenPipe",
    ): "the connection broke off; try again, " + _YOURSELF,
    ("Connect",): "no server answers; check the address and the network",
    (
        "ValueError",
        "TypeError",
        "KeyError",
        "IndexError",
        "AttributeError",
    ): "not a valid URL of this kind; check it",
}
_STATUS = {401: 403, 407: 403, 410: 404}  # of a web server, by the one with the same advice
_ADVICE = {403: "check the address and your permission", 404: "check the address"}
_LONGEST = 200  # characters of a message that is passed on


@contextlib.contextmanager
def explained(url: str, verb: str, kind: type[SpeechlstmError]) -> Iterator[None]:
    """Turn whatever a store raises into an error of this package.

    Args:
        url: of the file.
        verb: what cannot be done with it, such as `fetched`.
        kind: of the error.
    """
    try:
        yield
    except SpeechlstmError as error:
        raise kind(str(error)) from None
    except ImportError as error:
        scheme = url.partition(":")[0]
        raise kind(f"{url}: {scheme}:// needs another Python package: {_line(error)}") from None
    except Exception as error:
        cause = (
            error.__cause__ if isinstance(error, FileNotFoundError) else error
        )  # of a web server that refuses
        status = getattr(cause, "status", 0)
        if not isinstance(cause, Exception) or _STATUS.get(status, status) == 404:
            raise kind(f"{url}: there is no such file; check the address") from None
        raise kind(f"{url}: cannot be {verb}: {_reason(cause, status)}") from None


def too_slow(size: int, seconds: float) -> str:
    """Return what is wrong with a server that sends bytes, but hardly any."""
    return (
        f"the server has sent only {counted(size, 'byte')} in {seconds:.0f} s; try again later, {_YOURSELF}"
    )


def _reason(error: Exception, status: int) -> str:
    if status == 400 and error.__cause__ is not None:  # aiohttp's own, for an answer that it cannot read
        return "what answers is no web server; check the address"
    if status:
        later = "try again later" if status == 429 or status >= 500 else "check the address"
        message = f"{status} {getattr(error, 'message', '')}".strip()
        return f"the server refuses ({message}); {_ADVICE.get(_STATUS.get(status, status), later)}"
    names = [base.__name__ for kind in _chain(error) for base in type(kind).__mro__]
    for words, reason in _REASONS.items():
        if any(word in name for word in words for name in names):
            return reason.format(f" ({verdict})" if (verdict := _verdict(error)) else "")
    return _line(error)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and those that it comes from."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _verdict(error: Exception) -> str:
    """Return what is wrong with a certificate."""
    return next((each for kind in _chain(error) if (each := getattr(kind, "verify_message", ""))), "")


def _line(error: Exception) -> str:
    text = str(getattr(error, "strerror", None) or error).strip()
    line = text.splitlines()[0].rstrip(".") if text else type(error).__name__
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."
