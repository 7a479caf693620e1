"""Embedded servers and processes of a test's own."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.postgres.account import Account
from app.postgres.embedded import EmbeddedServer, embedded_server

from ..servers import temporary_folder

REPOSITORY = Path(__file__).resolve().parents[2]

Serve = Callable[..., EmbeddedServer]
Hold = Callable[..., "Holder"]


class Holder:
    """A process that uses the embedded server of a folder."""

    def __init__(self, data_dir: Path, system_dir: Path, account: Account | None = None) -> None:
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.postgres.holder",
                str(data_dir),
                str(system_dir),
                *([account.name] if account else []),
            ],
            cwd=REPOSITORY,
            env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def says(self) -> str:
        """Its next line."""
        assert self.process.stdout
        return str(self.process.stdout.readline()).strip()

    def leave(self) -> int:
        """Ask it to stop using the server, and wait until it has ended."""
        self.process.communicate(timeout=60)
        return self.process.returncode

    def end(self) -> None:
        """Kill what is left of it."""
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every account of the machine can enter and only the test can write to."""
    with temporary_folder(0o755) as folder:
        yield folder


@pytest.fixture
def serve(folder: Path) -> Iterator[Serve]:
    """Make servers; what still runs at the end is stopped."""
    made: list[EmbeddedServer] = []

    def serve(data_dir: Path | None = None, *, durable: bool = False, version: int = 18) -> EmbeddedServer:
        where = data_dir or folder / "data"
        server = embedded_server(where, version=version, durable=durable, system_dir=folder / "system")
        made.append(server)
        return server

    yield serve
    for server in made:
        server.cluster.stop("immediate")


@pytest.fixture
def hold(folder: Path, serve: Serve) -> Iterator[Hold]:  # noqa: ARG001 - it stops the server after the processes
    """Start processes that use a server; they end with the test."""
    holders: list[Holder] = []

    def hold(data_dir: Path | None = None, *, account: Account | None = None) -> Holder:
        holders.append(Holder(data_dir or folder / "data", folder / "system", account))
        return holders[-1]

    yield hold
    for holder in holders:
        holder.end()
