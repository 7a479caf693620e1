"""What people send from a page: read here, once it is known that the page was ours."""

import math
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from urllib.parse import parse_qsl, quote

from fastapi import Depends, Request
from fastapi.responses import RedirectResponse

from ..config.values import LONGEST, LONGEST_QUEUE, fit_queue, parse_duration
from ..store.keys import Role
from ..web.auth import Requires
from ..web.cookies import PAGES, SAID, attributes, fits
from ..web.errors import FormRefused, InvalidInput, MalformedBody
from ..web.keyring import Caller
from ..web.limits import MAX_BODY_BYTES, parse

LONGEST_TEXT = 1_000
MOST_FIELDS = 2_000
SAID_SECONDS = 30
"""How long the word about an action waits for the next page."""

_LONGEST_WORD = 1_000


class Form:
    """The fields of a form and who sent it.

    Attributes:
        caller: For the audit.
    """

    def __init__(self, caller: Caller, fields: list[tuple[str, str]]) -> None:
        self.caller = caller
        self._fields = fields

    def all(self, name: str) -> list[str]:
        """Every value of a field, such as the boxes that are ticked."""
        return [_storable(name, value) for field, value in self._fields if field == name]

    def text(self, name: str, *, most: int = LONGEST_TEXT) -> str | None:
        """A field's text without the blanks around it; None: it is missing or was left empty.

        Raises:
            InvalidInput: It is too long, or Postgres could not keep it.
        """
        value = next(iter(self.all(name)), "").strip()
        if len(value) > most:
            raise InvalidInput(name, f"at most {most:,} characters")
        return value or None

    def needed(self, name: str, *, most: int = LONGEST_TEXT) -> str:
        """The same, of a field that must not be left empty.

        Raises:
            InvalidInput: As `text`, and where it is missing.
        """
        value = self.text(name, most=most)
        if value is None:
            raise InvalidInput(name, "is missing")
        return value

    def integer(self, name: str, *, least: int = 0, most: int = 2**63 - 1) -> int | None:
        """A field's whole number; None: it was left empty.

        Raises:
            InvalidInput: It is no whole number, or out of bounds.
        """
        value = self.text(name)
        if value is None:
            return None
        if not (value.isascii() and value.isdecimal()) or not least <= int(value[:20]) <= most:
            raise InvalidInput(name, f"a whole number from {least:,} to {most:,}")
        return int(value)

    def duration(self, name: str) -> timedelta | None:
        """A field's duration, above 0; None: it was left empty.

        Raises:
            InvalidInput: It is none.
        """
        value = self.text(name)
        if value is None:
            return None
        try:
            found = parse_duration(value)
        except ValueError:
            found = None
        if not isinstance(found, timedelta) or not found:
            raise InvalidInput(name, "a duration: seconds, or 30s, 5m, 2h, 7d; at most a century")
        return found

    def queue(self, name: str) -> str | None:
        """A field's name of a queue that a job is put into; None: it was left empty.

        Raises:
            InvalidInput: As `text`, and where no job could be put into such a queue.
        """
        value = self.text(name, most=LONGEST_QUEUE)
        try:
            return None if value is None else fit_queue(value)
        except ValueError as error:
            raise InvalidInput(name, str(error)) from None

    def moment(self, name: str) -> datetime | None:
        """A field's time, in UTC unless it says otherwise; None: it was left empty.

        Raises:
            InvalidInput: It is no time.
        """
        value = self.text(name)
        return None if value is None else moment_of(name, value)

    def number(self, name: str, *, least: float, most: float) -> float | None:
        """A field's number; None: it was left empty.

        Raises:
            InvalidInput: It is none, or out of bounds.
        """
        value = self.text(name)
        if value is None:
            return None
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not least <= number <= most:
            raise InvalidInput(name, f"a number from {least:,g} to {most:,g}")
        return number

    def arguments(self, name: str) -> dict[str, Any] | None:
        """A field's JSON object; None: it was left empty.

        Raises:
            InvalidInput: It is no object, or one that Postgres could not keep.
        """
        value = self.text(name, most=MAX_BODY_BYTES)
        if value is None:
            return None
        try:
            found = parse(value.encode())
        except MalformedBody as error:
            raise InvalidInput(name, f"no JSON: {error.__cause__}") from None
        except InvalidInput as error:
            raise InvalidInput(f"{name}.{error.field}", error.fault) from None
        if not isinstance(found, dict):
            raise InvalidInput(name, "a JSON object, with the name of each argument")
        return found


def moment_of(name: str, value: str) -> datetime:
    """The time that a text says, in UTC unless it says otherwise.

    Raises:
        InvalidInput: It says none.
    """
    try:
        moment = datetime.fromisoformat(value)
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidInput(name, "a time such as 2030-01-31T18:00") from None
    if moment > datetime.now(UTC) + LONGEST:
        raise InvalidInput(name, "a time within a century")
    return moment


def _storable(name: str, value: str) -> str:
    if "\0" in value:
        raise InvalidInput(name, "holds a NUL character")
    return value


class FormOf(Requires):
    """A route's dependency: the form that somebody with at least this role sent."""

    async def __call__(self, request: Request) -> Form:  # type: ignore[override]  # As that of `Requires`.
        """Return the form.

        Raises:
            RequestRefused: Whatever `Requires` and `read_fields` refuse.
        """
        caller = await super().__call__(request)
        return Form(caller, await read_fields(request))


ViewersForm = Annotated[Form, Depends(FormOf(Role.VIEWER))]
OperatorsForm = Annotated[Form, Depends(FormOf(Role.OPERATOR))]
AdminsForm = Annotated[Form, Depends(FormOf(Role.ADMIN))]


async def read_fields(request: Request) -> list[tuple[str, str]]:
    """The fields of a form that a page of ours made for this browser.

    Raises:
        FormRefused: It carries no token of this browser.
        InvalidInput: It has too many fields, or is no text.
    """
    try:
        body = (await request.body()).decode()
        fields = parse_qsl(body, keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict")
    except ValueError:
        raise InvalidInput("form", f"at most {MOST_FIELDS:,} fields, in UTF-8") from None
    if not fits(next((value for name, value in fields if name == "form_token"), ""), request.headers):
        raise FormRefused
    return fields


def done(request: Request, address: str, word: str) -> RedirectResponse:
    """Lead to a page, which will show `word` once: what the action came to. Loading it anew repeats nothing."""
    answer = RedirectResponse(address, 303)
    said = attributes(request.url.scheme, path=PAGES)
    answer.set_cookie(SAID, quote(word[:_LONGEST_WORD]), max_age=SAID_SECONDS, **said)
    return answer
