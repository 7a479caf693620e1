"""Connections that go to the very addresses which were judged, whatever a name says a moment later."""

import ssl
from collections.abc import Iterable, Sequence

import httpcore
import httpx

from .addresses import Network, Resolve, check


class CheckedNetwork(httpcore.AsyncNetworkBackend):
    """Opens connections to judged addresses only."""

    def __init__(self, resolve: Resolve, private: Sequence[Network]) -> None:
        self._resolve = resolve
        self._private = private
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  httpcore's own signature.
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first of the host's addresses that answers.

        Raises:
            AddressNotAllowed: One of them may not be reached.
            httpcore.ConnectError: The host has none, or none answers.
        """
        try:
            found = await self._resolve(host, port)
        except OSError as error:
            raise httpcore.ConnectError(f"{host} cannot be resolved: {error}") from error
        failed: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in check(host, found, self._private):
            try:
                return await self._network.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
        raise failed

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109  As above.
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Refuse: nobody else's host is behind a socket of this machine."""
        del timeout, socket_options
        raise httpcore.ConnectError(f"{path} is no host")

    async def sleep(self, seconds: float) -> None:
        """Wait, between tries of httpcore's; there are none."""
        await self._network.sleep(seconds)


class CheckedTransport(httpx.AsyncHTTPTransport):
    """httpx's own transport on a `CheckedNetwork`, without the environment's proxies."""

    def __init__(self, trusted: ssl.SSLContext, resolve: Resolve, private: Sequence[Network]) -> None:
        super().__init__(verify=trusted, trust_env=False)
        # The only way to a network of one's own: httpx passes none on. A test fails where it no longer is one.
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=trusted, network_backend=CheckedNetwork(resolve, private), max_keepalive_connections=0
        )
