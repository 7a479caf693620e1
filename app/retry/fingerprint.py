"""One name for failures of one cause: equal when only numbers, ids, quoted values or line numbers differ."""

import re
from collections.abc import Sequence
from functools import lru_cache

from .phrases import without_quoted

_LIMIT = 500
_UUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")
# A word with a digit in it is an id, a number, a date, a host or an address; anchored at its start, so linear.
_NUMBERED = re.compile(r"(?<!\w)[^\W\d]*+\d[\w.:-]*")
_MAIL = re.compile(r"(?<![\w.+-])[\w.+-]++@[\w.-]++")
_DASHES_OF_UUID = 4


def normalise(message: str) -> str:
    """The message without what differs from one occurrence to the next."""
    return _normalised(message[:_LIMIT])


# A dependency that is down says the same again and again.
@lru_cache(maxsize=1024)
def _normalised(message: str) -> str:
    text = without_quoted(message)
    if text.count("-") >= _DASHES_OF_UUID:
        text = _UUID.sub("#", text)
    if "@" in text:
        text = _MAIL.sub("#", text)
    return " ".join(_NUMBERED.sub("#", text).split())


def fingerprint(causes: Sequence[tuple[str, str]], frames: Sequence[str]) -> str:
    """16 hex digits of the (exception type, message) pairs, outermost first, and the user's frames."""
    import hashlib  # Two milliseconds that a process which never fails does not pay.

    lines = [f"{name}|{normalise(message)}" for name, message in causes]
    digest = hashlib.blake2b("\n".join([*lines, "--", *frames]).encode("utf-8", "replace"), digest_size=8)
    return digest.hexdigest()
