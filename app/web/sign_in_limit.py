"""How often an address may sign in with a wrong key. Holds a bounded number of addresses, in memory."""

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass, field

BURST = 10
"""Wrong keys in a row before an address has to wait."""

REFILL_SECONDS = 6.0
"""The time in which one more is allowed."""

MOST_ADDRESSES = 10_000
"""Beyond, the address that was quiet for longest is forgotten."""


@dataclass(slots=True)
class SignInLimit:
    """A token bucket per address: `BURST` failures at once, then one every `REFILL_SECONDS`.

    Whoever has signed in from an address goes on doing so, also while somebody else there tries keys: behind a proxy,
    many share one address.
    """

    _buckets: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)
    _welcome: OrderedDict[tuple[str, str], None] = field(default_factory=OrderedDict)

    def wait(self, address: str, now: float) -> float:
        """Seconds until this address may try again; 0: at once. `now` in seconds of any steady clock."""
        tokens = self._tokens(_network(address), now)
        return 0.0 if tokens >= 1 else (1 - tokens) * REFILL_SECONDS

    def fail(self, address: str, now: float) -> None:
        """Count a wrong key."""
        network = _network(address)
        self._buckets[network] = (max(0.0, self._tokens(network, now) - 1), now)
        self._buckets.move_to_end(network)
        if len(self._buckets) > MOST_ADDRESSES:
            self._buckets.popitem(last=False)

    def welcome(self, address: str, name: str) -> None:
        """Remember that this key was right from here."""
        pair = (_network(address), name)
        self._welcome[pair] = None
        self._welcome.move_to_end(pair)
        if len(self._welcome) > MOST_ADDRESSES:
            self._welcome.popitem(last=False)

    def is_welcome(self, address: str, name: str) -> bool:
        """Whether this key was right from here before."""
        return (_network(address), name) in self._welcome

    def _tokens(self, network: str, now: float) -> float:
        tokens, then = self._buckets.get(network, (float(BURST), now))
        return min(float(BURST), tokens + (now - then) / REFILL_SECONDS)


def _network(address: str) -> str:
    """An IPv6 host owns at least 2**64 addresses; they count as one."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(parsed.ipv4_mapped or ipaddress.ip_network((parsed, 64), strict=False))
    return address
