"""Where log lines go, and in which form: ours from telemetry, Procrastinate's and uvicorn's from `logging`.

A job's arguments and secrets must never be written, whoever logs them.
"""

import logging
import sys
from collections.abc import Callable
from typing import TextIO

import structlog

from .. import telemetry
from ..config import LogSettings
from .lines import add_running_attempt, hear
from .sink import close_shortcut, handler_of

_unsubscribe: list[Callable[[], None]] = []


def configure_logs(settings: LogSettings, stream: TextIO | None = None) -> None:
    """Write every line to `stream` (standard error) in one form, and turn telemetry into lines; replaces itself.

    Where LOG_LEVEL is not set, the level given to Procrastinate's command line (``-v``, ``--log-level``) stands.
    """
    stop_logs()
    stream = stream or sys.stderr
    root = logging.getLogger()
    # Exactly this type: what basicConfig installs, and we. Others, such as a test's capture, are somebody's own.
    ours = [handler for handler in root.handlers if type(handler) is logging.StreamHandler]
    level = root.level if ours and "level" not in settings.model_fields_set else logging.getLevelName(settings.level)
    for handler in ours:
        root.removeHandler(handler)
    root.addHandler(handler_of(settings, stream, add_running_attempt))
    root.setLevel(level)
    _adopt_others(root.level)
    structlog.configure(
        processors=[
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    _unsubscribe.append(telemetry.subscribe(hear))


def stop_logs() -> None:
    """Turn no more events into lines; other loggers go on."""
    close_shortcut()
    while _unsubscribe:
        _unsubscribe.pop()()


def _adopt_others(level: int) -> None:
    """Let uvicorn's lines come to us, and quieten those who tell what we tell better, or tell too much."""
    for name in ("uvicorn", "uvicorn.access", "uvicorn.error"):
        logger = logging.getLogger(name)
        if logger.hasHandlers():  # Else its lines are not wanted: that is all that --no-access-log does.
            logger.handlers.clear()
            logger.propagate = True
    # httpx logs whole addresses, with their query, at INFO; psycopg gives itself a level, whatever that of the root is.
    for name in ("procrastinate", "httpx", "httpcore", "psycopg"):
        logging.getLogger(name).setLevel(logging.NOTSET if level <= logging.DEBUG else max(level, logging.WARNING))
