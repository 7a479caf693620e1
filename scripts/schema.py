"""Writes sql/schema.sql: what all migrations make together, for people to read and for a test to hold.

`python -m scripts.schema` migrates an embedded Postgres of its own and dumps it; no other database is looked at.
"""

import re
import subprocess
import tempfile
from pathlib import Path

import psycopg

from app.postgres.embedded import embedded_server
from app.postgres.migrate import migrate
from app.postgres.programs import find_programs

GOLDEN = Path(__file__).resolve().parent.parent / "sql" / "schema.sql"
VERSION = 18
HEADER = """\
-- Everything Afresh adds to Procrastinate's schema, as all migrations make it together. Written by `make schema`.
"""

_ENTRY = re.compile(r"(?=^--\n-- Name: )", re.MULTILINE)
_OUR_COLUMN = re.compile(r"^    (afresh_.+?),?$", re.MULTILINE)


def dump(conninfo: str) -> str:
    """Return the schema `afresh`, and after it what we added to Procrastinate's tables.

    Raises:
        subprocess.CalledProcessError: pg_dump failed; it said why on standard error.
    """
    ours = _entries(conninfo, "afresh")
    theirs = _entries(conninfo, "public")
    columns = [_added_column(entry, column) for entry in theirs for column in _OUR_COLUMN.findall(entry)]
    objects = [entry for entry in theirs if "afresh_" in entry.splitlines()[1]]
    return HEADER + "\n" + "".join([*ours, *columns, *objects]).rstrip() + "\n"


def _entries(conninfo: str, schema: str) -> list[str]:
    """Return pg_dump's entries for one schema, without its preamble and its closing lines."""
    command = [str(find_programs(VERSION).bin / "pg_dump"), f"--dbname={conninfo}", f"--schema={schema}"]
    command += ["--schema-only", "--no-owner", "--no-privileges", "--restrict-key=afresh"]
    text = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    body, _, _ = text.partition("--\n-- PostgreSQL database dump complete")
    return _ENTRY.split(body)[1:]


def _added_column(entry: str, column: str) -> str:
    (table,) = re.findall(r"^CREATE TABLE (\S+) \(", entry, re.MULTILINE)
    return f"ALTER TABLE {table} ADD COLUMN {column};\n\n\n"


def write() -> None:
    """Migrate an empty database and write what came of it."""
    with tempfile.TemporaryDirectory(prefix="afresh-schema-") as folder:
        Path(folder).chmod(0o711)  # Root's servers run as a system account, which has to pass through.
        with embedded_server(Path(folder), version=VERSION, durable=False).join() as server:
            with psycopg.connect(server.conninfo(), autocommit=True) as conn:
                migrate(conn)
            GOLDEN.write_text(dump(server.conninfo()), encoding="utf-8")


if __name__ == "__main__":
    write()
