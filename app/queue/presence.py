"""What a worker says about itself with each heartbeat: where it runs, as what, and how full its machine is."""

import os
import socket
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import psutil

from .. import __version__
from ..postgres.sqlfiles import load
from ..retry.budget import CAPACITY
from ..store import scaling
from .connector import AfreshConnector
from .overload import Overload
from .storable import storable

if TYPE_CHECKING:
    from .app import Afresh

SQL = load("spine")

MOST_BUDGETS = 50
"""A task may guard each host there is; the fullest are left out."""


@dataclass(frozen=True, slots=True)
class Presence:
    """One worker of this process.

    Attributes:
        queues: Those it takes jobs from; None: all.
        data_dir: Where the embedded database would be: a disk to keep an eye on.
    """

    name: str
    queues: Iterable[str] | None
    concurrency: int
    data_dir: Path
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def report(self, worker_id: int, running: int, overload: Overload, budgets: Mapping[str, float]) -> dict[str, Any]:
        """The parameters of a heartbeat. `budgets` are tokens by dependency."""
        load = overload.load()
        return {
            "worker_id": worker_id,
            "name": self.name,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "version": __version__,
            "queues": list(self.queues) if self.queues else None,
            "concurrency": self.concurrency,
            "running": running,
            "overloaded": overload.active,
            "memory_bytes": psutil.Process().memory_info().rss,
            "host_memory_percent": load.memory,
            "host_cpu_percent": load.cpu,
            "host_disk_percent": fullest_disk(self.data_dir),
            "started_at": self.started_at,
            "budgets": orjson.dumps(_told(budgets)).decode(),
        }


@dataclass(frozen=True, slots=True)
class Disk:
    """A file system that the service writes to. Sizes are in bytes; `percent` is what its users have used of theirs."""

    path: str
    total: int
    free: int
    percent: float


def disks(data_dir: Path) -> list[Disk]:
    """The file systems with the data and with temporary files; each once, and none that cannot be asked."""
    found: dict[int, Disk] = {}
    for path in _existing((data_dir, Path(tempfile.gettempdir()))):
        try:
            usage, device = psutil.disk_usage(str(path)), path.stat().st_dev
        except OSError:  # Gone meanwhile, or not ours to look at.
            continue
        found.setdefault(device, Disk(str(path), usage.total, usage.free, usage.percent))
    return list(found.values())


def fullest_disk(data_dir: Path) -> float:
    """What is in use of the fullest of them, in percent."""
    return max((disk.percent for disk in disks(data_dir)), default=0.0)


def _existing(paths: Iterable[Path]) -> Iterable[Path]:
    """Each path, or the nearest folder above it that is there."""
    for path in paths:
        yield next((each for each in (path, *path.parents) if each.exists()), path)


def _told(budgets: Mapping[str, float]) -> dict[str, float]:
    """Those that are not full, the emptiest of them. A name that Postgres would refuse must not end the heartbeat."""
    emptiest = sorted((tokens, name) for name, tokens in budgets.items() if tokens < CAPACITY)
    return {storable(name): round(tokens, 1) for tokens, name in emptiest[:MOST_BUDGETS]}


async def tell_presence(app: "Afresh", said: Mapping[str, Any], *, anew: bool) -> bool:
    """Say what a worker reports, on a new connection if so wished; False: it was pruned, and nobody knows it any more.

    On a connector that is not ours no more is said than that it lives.

    Raises:
        psycopg.Error, procrastinate.exceptions.ConnectorException, TimeoutError: The database is out of reach.
    """
    connector = app.connector
    if not isinstance(connector, AfreshConnector):
        await app.job_manager.update_heartbeat(said["worker_id"])
        return True
    async with connector.fresh() if anew else connector.connection() as conn:
        return await (await conn.execute(SQL["beat_heart"], said)).fetchone() is not None


async def tell_drain(app: "Afresh") -> None:
    """Say AUTOSCALING_DRAIN; nothing on a connector that is not ours.

    Raises:
        psycopg.Error, TimeoutError: The database is out of reach.
    """
    if isinstance(app.connector, AfreshConnector):
        async with app.connector.connection() as conn:
            await scaling.tell_drain(conn, app.settings.scaling.drain)
