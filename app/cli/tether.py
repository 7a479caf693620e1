"""Ties a process to the one that started it, so that nothing outlives a supervisor, however that ends."""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # prctl(2); Linux only.


def follow(parent: int) -> None:
    """Have this process end in its orderly way (SIGTERM) as soon as the process `parent` is gone.

    Must be called by a direct child of `parent`. The kernel watches the thread that started the child, so that has to
    be one that lasts.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # It was gone before the kernel knew.
        raise SystemExit(1)
