"""Ports for programs that have to be told theirs before they listen."""

import itertools
import os
import socket

_FIRST, _AFTER_LAST = 20_000, 32_000
"""Below those that the system gives to connections and listeners that ask for any: nobody else comes to have one."""

_FOR_A_PROCESS = 100

_numbers = itertools.count()


def free_port() -> int:
    """A port of the loopback address that nobody uses, nor will another test of this process.

    Nor, as a rule, one of a process beside it: only those share their ports whose ids are a multiple of 120 apart.
    """
    first = _FIRST + os.getpid() * _FOR_A_PROCESS % (_AFTER_LAST - _FIRST)
    for _ in range(_FOR_A_PROCESS):
        port = first + next(_numbers) % _FOR_A_PROCESS
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # As whoever listens there will.
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError(f"all {_FOR_A_PROCESS} ports from {first} on are taken")
