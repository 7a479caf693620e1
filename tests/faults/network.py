"""Machines of their own for workers: network namespaces, each on a cable to the host that can be pulled out.

A pulled cable says nothing to anybody: no end of it sends or hears a RST, as when a switch dies or a firewall forgets.
"""

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from psycopg.conninfo import make_conninfo

from app.postgres.cluster import DATABASE, ROLE, Cluster
from app.postgres.embedded import EmbeddedServer, embedded_server

PROGRAM = shutil.which("ip", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")

_NETWORK = f"198.18.{os.getpid() % 256}"
"""Of the addresses that are set apart for tests of networks, which nobody routes."""


def ip(*arguments: str) -> None:
    """Run iproute2's program.

    Raises:
        subprocess.CalledProcessError: It refused.
    """
    assert PROGRAM
    subprocess.run([PROGRAM, *arguments], check=True, capture_output=True, text=True, timeout=10)


@dataclass(frozen=True)
class Machine:
    """A network namespace and its cable.

    Attributes:
        number: From 0.
        namespace: Its name.
    """

    number: int
    namespace: str

    @property
    def host_address(self) -> str:
        """The host's, as this machine reaches it."""
        return f"{_NETWORK}.{4 * self.number + 1}"

    @property
    def own_address(self) -> str:
        """This machine's."""
        return f"{_NETWORK}.{4 * self.number + 2}"

    @property
    def cable(self) -> str:
        """The host's end of it; the kernel allows fifteen characters."""
        return f"af{os.getpid()}h{self.number}"

    @property
    def within(self) -> tuple[str, ...]:
        """What runs a command on this machine."""
        assert PROGRAM
        return (PROGRAM, "netns", "exec", self.namespace)

    def pull(self) -> None:
        """Cut it off. What the host sends goes nowhere either, rather than to whoever its default route leads."""
        ip("link", "set", self.cable, "down")

    def plug(self) -> None:
        """Undo `pull`."""
        ip("link", "set", self.cable, "up")


@contextmanager
def machine(number: int) -> Iterator[Machine]:
    """Make a machine, and leave nothing of it.

    Raises:
        subprocess.CalledProcessError: That is not allowed here.
    """
    made = Machine(number, f"afresh-{os.getpid()}-{number}")
    blackhole = ("blackhole", f"{_NETWORK}.{4 * number}/30", "metric", "4000000")
    with ExitStack() as stack:
        ip("netns", "add", made.namespace)
        stack.callback(ip, "netns", "delete", made.namespace)  # Its end of the cable goes with it, and so the other.
        ip("route", "add", *blackhole)
        stack.callback(ip, "route", "delete", *blackhole)
        ip("link", "add", made.cable, "type", "veth", "peer", "name", "cable", "netns", made.namespace)
        ip("address", "add", f"{made.host_address}/30", "dev", made.cable)
        ip("-n", made.namespace, "address", "add", f"{made.own_address}/30", "dev", "cable")
        ip("-n", made.namespace, "link", "set", "lo", "up")
        ip("-n", made.namespace, "link", "set", "cable", "up")
        made.plug()
        yield made


def why_not() -> str | None:
    """What keeps this process from making machines; None: nothing does."""
    if PROGRAM is None:
        return "iproute2 is not installed"
    if os.geteuid() != 0:
        return "only root makes network namespaces"
    try:
        with machine(63):
            return None
    except (OSError, subprocess.SubprocessError) as error:
        return f"no network namespaces here: {getattr(error, 'stderr', None) or error}"


@dataclass(frozen=True)
class Listening(Cluster):
    """A server that also listens on addresses, and there lets everybody of this network in."""

    addresses: tuple[str, ...] = ()

    def _options(self) -> str:
        settings = {"listen_addresses": ",".join(self.addresses), "hba_file": str(self.home.path / "pg_hba.network")}
        more = shlex.join(word for name, value in settings.items() for word in ("-c", f"{name}={value}"))
        return f"{Cluster._options(self)} {more}"


def listening_server(folder: Path, *machines: Machine) -> EmbeddedServer:
    """A server that these machines reach."""
    plain = embedded_server(folder, durable=False).cluster
    plain.home.write("pg_hba.network", f"local all all peer map=afresh\nhost all all {_NETWORK}.0/24 trust\n")
    addresses = tuple(each.host_address for each in machines)
    return EmbeddedServer(Listening(plain.home, plain.programs, durable=False, addresses=addresses))


def url_from(machine: Machine, **more: str) -> str:
    """How a worker on this machine connects."""
    return make_conninfo(host=machine.host_address, port=5432, user=ROLE, dbname=DATABASE, **more)
