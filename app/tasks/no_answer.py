"""What an error says where no answer came: httpx's own time-outs and broken connections mostly say nothing."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx


@contextmanager
def naming(what: str, *, seconds: float) -> Iterator[None]:
    """Have errors of a block in which no answer came name the request; each stays of its class, and is judged alike.

    Args:
        what: The request, such as ``POST https://api.example.com/hooks``, as it may be stored and shown.
        seconds: How long all of it may take.

    Raises:
        TimeoutError, httpx.TransportError: As the block does, with words.
    """
    try:
        yield
    except TimeoutError as error:
        raise TimeoutError(f"{what} was not answered within {seconds:g} s") from error
    except httpx.TransportError as error:
        raise type(error)(f"{what}: {str(error) or _words(error)}") from error


def _words(error: httpx.TransportError) -> str:
    match error:
        case httpx.ConnectTimeout():
            return "no connection in time"
        case httpx.TimeoutException():
            return "no answer in time"
        case _:
            return "the connection broke"
