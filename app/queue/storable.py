"""Text and results as Postgres can store them. A success stays one, whatever its task returns."""

from typing import Any

import orjson

from ..redact import redact_text

LARGEST_RESULT = 1_000_000
"""Bytes of JSON. What is larger belongs into a table or a file, with the result saying where."""

LONGEST_REFUSAL = 300
"""Characters of what the database says to a row that it refuses, in a line of the log."""


def storable(text: str) -> str:
    """`text` without what Postgres cannot store: NUL and lone surrogates."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def encoded(value: Any) -> tuple[bytes | None, str | None]:
    """Return the result, or a note that says why it is not stored: it is not JSON, or too large."""
    try:
        text = _dumped(value)
    except TypeError as error:
        return None, f"the result is not JSON: {error}"
    if len(text) > LARGEST_RESULT:
        return None, f"the result has {len(text):,} bytes of JSON; at most {LARGEST_RESULT:,} are stored"
    return text, None


def _dumped(value: Any) -> bytes:
    try:
        text = orjson.dumps(value)
    except TypeError:  # Keys that are numbers are rare, and looking for them costs.
        text = orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)
    if b"\\u0000" in text:  # jsonb has no NUL.
        text = orjson.dumps(without_nul(orjson.loads(text)))
    return text


def without_nul(value: Any) -> Any:
    """JSON without NUL, at any depth."""
    match value:
        case str():
            return value.replace("\0", "\N{REPLACEMENT CHARACTER}")
        case list():
            return [without_nul(each) for each in value]
        case dict():
            return {without_nul(key): without_nul(each) for key, each in value.items()}
        case _:
            return value


def refusal_of(error: Exception) -> str:
    """What the database said to what it refuses: a line without secrets, and without details, which quote the row."""
    return redact_text(f"{type(error).__name__}: {error}".partition("\n")[0][:LONGEST_REFUSAL])
