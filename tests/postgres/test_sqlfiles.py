"""Queries live in files, named and explained."""

from pathlib import Path

import pytest

from app.postgres import sqlfiles


@pytest.fixture
def queries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of queries in the place of the real one."""
    monkeypatch.setattr(sqlfiles, "sql_dir", lambda: tmp_path)
    (tmp_path / "queries").mkdir()
    sqlfiles.load.cache_clear()
    return tmp_path / "queries"


def test_queries_are_found_by_name(queries: Path):
    """A file holds the queries of one concept; each keeps its purpose line, and its own parameters."""
    (queries / "jobs.sql").write_text(
        "-- An essay about jobs.\n\n-- name: get_job\n-- One job.\nSELECT * FROM jobs WHERE id = %(id)s;\n\n"
        "-- name: count_jobs\n-- All of them.\nSELECT count(*)\nFROM jobs;\n"
    )
    assert dict(sqlfiles.load("jobs")) == {
        "get_job": "-- One job.\nSELECT * FROM jobs WHERE id = %(id)s",
        "count_jobs": "-- All of them.\nSELECT count(*)\nFROM jobs",
    }


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("-- name: job\n-- One word.\nSELECT 1;\n", "'job' is not a new name"),
        ("-- name: get_job\n-- Once.\nSELECT 1;\n-- name: get_job\n-- Twice.\nSELECT 2;\n", "not a new name"),
        ("-- name: get_job\nSELECT 1;\n", "get_job needs a purpose line"),
        ("-- name: get_job\n-- Nothing to do.\n", "and a statement"),
    ],
)
def test_a_careless_file_is_refused(queries: Path, text: str, complaint: str):
    """Names are verb and noun, unique, and each query says what it is for."""
    (queries / "jobs.sql").write_text(text)
    with pytest.raises(ValueError, match=complaint):
        sqlfiles.load("jobs")


def test_every_query_file_can_be_loaded():
    """The real files keep to the form."""
    sqlfiles.load.cache_clear()
    for path in (sqlfiles.sql_dir() / "queries").glob("*.sql"):
        assert sqlfiles.load(path.stem)
