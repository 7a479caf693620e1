import psycopg
import pytest

from scripts.schema import GOLDEN, VERSION, dump


def test_golden_schema(database_url: str):
    """`sql/schema.sql` is what the migrations make together: a change of the schema shows in review, on one page."""
    with psycopg.connect(database_url) as conn:
        if conn.info.server_version // 10_000 != VERSION:
            pytest.skip(f"dumps are compared on PostgreSQL {VERSION}")
    assert dump(database_url) == GOLDEN.read_text(encoding="utf-8"), "make schema"
