"""The queue's composition root: a Procrastinate `App` with our connector, JobManager, worker, engine and tasks."""

import importlib
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Unpack
from weakref import WeakKeyDictionary

import procrastinate
from procrastinate import builtin_tasks, utils
from procrastinate.app import WorkerOptions
from procrastinate.connector import BaseConnector
from procrastinate.tasks import Task
from psycopg import AsyncConnection

from ..config import Settings, load_settings
from ..postgres.connect import Database
from ..postgres.errors import PostgresError
from .adaptation import Adaptation
from .backpressure import Backpressure
from .catalog import Catalog
from .claim import Claimed, own_dependencies
from .connector import AfreshConnector
from .decide import engine
from .dependencies import Dependencies
from .garbage import collect_less_often
from .job_manager import AfreshJobManager
from .overload import Load, Machine
from .rescue import Silence
from .task import Periodic, declarations, relied_on
from .watch import Hub
from .worker import AfreshWorker

_PACKAGE = __name__.rpartition(".queue.")[0]

OWN_MODULES = tuple(
    f"{_PACKAGE}.tasks.{name}"
    for name in (
        "jokes",
        "email",
        "http_request",
        "translation",
        "maintenance",
        "dead_letters",
        "jobs",
        "analytics",
        "monitoring",
        "reports",
    )
)
"""Our own tasks, loaded by name: rooms above this one are never imported from it."""


class Afresh(procrastinate.App):
    """A Procrastinate app whose failures are classified, decided and recorded by the engine."""

    def __init__(self, settings: Settings, *, connector: BaseConnector | None = None) -> None:
        worker = settings.worker
        defaults: WorkerOptions = {
            "concurrency": worker.concurrency,
            "shutdown_graceful_timeout": worker.shutdown_grace.total_seconds(),
            "update_heartbeat_interval": heartbeat_seconds(worker.stalled_after),
        }
        if worker.queues:
            defaults["queues"] = list(worker.queues)
        super().__init__(
            connector=connector or AfreshConnector(Database.from_settings(settings.database)),
            import_paths=[*OWN_MODULES, *worker.task_modules],
            worker_defaults=defaults,
        )
        self.settings = settings
        self.heartbeat_seconds = heartbeat_seconds(worker.stalled_after)
        self.silence = Silence()
        self.engine = engine(settings)
        self.catalog = Catalog(self.tasks, self.engine.tier_of, settings)
        self.backpressure = Backpressure(self, settings.submission.max_queue_size)
        self.job_manager = AfreshJobManager(self.connector, relied_on)
        self.hub = Hub(self)
        self.dependencies = Dependencies(self)
        self.adaptation = Adaptation(self)
        # What each worker runs now, kept by itself; for those who look on, from any thread.
        self.running: WeakKeyDictionary[AfreshWorker, Mapping[Any, Claimed]] = WeakKeyDictionary()
        self.read_load: Callable[[], Load] = Machine()
        self._own_dependencies: tuple[int, tuple[list[str], list[str]], dict[str, str]] = (-1, ([], []), {})
        declarations.adopt(self)

    def register(self, task: Task[Any, Any, Any], periodic: Periodic | None) -> None:
        """Take over a task declared by `@task`.

        Raises:
            procrastinate.exceptions.TaskAlreadyRegistered: Its name is taken.
        """
        if self.tasks.get(task.name) is task:
            return
        self._register_task(task)
        task.blueprint = self
        if periodic and periodic.when(self.settings):
            self.periodic_registry.register_task(task=task, cron=periodic.cron, periodic_id="", configure_kwargs={})

    def _register_builtin_tasks(self) -> None:
        """Undo what an earlier app of this process did: each adds one more prefix to the names, until none fits."""
        own = {task.full_path: task for task in builtin_tasks.builtin.tasks.values()}
        for name, task in own.items():
            task.name, task.aliases = name, []
        builtin_tasks.builtin.tasks = own
        super()._register_builtin_tasks()

    def perform_import_paths(self) -> None:
        """Import the modules of tasks, the user's last; those of the working directory can be found.

        Python finds them there by itself under `python -m`, and not under a program that is installed, as `afresh`
        and `procrastinate` are.

        Raises:
            SystemExit: One of TASK_MODULES cannot be imported; the line that says which and why is printed. The exit
                is raised here as in `load_settings`, for the same programs.
        """
        here = str(Path.cwd())
        if here not in sys.path:
            sys.path.append(here)
        for module in self.import_paths:
            try:
                importlib.import_module(module)
            except (ImportError, SyntaxError) as error:
                if module in OWN_MODULES:  # A defect of ours, which no setting mends.
                    raise
                line = f"TASK_MODULES: {module} cannot be imported: {type(error).__name__}: {error}"
                print(line, file=sys.stderr)  # noqa: T201 - for the person who has just started it.
                raise SystemExit(2) from None
        super().perform_import_paths()  # type: ignore[no-untyped-call]  # Procrastinate's is not annotated.

    def own_dependencies(self) -> tuple[list[str], list[str]]:
        """The tasks that rely on something, and on what."""
        return self._know_dependencies()[1]

    def dependency_of(self, task_name: str) -> str | None:
        """What a task relies on."""
        return self._know_dependencies()[2].get(task_name)

    def _know_dependencies(self) -> tuple[int, tuple[list[str], list[str]], dict[str, str]]:
        if self._own_dependencies[0] != len(self.tasks):
            pairs = own_dependencies(self.tasks)
            self._own_dependencies = (len(self.tasks), pairs, dict(zip(*pairs, strict=True)))
        return self._own_dependencies

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection[Any]]:
        """A connection to the queue's database, in autocommit, for as long as it is needed.

        Raises:
            procrastinate.exceptions.AppNotOpen: Outside of ``open_async``.
        """
        if not isinstance(self.connector, AfreshConnector):
            raise TypeError(f"{type(self.connector).__name__} has no connections of ours")
        async with self.connector.lend() as conn:
            yield conn

    def open_async(self, pool: Any = None) -> utils.AwaitableContext[procrastinate.App]:
        """Open the database; Procrastinate's own command line ends with one line and exit code 2 where that fails.

        Its handler of errors would end it with exit code 1, which restarts what a restart does not mend.
        """
        if not _is_procrastinates_command():
            return super().open_async(pool)

        async def open_or_exit() -> None:
            try:
                await self.connector.open_async(pool)
            except PostgresError as error:
                print(error, file=sys.stderr)  # noqa: T201 - for the person who has just started it.
                raise SystemExit(2) from None

        return utils.AwaitableContext(open_coro=open_or_exit, close_coro=self.connector.close_async, return_value=self)

    def _worker(self, **options: Unpack[WorkerOptions]) -> AfreshWorker:
        chosen: Any = {**self.worker_defaults, **options}
        return AfreshWorker(app=self, **chosen)

    async def run_worker_async(self, **options: Unpack[WorkerOptions]) -> None:
        """Run a worker, with logs and metrics listening."""
        importlib.import_module(f"{_PACKAGE}.monitoring.logs").configure_logs(self.settings.log)
        collect_less_often()
        with importlib.import_module(f"{_PACKAGE}.monitoring.exporter").exporting(self):
            await super().run_worker_async(**options)


def heartbeat_seconds(stalled_after: timedelta) -> float:
    """Between two heartbeats: three may fail before others take a worker for lost."""
    return min(10.0, stalled_after.total_seconds() / 4)


def create(settings: Settings, *, connector: BaseConnector | None = None) -> Afresh:
    """An app by these settings."""
    return Afresh(settings, connector=connector)


def _is_procrastinates_command() -> bool:
    """Whether this process is ``procrastinate …`` or ``python -m procrastinate …``."""
    program = Path(sys.argv[0])
    return "procrastinate" in (program.stem, program.parent.name)


def __getattr__(name: str) -> Any:
    """`app`, made when it is first asked for: the settings are read then, and not by everything that imports `create`.

    Raises:
        SystemExit: A setting is wrong; the line that says so is printed.
    """
    if name == "app":
        made = globals()["app"] = create(load_settings())
        return made
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
