"""Masks what must not be seen: the values of keys whose names say that they are secret, at any depth.

Never guesses at values, and never changes what it is given.
"""

import re
from itertools import pairwise
from typing import Any

MASK = "[redacted]"
"""Stands in place of a secret value, whatever that was."""

DEEPEST = 64
"""Levels that are looked through; what lies deeper is masked as a whole."""

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_SECRET_WORDS = frozenset({
    "auth", "authorization", "cookie", "credential", "credentials", "cvc", "cvv", "dsn", "jwt", "passphrase",
    "passwd", "password", "passwords", "passwort", "pin", "pwd", "secret", "secrets", "signature", "ssn", "token",
})  # fmt: skip
_SECRET_PAIRS = frozenset({
    ("access", "key"), ("account", "key"), ("api", "key"), ("card", "number"), ("encryption", "key"),
    ("master", "key"), ("private", "key"), ("secret", "key"), ("session", "id"), ("session", "key"),
    ("signing", "key"), ("ssh", "key"),
})  # fmt: skip
_SECRET_GLUED = tuple({"password", "passwd", "secret", *("".join(pair) for pair in _SECRET_PAIRS)})


def is_secret(key: str) -> bool:
    """Whether a key's name says that its value is secret: ``dbPassword``, ``X-API-Key``, ``apikey``.

    It goes by words, so that ``max_tokens``, ``author`` and ``primary_key`` stay readable.
    """
    words = [word.lower() for word in _WORD.findall(key)]
    return (
        not _SECRET_WORDS.isdisjoint(words)
        or not _SECRET_PAIRS.isdisjoint(pairwise(words))
        or "".join(words).endswith(_SECRET_GLUED)
    )


def redact(value: Any, *, depth: int = DEEPEST) -> Any:
    """Return JSON-like `value` with the values of secret keys replaced by `MASK`."""
    if isinstance(value, dict):
        if depth == 0:
            return MASK
        return {key: MASK if is_secret(str(key)) else redact(item, depth=depth - 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return MASK if depth == 0 else [redact(item, depth=depth - 1) for item in value]
    return value
