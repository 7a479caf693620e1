"""One Postgres server per data folder, shared by the processes that use it and stopped by the last to leave.

Three kernel locks in the server's folder say all there is to know, and none outlives the process that holds it:

    start.lock     held by whoever starts or stops the server
    clients.lock   held, shared, by each user of the server; free means that nobody uses it
    server.lock    held by the postmaster and its children, who inherit it; free means that nothing of it lives

The third also holds between containers that share a volume, where process numbers and shared memory tell nothing.
Nothing listens on a network, and no other user of the machine gets in: the folders refuse first, pg_hba next.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .cluster import DATABASE, ROLE, START_SECONDS, Cluster
from .errors import EmbeddedServerError
from .home import SYSTEM_DIR, Home, find_home
from .locks import POLL_SECONDS, locked, open_lock, take_lock, try_lock
from .programs import find_programs

# How long processes may take to end after their postmaster, and a postmaster to write its number after its start.
_ORPHAN_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class EmbeddedServer:
    """The shared server of one home."""

    cluster: Cluster

    @property
    def home(self) -> Home:
        """Where it lives."""
        return self.cluster.home

    def conninfo(self, *, user: str = ROLE, dbname: str = DATABASE) -> str:
        """How to connect; without a secret, and known before the server runs."""
        return self.cluster.conninfo(user=user, dbname=dbname)

    def join(self) -> "Membership":
        """Use the server, started first if it does not run.

        Raises:
            EmbeddedServerError: It cannot be started.
        """
        clients = self._open("clients.lock")
        try:
            with self._alone():
                # Only who holds start.lock takes it exclusively; a process forked off meanwhile may keep it a while.
                take_lock(clients, name="clients.lock", within=_ORPHAN_SECONDS, shared=True)
                self._ensure_running()
                self.cluster.make_database()
        except BaseException:
            self._leave(clients)
            raise
        return Membership(self, clients)

    def is_running(self) -> bool:
        """Whether any process of this server lives."""
        fd = self._open("server.lock")
        try:
            return not try_lock(fd, shared=True)
        finally:
            os.close(fd)

    def revive(self) -> None:
        """Start the server again if it died under its users.

        Raises:
            EmbeddedServerError: It cannot be started.
        """
        if not self.is_running():
            with self._alone():
                self._ensure_running()

    def restart(self, *, mode: str = "fast") -> None:
        """Stop the server under its users and start it again; ``mode`` is pg_ctl's: fast, immediate or smart.

        Raises:
            EmbeddedServerError: It cannot be stopped or started.
        """
        with self._alone():
            self._stop(mode)
            self._ensure_running()

    def _leave(self, clients: int) -> None:
        """Give up one share. It is closed, not unlocked: a process forked off with a copy of it stays a user."""
        with self._alone():
            os.close(clients)
            fd = self._open("clients.lock")
            try:
                if try_lock(fd):
                    self._stop()
            finally:
                os.close(fd)

    def _stop(self, mode: str = "fast") -> None:
        """Stop what we started, and nothing else, until the last of its processes is gone."""
        deadline = time.monotonic() + _ORPHAN_SECONDS
        while self.is_running():
            self.cluster.stop(mode)
            if time.monotonic() > deadline:
                raise EmbeddedServerError(f"processes of the embedded Postgres stay (log: {self.home.log})")
            time.sleep(POLL_SECONDS)

    def _ensure_running(self) -> None:
        """Return when the server answers. What lives without answering recovers, or ends by itself as orphans do."""
        deadline = time.monotonic() + START_SECONDS
        while not self.cluster.answers():
            if time.monotonic() > deadline:
                raise EmbeddedServerError(f"the embedded Postgres does not answer (log: {self.home.log})")
            self._start_unless_alive()
            time.sleep(POLL_SECONDS)

    def _start_unless_alive(self) -> None:
        fd = self._open("server.lock")
        try:
            if try_lock(fd) and not self.cluster.postmaster_lives():
                self.cluster.start(inherit=fd)
        finally:
            os.close(fd)

    def _open(self, name: str) -> int:
        account = self.home.account
        try:
            return open_lock(self.home.path / name, uid=account.uid, gid=account.gid)
        except OSError as error:
            raise EmbeddedServerError(f"{self.home.path / name}: {error.strerror}") from error

    @contextmanager
    def _alone(self) -> Iterator[None]:
        account = self.home.account
        with locked(self.home.path / "start.lock", uid=account.uid, gid=account.gid, within=START_SECONDS):
            yield


class Membership:
    """One share in a running server. Closing the last share of the machine stops the server."""

    def __init__(self, server: EmbeddedServer, clients: int) -> None:
        self.server = server
        self._clients: int | None = clients

    def close(self) -> None:
        """Leave. A second call does nothing.

        Raises:
            EmbeddedServerError: This was the last share and the server does not stop.
        """
        clients, self._clients = self._clients, None
        if clients is not None:
            self.server._leave(clients)  # noqa: SLF001 - the two are one thing in two halves

    def __enter__(self) -> EmbeddedServer:
        return self.server

    def __exit__(self, *_: object) -> None:
        self.close()


def embedded_server(
    data_dir: Path, *, version: int = 18, durable: bool = True, system_dir: Path = SYSTEM_DIR
) -> EmbeddedServer:
    """The server of a DATA_DIR, not started yet.

    Raises:
        EmbeddedServerError: There is no safe place for it, or no program that runs.
    """
    home = find_home(data_dir, system_dir=system_dir)
    programs = find_programs(version).within_reach_of(home.account, system_dir=system_dir)
    return EmbeddedServer(Cluster(home, programs, durable=durable))
