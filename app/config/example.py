"""Renders `.env.example` from the settings themselves: `python -m app.config.example > .env.example`."""

import sys
import textwrap
from collections.abc import Iterator

from pydantic.fields import FieldInfo

from . import GROUPS
from .groups import NESTED
from .values import expectation

HEADER = """\
# Every setting, commented out with its default. Copy this file to .env, and uncomment only what you change:
# a value that is set explicitly can rule over others. The environment wins over .env; empty means unset.
"""


def render() -> str:
    """Return the text of `.env.example`."""
    return HEADER + "".join(_section(group.__doc__ or "", group.model_fields) for group in GROUPS.values())


def _section(title: str, fields: dict[str, FieldInfo]) -> str:
    lines = [line for field in fields.values() for line in _setting(field)]
    return "\n".join(["", f"# --- {title.rstrip('.')} ---", *lines, ""])


def _setting(field: FieldInfo) -> Iterator[str]:
    name = field.title or ""
    yield ""
    if not name.endswith("__"):
        yield _comment(field)
        yield f"#{name}={'' if field.default is None else field.default}"
        return
    yield f"# {field.description}"
    nested, example = NESTED[name]
    for key, part in nested.model_fields.items():
        yield _comment(part)
        yield f"#{name}{example}__{key.upper()}="


def _comment(field: FieldInfo) -> str:
    expected = expectation(field)
    text = f"{field.description} {expected[0].upper()}{expected[1:]}."
    return textwrap.fill(text, width=100, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)


if __name__ == "__main__":
    sys.stdout.write(render())
