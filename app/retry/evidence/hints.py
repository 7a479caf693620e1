"""When the other side said to come back, in all the ways it is said. Clock-free: `now` is an argument."""

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from ..failure import Hint
from ..look import Look, as_int, as_str
from ..verdict import Verdict

_MONTHS = {
    name: n
    for n, name in enumerate(["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], 1)
}
# RFC 9110, 5.6.7: IMF-fixdate, RFC 850 and asctime.
_DATE = (
    r"[A-Za-z]{3,9},? (?:(?P<day>\d{1,2})[ -](?P<month>[A-Za-z]{3})[ -](?P<year>\d{4}|\d\d) "
    r"(?P<time>\d\d:\d\d:\d\d) GMT"
    r"|(?P<month2>[A-Za-z]{3}) (?P<day2>[ \d]\d) (?P<time2>\d\d:\d\d:\d\d) (?P<year2>\d{4}))"
)
_NUMBER = r"\d{1,12}(?:\.\d{1,9})?"
_LENGTH_LIMIT = 100
_EPOCH_SECONDS = 1_000_000_000
_HEADERS_LIMIT = 200
_TURN_OF_CENTURY = 70
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ATTRIBUTES = ("retry_after", "retry_after_seconds", "retry_in", "retry_delay")


def header(look: Look, headers: Any, name: str) -> str | None:
    """A header by its lower-case name, whatever kind of mapping holds it."""
    if type(headers) is dict:
        if len(headers) > _HEADERS_LIMIT:
            return None
        for key, value in headers.items():
            if type(key) is str and len(key) == len(name) and key.lower() == name:
                return as_str(value)
        return None
    return as_str(look.call(look.read("get", of=headers), name))


def from_headers(look: Look, headers: Any, status: int | None = None) -> Hint | None:
    """`retry-after-ms`, `Retry-After`, `x-amz-retry-after`, then a limit's reset, in this order."""
    if headers is None:
        return None
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0), ("x-amz-retry-after", 0.001)):
        value = header(look, headers, name)
        if value is None:
            continue
        hint = _scaled(value, unit, name) or (_until(look, headers, value) if unit == 1.0 else None)
        if hint is not None:
            return hint
    return _reset(look, headers) if status in (403, 429) else None


def _scaled(value: str, unit: float, name: str) -> Hint | None:
    text = value.strip()
    return _hint(float(text) * unit, name) if len(text) < _LENGTH_LIMIT and re.fullmatch(_NUMBER, text) else None


def _until(look: Look, headers: Any, value: str) -> Hint | None:
    moment, now = parse_date(value), _now(look, headers)
    if moment is None or now is None:
        return None
    return _hint(max(0.0, (moment - now).total_seconds()), "retry-after")


def _now(look: Look, headers: Any) -> datetime | None:
    """The server's own clock if it tells it: hints are differences on that clock."""
    said = header(look, headers, "date")
    return (parse_date(said) if said else None) or look.around.now


def _reset(look: Look, headers: Any) -> Hint | None:
    for name in ("x-ratelimit-reset", "x-rate-limit-reset", "ratelimit-reset"):
        text = (header(look, headers, name) or "").strip()
        if not re.fullmatch(_NUMBER, text):
            continue
        seconds = float(text)
        if seconds > _EPOCH_SECONDS:
            now = _now(look, headers)
            if now is None:
                return None
            seconds = max(0.0, seconds - (now - _EPOCH).total_seconds())
        return _hint(seconds, name)
    return None


def from_attributes(look: Look) -> Hint | None:
    """`retry_after` and its synonyms on the error itself: seconds or a timedelta (Telegram, Discord, redis)."""
    for name in _ATTRIBUTES:
        value = look.read(name)
        if value is None:
            continue
        seconds = duration(look, value)
        if seconds is not None:
            return _hint(seconds, name)
    return None


def duration(look: Look, value: Any) -> float | None:
    """Seconds of a number, of digits, of a timedelta or of a protobuf Duration."""
    if type(value) is timedelta:
        return value.total_seconds()
    number = float(value) if type(value) is float else as_int(value)
    if number is not None:
        return float(number) if abs(number) < 1e12 else None  # noqa: PLR2004 - beyond any wait
    text = as_str(value)
    if text is not None:
        return float(text) if re.fullmatch(_NUMBER, text.strip()) else None
    seconds = look.integer("seconds", of=value)
    return None if seconds is None else seconds + (look.integer("nanos", of=value) or 0) / 1e9


def should_retry(look: Look, headers: Any) -> bool | None:
    """`x-should-retry` of OpenAI and Anthropic: the server's own verdict, above its status."""
    said = None if headers is None else header(look, headers, "x-should-retry")
    return None if said is None else {"true": True, "false": False}.get(said.strip().lower())


def applied(verdict: Verdict, hint: Hint | None, wanted: bool | None) -> Verdict:  # noqa: FBT001 - tri-state of a header
    """`verdict` with what the server added to it."""
    if hint is None and wanted is None:
        return verdict
    return verdict._replace(hint=hint, retryable=verdict.retryable if wanted is None else wanted)


def seconds_hint(seconds: float, source: str) -> Hint | None:
    """A hint of `seconds`, if that is a finite wait."""
    return _hint(seconds, source)


def _hint(seconds: float, source: str) -> Hint | None:
    return Hint(seconds, source) if math.isfinite(seconds) and seconds >= 0 else None


def parse_date(text: str) -> datetime | None:
    """An HTTP-date as an aware UTC datetime; independent of the locale, which `strptime` is not."""
    match = re.fullmatch(_DATE, text.strip()) if len(text) < _LENGTH_LIMIT else None
    if match is None:
        return None
    day, year = int(match["day"] or match["day2"]), int(match["year"] or match["year2"])
    if year < 100:  # noqa: PLR2004 - RFC 850 years have two digits
        year += 1900 if year >= _TURN_OF_CENTURY else 2000
    month = _MONTHS.get((match["month"] or match["month2"]).lower(), 0)
    hour, minute, second = map(int, (match["time"] or match["time2"]).split(":"))
    try:
        return datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC)
    except ValueError:
        return None
