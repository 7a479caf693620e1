"""Which hosts may be called, and which addresses count as theirs. Whatever is not surely public is refused.

A name is resolved once for each connection; every address that it has is judged, and one of these is connected to.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence

from ...retry.failure import FailureType
from ...retry.markers import Permanent

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a host, for a port."""

# The registries of special-purpose addresses (RFC 6890), and what they came to hold since. Python's `is_global` knows
# them too, each release a little differently.
_NOT_PUBLIC = [
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
        "224.0.0.0/4", "240.0.0.0/4",
        # Within what is handed out as public: Teredo and other protocols, documentation, 6to4 around any IPv4 address.
        "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
    )
]  # fmt: skip
_HANDED_OUT = ipaddress.IPv6Network("2000::/3")
"""All public IPv6 addresses are in here: not loopback, link-local, unique local, multicast, mapped or unspecified."""

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
"""An IPv4 address as a network without IPv4 writes it (RFC 6052). What counts is that address."""


class HostNotAllowed(Permanent):
    """HTTP_ALLOWED_HOSTS does not have the host."""

    def __init__(self, host: str, *, redirected: bool = False) -> None:
        if redirected:  # Somebody else's doing: no setting of ours is wrong.
            super().__init__(f"redirected to {host[:200]}, which is not in HTTP_ALLOWED_HOSTS")
        else:
            super().__init__(
                f"{host[:200]} is not in HTTP_ALLOWED_HOSTS: add it there, and restart the workers",
                type=FailureType.CONFIG_MISSING_SETTING,
            )


class AddressNotAllowed(Permanent):
    """The host is at an address that is not public, and in none of HTTP_PRIVATE_NETWORKS."""

    def __init__(self, host: str, address: str) -> None:
        super().__init__(
            f"{host} is at {address}, which is not a public address; HTTP_PRIVATE_NETWORKS says which others may be "
            "reached"
        )


def is_allowed(host: str, allowed: Iterable[str]) -> bool:
    """Whether a host is one of `allowed`: itself, by ``*.its.domain``, or by ``*``."""
    host = host.lower().rstrip(".")
    return any(fits(host, pattern) for pattern in allowed)


def fits(host: str, pattern: str) -> bool:
    """Whether a pattern means a host. ``*.example.com`` means all below it, and not itself."""
    return pattern in {"*", host} or (pattern.startswith("*.") and host.endswith(pattern[1:]) and host != pattern[2:])


def is_public(address: Address) -> bool:
    """Whether an address is one that everybody in the internet means the same by."""
    if isinstance(address, ipaddress.IPv6Address) and address not in _HANDED_OUT:
        return False
    return not any(address in network for network in _NOT_PUBLIC if network.version == address.version)


def meant(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for (mapped, NAT64); else itself."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def check(host: str, found: Sequence[str], private: Sequence[Network]) -> list[str]:
    """Return the addresses of `host`, all of which may be reached.

    Raises:
        AddressNotAllowed: One may not: then none is, or else a name with two addresses would get through by chance.
    """
    for text in found:
        address = _read(host, text)
        inner = meant(address)
        known = any(
            each in network for each in {address, inner} for network in private if network.version == each.version
        )
        if not known and not is_public(inner):
            raise AddressNotAllowed(host, text)
    return list(found)


def _read(host: str, text: str) -> Address:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        raise AddressNotAllowed(host, text) from None


async def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host, as this machine knows them, each once.

    Raises:
        OSError: There are none.
    """
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))
