"""What every log line goes through: what must not be told is taken out, and what is left is written in one form."""

import logging
import re
from collections.abc import Callable
from typing import Any

import orjson
from structlog.typing import EventDict, WrappedLogger

from ..redact import MASK, is_secret, redact

_CALL = re.compile(r"(\[(?:\d+|None)\])\(.*", re.DOTALL)


def without_arguments(record: logging.LogRecord) -> bool:
    """Cut Procrastinate's ``task[1](a='…') ended with…`` after the job's id, and say its action instead."""
    if record.name.partition(".")[0] == "procrastinate":
        text, cut = _CALL.subn(r"\1", record.getMessage())
        record.msg = f"{text}: {getattr(record, 'action', 'logged')}" if cut else text
        record.args = ()
    return True


def without_secrets(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Mask what `redact` knows. An exception given as a field is masked as its text."""
    return {name: value if name[:1] == "_" else _safe(name, value) for name, value in event.items()}


def _safe(name: str, value: object) -> object:
    if is_secret(name):
        return MASK
    return redact(repr(value) if isinstance(value, BaseException) else value)


def drop_unknown(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """What is known; on a console the rest is noise."""
    return {name: value for name, value in event.items() if value is not None}


def plain(_: WrappedLogger, __: str, event: EventDict) -> str:
    """As structlog's console renderer writes without colours, in a third of its time."""
    trace, stack = event.pop("exception", None), event.pop("stack", None)
    head = f"{event.pop('timestamp')} [{event.pop('level'):<9}] {event.pop('event')} [{event.pop('logger')}]"
    fields = [f"{name}={_shown(value)}" for name, value in sorted(event.items()) if value is not None]
    return "\n".join(filter(None, (" ".join([head, *fields]), stack, trace)))


def _shown(value: object) -> str:
    """Text of one word as it is; all else so that it is clear where it ends."""
    return value if isinstance(value, str) and (value.isalnum() or _WORD.fullmatch(value)) else repr(value)


_WORD = re.compile(r"""[^\s=\[\]"']+""")


def as_json(event: EventDict, default: Callable[[Any], Any], **_: object) -> str:
    """One JSON object, whatever the keys are."""
    return orjson.dumps(event, default=default, option=orjson.OPT_NON_STR_KEYS).decode()
