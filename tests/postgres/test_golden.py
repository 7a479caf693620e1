"""sql/schema.sql is what the migrations make, so that a reader and a reviewer can trust it."""

import pytest

from app.postgres.golden import dump
from app.postgres.sqlfiles import sql_dir

from ..servers import Server


def test_the_golden_schema_is_what_the_migrations_make(server: Server, database_url: str):
    """When this fails, run `python -m app.postgres.golden` and read the difference."""
    if server.version != 18:
        pytest.skip("other versions spell the same schema differently")
    assert dump(database_url) == (sql_dir() / "schema.sql").read_text()
