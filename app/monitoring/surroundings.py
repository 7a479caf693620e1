"""What alerts want to know beside what is counted: how full this host is, and whom a critical task relies on."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ..queue.overload import Machine
from ..queue.presence import fullest_disk
from .alerts.observe import critical_dependencies
from .labels import Names

if TYPE_CHECKING:
    from ..queue.app import Afresh


class Surroundings(Collector):
    """Of one process. Read when asked; costs a few system calls."""

    def __init__(self, app: "Afresh", names: Names) -> None:
        self._app = app
        self._names = names
        self._machine = Machine()

    def collect(self) -> Iterable[Metric]:
        """Yield what is so now. May be called from any thread."""
        yield GaugeMetricFamily(
            "afresh_host_memory_percent",
            "Memory in use, of the machine or of this process's container, whichever is fuller.",
            self._machine.memory_percent(),
        )
        yield GaugeMetricFamily(
            "afresh_host_disk_percent",
            "Of the fuller of the disks with the data and with temporary files, what is in use.",
            fullest_disk(self._app.settings.database.data_dir),
        )
        critical = critical_dependencies(self._app)
        family = GaugeMetricFamily(
            "afresh_dependency_critical", "Whether a critical task relies on it.", labels=["dependency"]
        )
        for name in self._names.dependencies():
            family.add_metric([self._names.dependency(name)], name in critical)
        yield family
