"""Which hosts and addresses count as reachable."""

import ipaddress

import pytest

from app.tasks.http.addresses import AddressNotAllowed, check, is_allowed, is_public, meant, resolve

PUBLIC = [
    "8.8.8.8",
    "1.1.1.1",
    "93.184.216.34",
    "2606:2800:220:1:248:1893:25c8:1946",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
]

FORBIDDEN = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.8.9.10", "169.254.169.254", "172.16.0.1",  # noqa: S104 - nothing binds here.
    "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.7",
    "203.0.113.9", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::127.0.0.1", "fe80::1", "fe80::1%eth0", "fec0::1", "fc00::1", "fd12:3456::1", "ff02::1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:0:127.0.0.1", "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe", "64:ff9b:1::7f00:1", "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::", "2002:808:808::1",
    "3fff::1", "4000::1", "5f00::1",
]  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_public(address: str):
    """What everybody in the internet can reach may be reached."""
    assert check("api.example.com", [address], ()) == [address]


@pytest.mark.parametrize("address", FORBIDDEN)
def test_forbidden(address: str):
    """Loopback, private, link-local, multicast, reserved and documentation may not, however they are written."""
    with pytest.raises(AddressNotAllowed, match="HTTP_PRIVATE_NETWORKS"):
        check("api.example.com", [address], ())


@pytest.mark.parametrize("text", ["", "localhost", "127.0.0.1:80", "0x7f.1", "1.2.3"])
def test_no_address(text: str):
    """What a resolver should not have given is refused, too."""
    with pytest.raises(AddressNotAllowed):
        check("api.example.com", [text], ())


def test_one_forbidden_address_is_enough():
    """A name with a public and a private address is refused, whichever would have been tried first."""
    for found in (["8.8.8.8", "10.0.0.1"], ["10.0.0.1", "8.8.8.8"]):
        with pytest.raises(AddressNotAllowed, match=r"10\.0\.0\.1"):
            check("api.example.com", found, ())


@pytest.mark.parametrize("address", ["10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::a01:203", "fd00::5"])
def test_private_networks(address: str):
    """What HTTP_PRIVATE_NETWORKS names may be reached, and nothing beside it."""
    networks = [ipaddress.ip_network("10.1.0.0/16"), ipaddress.ip_network("fd00::/64")]
    assert check("intra", [address], networks) == [address]
    for other in ("10.2.0.1", "fd01::1", "127.0.0.1"):
        with pytest.raises(AddressNotAllowed):
            check("intra", [other], networks)


def test_meant():
    """An IPv6 address that carries an IPv4 one is judged as that."""
    assert str(meant(ipaddress.ip_address("::ffff:1.2.3.4"))) == "1.2.3.4"
    assert str(meant(ipaddress.ip_address("64:ff9b::102:304"))) == "1.2.3.4"
    assert str(meant(ipaddress.ip_address("2606:4700::1"))) == "2606:4700::1"


def test_nothing_public_is_not_global():
    """Python's own registry calls nothing private that is public here, over one address of each /8 and of its edges."""
    tried = [ipaddress.IPv4Address(first << 24 | rest) for first in range(256) for rest in (0, 1, 0x800101, 0xFFFFFF)]
    assert not [each for each in tried if is_public(each) and not each.is_global]


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("api.example.com", True), ("API.Example.Com", True), ("api.example.com.", True), ("example.com", False),
        ("x.partner.test", True), ("a.b.partner.test", True), ("partner.test", False), ("evilpartner.test", False),
        ("api.example.com.evil.test", False), ("127.0.0.1", False),
    ],
)  # fmt: skip
def test_allowed_hosts(host: str, allowed: bool):  # noqa: FBT001 - the promise is about a verdict.
    """A host is allowed by its name, or by a pattern for all names below a domain; nothing else looks like it."""
    assert is_allowed(host, ["api.example.com", "*.partner.test"]) is allowed


def test_every_host():
    """A star allows every host, and says nothing about addresses."""
    assert is_allowed("anything.test", ["*"])
    assert not is_allowed("anything.test", [])


@pytest.mark.anyio
@pytest.mark.parametrize("host", ["0x7f.0.0.1", "2130706433", "127.1", "localhost", "[::1]"])
async def test_ways_to_write_loopback(host: str):
    """However loopback is written, what the machine makes of it is refused, or is no host at all."""
    try:
        found = await resolve(host, 80)
    except OSError:
        return
    with pytest.raises(AddressNotAllowed):
        check(host, found, ())
