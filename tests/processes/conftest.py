"""A project folder per test, on the test's own database where the embedded server is not the subject."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.cli.joke_server import JokeServer

from ..servers import temporary_folder
from .programs import Project, project_in


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A project folder; `.env` names nothing yet."""
    with project_in(tmp_path) as project:
        project.write_env()
        yield project


@pytest.fixture
def embedded_project() -> Iterator[Project]:
    """A project folder where root's embedded server may live too."""
    with temporary_folder() as folder, project_in(folder) as project:
        project.write_env()
        yield project


@pytest.fixture
def jokes() -> Iterator[JokeServer]:
    """A joke API on loopback."""
    with JokeServer() as server:
        yield server
