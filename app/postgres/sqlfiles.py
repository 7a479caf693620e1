"""The SQL that stands in files of its own: `sql/` beside the package, or inside it once it is installed."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import LiteralString, cast

_NAME = re.compile(r"^-- name: *(\S*) *$", re.MULTILINE)
_VERB_NOUN = re.compile(r"[a-z]+(_[a-z0-9]+)+")


def sql_dir() -> Path:
    """The folder with `migrations/`, `queries/` and `reports/`.

    Raises:
        FileNotFoundError: The installation is not complete.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "sql", package.parent / "sql"):
        if (folder / "migrations").is_dir():
            return folder
    raise FileNotFoundError(f"{package / 'sql'}: reinstall Afresh")


@cache
def load(concept: str) -> Mapping[str, LiteralString]:
    """The queries of one concept, by name, from ``sql/queries/<concept>.sql``.

    A query begins with ``-- name: verb_noun``, followed by its purpose in a comment line. The purpose stays in the
    text that is sent, and so shows in the server's log and in pg_stat_activity.

    Raises:
        ValueError: A block lacks its purpose or its statement, or a name is malformed or used twice.
    """
    path = sql_dir() / "queries" / f"{concept}.sql"
    _, *blocks = _NAME.split(path.read_text(encoding="utf-8"))
    queries: dict[str, LiteralString] = {}
    for name, block in zip(blocks[::2], blocks[1::2], strict=True):
        text = block.strip().removesuffix(";")
        if not _VERB_NOUN.fullmatch(name) or name in queries:
            raise ValueError(f"{path.name}: {name!r} is not a new name of the form verb_noun")
        if not text.startswith("-- ") or all(line.startswith("--") for line in text.splitlines()):
            raise ValueError(f"{path.name}: {name} needs a purpose line and a statement")
        queries[name] = cast("LiteralString", text)  # A file of ours, never input.
    return MappingProxyType(queries)
