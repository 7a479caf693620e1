"""The socket on which HTTP will be served, bound before anything else is started: a taken port then stops nothing."""

import errno
import socket

from .refusals import Refusal


def bind(host: str, port: int) -> socket.socket:
    """Bind host and port; 0 takes any free port. Nothing is accepted until a server listens on it.

    Raises:
        Refusal: It is taken, not allowed, or no address of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise Refusal(f"API_HOST {host!r} is no address to serve on: {error.strerror}") from error
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise Refusal(_because(error, host, port)) from error
    return bound


def _because(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} of {host} is taken: stop what uses it, or choose another one with API_PORT"
    return f"cannot serve on port {port} of {host}: {error.strerror}"


def address_of(bound: socket.socket) -> str:
    """Host and port as they stand in an address."""
    host, port = bound.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
