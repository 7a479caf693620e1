"""What every log line goes through: what must not be told is taken out, and what is left is written in one form."""

import logging
import re
from collections.abc import Callable
from datetime import date
from functools import lru_cache
from typing import Any
from uuid import UUID

import orjson
from structlog.typing import EventDict, WrappedLogger

from ..redact import DEEPEST, MASK, is_secret, redact

_CALL = re.compile(r"(\[(?:\d+|None)\])\(.*", re.DOTALL)


def without_arguments(record: logging.LogRecord) -> bool:
    """Cut Procrastinate's ``task[1](a='…') ended with…`` after the job's id, and say its action instead."""
    if record.name.partition(".")[0] == "procrastinate":
        text, cut = _CALL.subn(r"\1", record.getMessage())
        record.msg = f"{text}: {getattr(record, 'action', 'logged')}" if cut else text
        record.args = ()
    return True


def without_secrets(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Mask what `redact` knows. An object given as a field is masked as its text."""
    return {name: value if name[:1] == "_" else _safe(name, value) for name, value in event.items()}


def _safe(name: str, value: object) -> object:
    if is_secret(name):
        return MASK
    return redact(_in_words(value, DEEPEST))


_WRITTEN_AS_THEY_ARE = (str, int, float, type(None), date, UUID)
"""What JSON has, and what has one form that everybody knows; a datetime is a date, too."""


def _in_words(value: object, depth: int) -> object:
    """Objects as their text: whoever writes the line would look into them only then."""
    if isinstance(value, _WRITTEN_AS_THEY_ARE):
        return value
    if not isinstance(value, (dict, list, tuple)):
        return repr(value)
    if depth == 0:
        return MASK
    if isinstance(value, dict):
        return {name: _in_words(item, depth - 1) for name, item in value.items()}
    return [_in_words(item, depth - 1) for item in value]


def drop_unknown(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """What is known; on a console the rest is noise."""
    return {name: value for name, value in event.items() if value is not None}


def plain(_: WrappedLogger, __: str, event: EventDict) -> str:
    """As structlog's console renderer writes without colours, in a third of its time."""
    trace, stack = event.pop("exception", None), event.pop("stack", None)
    parts = [f"{event['timestamp']} [{event['level']:<9}] {event['event']} [{event['logger']}]"]
    for name in _sorted(tuple(event)):
        value = event[name]
        if value is not None:
            parts.append(f"{name}={_shown(value)}")
    line = " ".join(parts)
    return "\n".join(filter(None, (line, stack, trace))) if stack or trace else line


LONGEST_KNOWN_WORD = 100
"""Words up to this length are remembered."""

_HEAD = frozenset({"timestamp", "level", "event", "logger"})


@lru_cache(maxsize=500)
def _sorted(names: tuple[str, ...]) -> list[str]:
    """The fields that follow the head. Lines have few sets of them."""
    return sorted(name for name in names if name not in _HEAD)


def _shown(value: object) -> str:
    """Text of one word as it is; all else so that it is clear where it ends."""
    if not isinstance(value, str) or " " in value:
        return repr(value)
    return _word(value) if len(value) <= LONGEST_KNOWN_WORD else _as_word(value)


def _as_word(text: str) -> str:
    return text if _WORD.fullmatch(text) else repr(text)


_word = lru_cache(maxsize=1000)(_as_word)
"""The names in lines are few and met again and again."""


_WORD = re.compile(r"""[^\s=\[\]"']+""")


def as_json(event: EventDict, default: Callable[[Any], Any], **_: object) -> str:
    """One JSON object, whatever the keys are."""
    return orjson.dumps(event, default=default, option=orjson.OPT_NON_STR_KEYS).decode()
