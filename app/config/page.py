"""Renders the guide's page of settings from the settings themselves: `python -m app.config.page`."""

import re
import sys
from collections.abc import Iterator

from pydantic.fields import FieldInfo

from . import GROUPS
from .groups import NESTED
from .values import DURATION_FORM, expectation

HEADER = f"""\
# Settings

Every setting, with the default that holds where it is not set, what it takes, and what it means. They come from the
environment or from a file `.env`; the environment wins, and an empty value means unset. A wrong value stops the start
with one line that names it. `.env.example` has the same, to be copied.

A duration is typed as {DURATION_FORM}. A value that is set explicitly can rule over others, even where
it is the default: set only what you change.
"""

HEAD = "| setting | default | takes | meaning |\n|---|---|---|---|"


def render() -> str:
    """Return the text of ``docs/guide/settings.md``."""
    return HEADER + "".join(_section(group.__doc__ or "", group.model_fields) for group in GROUPS.values())


def _section(title: str, fields: dict[str, FieldInfo]) -> str:
    """A chapter: one table of the single settings, and one for each name that stands for many."""
    names = {field.title or "": field for field in fields.values()}
    single = [_row(name, field, field.default) for name, field in names.items() if not name.endswith("__")]
    parts = [f"## {title.rstrip('.')}", "\n".join([HEAD, *single])]
    for name in filter(NESTED.__contains__, names):
        parts += [names[name].description or "", "\n".join([HEAD, *_family(name)])]
    return "\n" + "\n\n".join(parts) + "\n"


def _family(prefix: str) -> Iterator[str]:
    nested, example = NESTED[prefix]
    for key, part in nested.model_fields.items():
        yield _row(f"{prefix}{example}__{key.upper()}", part, None)


def _row(name: str, field: FieldInfo, default: object) -> str:
    takes = expectation(field).removesuffix(f": {DURATION_FORM}")
    shown = "" if default in {None, ""} else f"`{default}`"
    return f"| `{name}` | {shown} | {_plain(takes)} | {_plain(field.description or '')} |"


def _plain(text: str) -> str:
    """Text that Markdown shows as it is, but for what stands in backticks."""
    return re.sub(r"([*<|])", r"\\\1", text)


if __name__ == "__main__":
    sys.stdout.write(render())
