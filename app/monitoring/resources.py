"""How full the machine of this process is, beside what its workers say of theirs."""

import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

from ..queue.overload import Machine
from ..queue.presence import Disk, disks, fullest_disk
from ..store.hosts import ApiHost, tell_host

if TYPE_CHECKING:
    from ..queue.app import Afresh


@dataclass(frozen=True, slots=True)
class Here:
    """The machine that answers, and its process.

    Attributes:
        cpu_percent, memory_percent: Of the machine, or the container if that is fuller; CPU since the last reading.
        process_bytes: Resident memory of this process.
    """

    host: str
    cpu_percent: float
    memory_percent: float
    memory_total_bytes: int
    disks: list[Disk]
    pid: int
    process_bytes: int
    threads: int


def look_around(app: "Afresh") -> Here:
    """Read it now; costs a few system calls."""
    load, process = app.read_load(), psutil.Process()
    return Here(
        host=socket.gethostname(),
        cpu_percent=load.cpu,
        memory_percent=load.memory,
        memory_total_bytes=psutil.virtual_memory().total,
        disks=disks(app.settings.database.data_dir),
        pid=os.getpid(),
        process_bytes=process.memory_info().rss,
        threads=process.num_threads(),
    )


async def tell_of_host(app: "Afresh", machine: Machine) -> None:
    """Say how full the machine of this process is: alerts look at hosts without a worker, too.

    Raises:
        psycopg.Error: The database is out of reach.
    """
    here = ApiHost(socket.gethostname(), machine.memory_percent(), fullest_disk(app.settings.database.data_dir))
    async with app.connection() as conn:
        await tell_host(conn, here)
