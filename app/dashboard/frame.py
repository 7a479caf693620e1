"""What every page has in common: the frame, the words for times and states, and how a page is rendered."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request

from ..redact import redact
from ..retry.failure import Remediation
from ..store.keys import Role
from ..store.sign_ins import new_token
from ..web.cookies import PAGES, SAID, SIGN_IN, VISITOR, attributes, cookie, form_token
from ..web.keyring import Caller
from .times import with_times
from .traceback import counted, read
from .tree import as_text, tree

HERE = Path(__file__).parent
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400

NAV = (
    ("Overview", "/dashboard", "o"),
    ("Jobs", "/dashboard/jobs", "j"),
    ("Queues", "/dashboard/queues", "q"),
    ("Dead letters", "/dashboard/dead-letters", "d"),
    ("Failures", "/dashboard/failures", "f"),
    ("Dependencies", "/dashboard/dependencies", "e"),
    ("Policies", "/dashboard/policies", "p"),
    ("Alerts", "/dashboard/alerts", "a"),
    ("Workers", "/dashboard/workers", "w"),
    ("Audit", "/dashboard/audit", "u"),
    ("System", "/dashboard/system", "s"),
)
"""The pages there are: name, address, and the letter that leads there after ``g``."""

LEAST_ROLES = {"Audit": Role.ADMIN}
"""Pages that not everybody may see."""

WITHIN: Mapping[str, timedelta] = {
    "1h": timedelta(hours=1),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}
"""How far back a list is narrowed down to, as pages offer it."""

REMEDIES: dict[str, str] = {
    Remediation.AUTO_RETRY: "it is tried again by itself",
    Remediation.MANUAL_RETRY: "replay it",
    Remediation.FIX_DATA: "correct the data",
    Remediation.FIX_CONFIG: "correct the configuration",
    Remediation.CHECK_EXTERNAL: "look after the other service",
    Remediation.SCALE_RESOURCES: "give it more resources",
    Remediation.ALERT_TEAM: "tell the team",
    Remediation.INVESTIGATE: "look into it",
}


def render(request: Request, template: str, here: str, **values: Any) -> HTMLResponse:
    """Return a page. `here` is the name in `NAV` that it stands under.

    Besides `values`, a template knows the person who looks at it, what that person may do, the token of its forms, and
    what the last action came to, which is said once.
    """
    person: Caller | None = getattr(request.state, "caller", None)
    sign_in, visitor = cookie(request.headers, SIGN_IN), cookie(request.headers, VISITOR)
    bound_to = sign_in or visitor or new_token()
    said = cookie(request.headers, SAID)
    text = _templates.get_template(template).render(
        nav=[each for each in NAV if person and person.role >= LEAST_ROLES.get(each[0], Role.VIEWER)],
        here=here,
        now=datetime.now(UTC),
        host=request.headers.get("host", ""),
        person=person,
        signed_in=person is not None and sign_in is not None,
        may_operate=person is not None and person.role >= Role.OPERATOR,
        may_administer=person is not None and person.role >= Role.ADMIN,
        form_token=form_token(bound_to),
        said=unquote(said) if said else None,
        **values,
    )
    page = HTMLResponse(text)
    if bound_to not in (sign_in, visitor):
        page.set_cookie(VISITOR, bound_to, **attributes(request.url.scheme, path=PAGES))
    if said:
        page.delete_cookie(SAID, **attributes(request.url.scheme, path=PAGES))
    return page


def ago(moment: datetime | None, now: datetime) -> str:
    """How long since, or until, in one unit: ``12 s ago``, ``in 5 min``."""
    if moment is None:
        return "-"
    seconds = (now - moment).total_seconds()
    if -1 < seconds < 1:
        return "now"
    span = length(abs(seconds))
    return f"{span} ago" if seconds > 0 else f"in {span}"


def length(seconds: float | None) -> str:
    """A duration in the unit that fits it: ``215 ms``, ``12 s``, ``5 min``."""
    if seconds is None:
        return "-"
    for unit, name in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"  # noqa: PLR2004 - two digits read best.


def capitalize_first(text: str) -> str:
    """A sentence's first letter in upper case, the others as they are."""
    return text[:1].upper() + text[1:]


def remedy(name: str) -> str:
    """What helps, in words."""
    return REMEDIES.get(name, name.replace("_", " ").lower())


def size(count: int | None) -> str:
    """Bytes in the unit that fits them: ``94 MB``, ``1.5 GB``."""
    if count is None:
        return "-"
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:  # noqa: PLR2004 - the units are those of decimals.
            return f"{value:.0f} {unit}" if unit == "B" or value >= 10 else f"{value:.1f} {unit}"  # noqa: PLR2004 - two digits read best.
        value /= 1000
    return f"{value:.1f} TB"


def as_json(value: Any) -> str:
    """Arguments as people read them, without secrets."""
    return as_text(redact(value))


_templates = Environment(
    loader=FileSystemLoader(HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.filters |= {
    "ago": ago,
    "length": length,
    "as_json": as_json,
    "capitalize_first": capitalize_first,
    "counted_frames": counted,
    "remedy": remedy,
    "size": size,
    "trace": read,
    "tree": tree,
    "with_times": with_times,
}
