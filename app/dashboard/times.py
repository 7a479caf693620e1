"""Times within sentences: a page tells them by the clock of its person, whoever wrote the sentence.

What wrote it says a time of UTC, since a log, a chat and a page may all tell it.
"""

import re
from datetime import UTC, datetime, time, timedelta

from markupsafe import Markup

_TIME = re.compile(
    r"(?P<dated>\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?: UTC|Z|[+-]\d\d:\d\d)\b)"
    r"|(?:\buntil |→ )(?P<later>\d\d:\d\d:\d\d)\b(?! GMT)"
    r"|(?P<clock>\b\d\d:\d\d) UTC\b",
    re.ASCII,
)
_DAY = timedelta(days=1)


def with_times(text: str, near: datetime | None = None) -> Markup:
    """A sentence whose times a browser tells by its own clock.

    Args:
        text: A time in it has a date and a zone; or it has neither, stands after "until" or an arrow, or before "UTC".
        near: About when the sentence was written, which gives a time without a date its day; None: it stays as it is.
    """
    pieces: list[str] = []
    end = 0
    for found in _TIME.finditer(text):
        told = _dated(found["dated"]) if found["dated"] else _of_a_day(found, near)
        if told is None:
            continue
        start = found.start(found.lastgroup or 0)
        pieces += [text[end:start], told]
        end = found.end()
    return Markup("").join([*pieces, text[end:]])


def _dated(said: str) -> Markup | None:
    try:
        moment = datetime.fromisoformat(said.replace(" UTC", "Z"))
    except ValueError:
        return None
    return Markup('<time datetime="{}" data-clock>{}</time>').format(moment.isoformat(), said)


def _of_a_day(found: re.Match[str], near: datetime | None) -> Markup | None:
    said, style = (found["later"], "medium") if found["later"] else (found["clock"], "short")
    if near is None:
        return None
    try:
        moment = datetime.combine(near.astimezone(UTC), time.fromisoformat(said), UTC)
    except ValueError:
        return None
    moment += round((near - moment) / _DAY) * _DAY
    return Markup('<time datetime="{}" data-clock="{}">{} UTC</time>').format(moment.isoformat(), style, said)
