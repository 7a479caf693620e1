"""Where log lines end: a handler for everybody's, and a short way to its stream for our own.

A dependency that is down makes thousands of lines in a second. Whoever else listens to `logging` hears each of them.
"""

import codecs
import functools
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TextIO, cast

import orjson
import structlog
from structlog.typing import EventDict, Processor

from ..config import LogSettings
from .rendering import as_json, drop_unknown, plain, without_arguments, without_secrets

gate = logging.getLogger("afresh")
"""The logger of our own lines."""

_OURS = "_written_by_afresh"
_root = logging.getLogger()
_handle, _call_handlers = logging.Logger.handle, logging.Logger.callHandlers
_own_file = logging.Logger.log.__code__.co_filename
_unpatched = {_handle.__code__.co_filename, _call_handlers.__code__.co_filename} == {_own_file}


def write_line(level: int, event: EventDict) -> None:
    """Write a line of ours whose texts are masked; `event` is changed. Ask `gate` first whether anybody wants it."""
    if _shortcuts and _shortcuts[0].is_open(level):
        _shortcuts[0].write(level, event)
    else:
        gate.handle(_record(level, event))


def handler_of(settings: LogSettings, stream: TextIO, more: Processor) -> logging.Handler:
    """The handler for all loggers. `more` adds fields to the lines of others."""
    handler = logging.StreamHandler(stream)
    handler.addFilter(without_arguments)
    handler.setFormatter(_Formatter(settings, stream, more))
    _shortcuts.append(_Shortcut(handler))
    return handler


def close_shortcut() -> None:
    """Write no more lines past `logging`."""
    _shortcuts.clear()


class _Formatter(structlog.stdlib.ProcessorFormatter):
    """structlog's, with a shorter way for lines of ours, in which nothing is left to be looked up or masked."""

    def __init__(self, settings: LogSettings, stream: TextIO, more: Processor) -> None:
        common: list[Processor] = [
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            more,
            # Tracebacks are plain in both forms: the pretty ones print local variables, and so a job's arguments.
            structlog.processors.format_exc_info,
            without_secrets,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
        ]
        self.encoded = _encoding(settings, stream)
        rendering = _rendering(settings, stream)
        super().__init__(processors=[*common, self.remove_processors_meta, *rendering])

    def format(self, record: logging.LogRecord) -> str:
        """One record as a line."""
        if not hasattr(record, _OURS):
            return super().format(record)
        event = dict(cast("EventDict", record.msg))
        return self.encoded(_completed(record.levelno, event, record.created)).decode().removesuffix("\n")


def _rendering(settings: LogSettings, stream: TextIO) -> list[Processor]:
    if settings.format == "json":
        return [structlog.processors.JSONRenderer(serializer=as_json)]
    if stream.isatty():
        return [
            drop_unknown,
            structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback, pad_event_to=0),
        ]
    return [plain]


def _encoding(settings: LogSettings, stream: TextIO) -> Callable[[EventDict], bytes]:
    """How a completed event of ours becomes a line in UTF-8."""
    if settings.format == "json":
        return functools.partial(orjson.dumps, option=orjson.OPT_APPEND_NEWLINE)
    steps = _rendering(settings, stream)

    def encoded(event: EventDict) -> bytes:
        line: object = event
        for step in steps:
            line = step(gate, event["level"], cast("EventDict", line))
        return f"{line}\n".encode()

    return encoded


def _completed(level: int, event: EventDict, at: float) -> EventDict:
    """What structlog's common steps add to an event that has no more to be masked; `at` in seconds since 1970."""
    event["level"] = _level_name(level)
    event["logger"] = gate.name
    event["timestamp"] = f"{_second(int(at))}.{int(at % 1 * 1e6):06d}Z"
    return event


@functools.lru_cache(maxsize=8)
def _second(epoch: int) -> str:
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%S")


@functools.cache
def _level_name(level: int) -> str:
    return logging.getLevelName(level).lower()


def _record(level: int, event: EventDict) -> logging.LogRecord:
    # As structlog would hand it on, without looking for the caller, which is this line: it doubles the cost of a line.
    meta = {"_logger": gate, "_name": _level_name(level), _OURS: True}
    return gate.makeRecord(gate.name, level, __file__, 0, event, (), None, extra=meta)


class _Shortcut:
    """The way of our own lines to the handler's stream, while nothing but the handler would hear of their records.

    A line costs a quarter of what it costs through `logging`.
    """

    def __init__(self, handler: "logging.StreamHandler[TextIO]") -> None:
        self._handler = handler
        self._handlers, self._filters = [handler], list(handler.filters)
        self._stream = stream = handler.stream
        self._formatter = cast("_Formatter", handler.formatter)
        self._encoded = self._formatter.encoded
        buffer = getattr(stream, "buffer", None)
        in_utf8 = codecs.lookup(getattr(stream, "encoding", None) or "ascii").name == "utf-8"
        # As text, a line would be made of its bytes and into bytes again, which takes longer than to write them.
        self._bytes = buffer if in_utf8 else None

    def is_open(self, level: int) -> bool:
        """Whether nobody else would hear of a record: no other handler, no filter, nobody who patched `logging`."""
        handler, logger = self._handler, logging.Logger
        return (
            _unpatched
            and _root.handlers == self._handlers
            and not (gate.handlers or gate.filters)
            and gate.propagate
            and handler.filters == self._filters
            and handler.level <= level
            and handler.stream is self._stream
            and handler.formatter is self._formatter
            and logger.handle is _handle
            and logger.callHandlers is _call_handlers
        )

    def write(self, level: int, event: EventDict) -> None:
        """Write a line as the handler would; what goes wrong is told as the handler tells it."""
        handler, stream = self._handler, self._stream
        handler.acquire()
        try:
            line = self._encoded(_completed(level, event, time.time()))
            if self._bytes is None:
                stream.write(line.decode())
            else:
                stream.flush()  # Of what others have written as text.
                self._bytes.write(line)
            stream.flush()
        except (OSError, TypeError, ValueError):  # It takes no more, it is closed; what a text holds is no Unicode.
            handler.handleError(_record(level, event))
        finally:
            handler.release()


_shortcuts: list[_Shortcut] = []
"""The one that is in use, if any."""
