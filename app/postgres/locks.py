"""Locks that the kernel forgets when their holder dies, however it dies.

`flock` belongs to an open file description: closing the last descriptor of it releases the lock, so a process
killed by SIGKILL leaves nothing stale, and two holders within one process exclude each other as two processes do.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import EmbeddedServerError

POLL_SECONDS = 0.02


def open_lock(path: Path, *, uid: int, gid: int) -> int:
    """Open the lock file, made first if need be, and return its descriptor, which children do not inherit.

    A file made here belongs to ``uid`` and ``gid``, so that root does not lock the data's owner out. Symbolic links
    are refused: root must not be led elsewhere from a folder that belongs to another user.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    if os.geteuid() != uid:
        os.fchown(fd, uid, gid)
    return fd


def try_lock(fd: int, *, shared: bool = False) -> bool:
    """Take the lock if it is free now. A shared lock is free unless somebody holds it exclusively."""
    try:
        fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def take_lock(fd: int, *, name: str, within: float, shared: bool = False) -> None:
    """Take the lock, waiting at most ``within`` seconds.

    Raises:
        EmbeddedServerError: It was not free in time.
    """
    deadline = time.monotonic() + within
    while not try_lock(fd, shared=shared):
        if time.monotonic() > deadline:
            raise EmbeddedServerError(f"{name} was held by another process for more than {within:.0f} s")
        time.sleep(POLL_SECONDS)


@contextmanager
def locked(path: Path, *, uid: int, gid: int, within: float) -> Iterator[None]:
    """Hold the lock exclusively inside the block."""
    fd = open_lock(path, uid=uid, gid=gid)
    try:
        take_lock(fd, name=str(path), within=within)
        yield
    finally:
        os.close(fd)
