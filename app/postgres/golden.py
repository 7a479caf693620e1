"""The schema as one readable file, `sql/schema.sql`: what all migrations together make, beside Procrastinate's own.

    python -m app.postgres.golden          writes the file, from the embedded server of a folder that is thrown away

Only pg_dump 18 writes it: other versions spell the same schema differently.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import psycopg
from psycopg.rows import tuple_row

from .embedded import embedded_server
from .errors import PostgresError
from .migrate import migrate
from .programs import find_programs
from .sqlfiles import sql_dir

_HEADER = """\
-- The schema that sql/migrations/ makes, for reading; written by `python -m app.postgres.golden`, never by hand.
-- Procrastinate's own tables are not repeated here: what is added to them stands at the end.

"""

_AROUND = re.compile(r"SET default_table|\\unrestrict |--$|-- Name: |-- PostgreSQL database dump")

# What bears our prefix on a table of Procrastinate's, as statements that would make it.
_ADDITIONS = rb"""
WITH ours AS (
    SELECT oid, oid::regclass::text AS table_name, reloptions FROM pg_class
     WHERE relkind IN ('r', 'p') AND relname LIKE 'procrastinate\_%'
)
SELECT statement FROM (
    SELECT 1 AS kind, table_name || attname AS place,
           format('ALTER TABLE %s ADD COLUMN %I %s%s;', table_name, attname, format_type(atttypid, atttypmod),
                  CASE WHEN attnotnull THEN ' NOT NULL' ELSE '' END
                  || coalesce(' DEFAULT ' || pg_get_expr(adbin, adrelid), '')) AS statement
      FROM ours JOIN pg_attribute ON attrelid = ours.oid AND NOT attisdropped AND attname LIKE 'afresh\_%'
      LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    UNION ALL
    SELECT 2, table_name || conname, format('ALTER TABLE %s ADD CONSTRAINT %I %s;', table_name, conname,
                                            pg_get_constraintdef(pg_constraint.oid))
      FROM ours JOIN pg_constraint ON conrelid = ours.oid AND conname LIKE 'afresh\_%'
    UNION ALL
    SELECT 3, table_name || relname, pg_get_indexdef(pg_class.oid) || ';'
      FROM ours JOIN pg_index ON indrelid = ours.oid JOIN pg_class ON pg_class.oid = indexrelid
     WHERE relname LIKE 'afresh\_%'
       AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)
    UNION ALL
    SELECT 4, table_name || tgname, pg_get_triggerdef(pg_trigger.oid) || ';'
      FROM ours JOIN pg_trigger ON tgrelid = ours.oid AND tgname LIKE 'afresh\_%' AND NOT tgisinternal
    UNION ALL
    SELECT 5, table_name, format('ALTER TABLE %s SET (%s);', table_name, array_to_string(reloptions, ', '))
      FROM ours WHERE reloptions IS NOT NULL
) AS addition ORDER BY kind, place
"""


def dump(conninfo: str) -> str:
    """The text of sql/schema.sql for a database, which holds no secret.

    Raises:
        PostgresError: pg_dump failed, as it does on a server newer than itself.
    """
    dumped = pg_dump(conninfo, "--schema=afresh")
    with psycopg.connect(conninfo, row_factory=tuple_row) as conn:
        additions = [statement for (statement,) in conn.execute(_ADDITIONS)]
    return _HEADER + _body(dumped) + "\n".join(["", *additions, ""])


def pg_dump(conninfo: str, *options: str) -> str:
    """The schema of a database in pg_dump's own words.

    Raises:
        PostgresError: As for `dump`.
    """
    usual = ["--schema-only", "--no-owner", "--no-privileges", "--restrict-key=afresh"]
    command = [str(find_programs(18).bin / "pg_dump"), *usual, *options, f"--dbname={conninfo}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - the wheel's own
    if done.returncode:
        raise PostgresError(f"pg_dump: {done.stderr.strip()}")
    return done.stdout


def write(path: Path | None = None) -> Path:
    """Write the file, and return where it is."""
    path = path or sql_dir() / "schema.sql"
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)  # Of our own making; a system account may have to pass.
        with embedded_server(Path(folder), durable=False).join() as server:
            with psycopg.connect(server.conninfo(), autocommit=True) as conn:
                migrate(conn)
            path.write_text(dump(server.conninfo()), encoding="utf-8")
    return path


def _body(dumped: str) -> str:
    """The schema alone: what stands around it are session settings, and comments that name the very release."""
    _, found, schema = dumped.partition("CREATE SCHEMA")
    lines = (found + schema).splitlines()
    kept = [line for line in lines if not _AROUND.match(line)]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip() + "\n"


if __name__ == "__main__":
    sys.stdout.write(f"{write()}\n")
