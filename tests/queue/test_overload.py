"""A worker that has too much to carry takes no more jobs until there is room."""

from pathlib import Path

import psycopg
import pytest

from app.config import WorkerSettings
from app.queue import overload
from app.queue.overload import Load, Machine, Overload
from app.queue.task import task
from app.telemetry import Event, WorkerOverloaded, WorkerRelieved

from ..eventually import eventually
from .conftest import OpenApp
from .jobs import value
from .workers import Gate, all_succeeded, as_task, nothing, working

pytestmark = pytest.mark.anyio

Connection = psycopg.AsyncConnection

NO_ROOM = Load(memory=90, cpu=0)
ROOM = Load(memory=50, cpu=0)


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look often."""
    monkeypatch.setattr(overload, "LOOK_SECONDS", 0.02)


def changes(events: list[Event]) -> list[type[Event]]:
    """What was told of overload."""
    return [type(each) for each in events if isinstance(each, WorkerOverloaded | WorkerRelieved)]


async def test_a_real_machine_over_its_limit_takes_no_job(open_app: OpenApp, conn: Connection, events: list[Event]):
    """MAX_MEMORY_PERCENT=1 stops a worker on any machine before its first claim; a worker with room takes the job."""
    quick = task(name="quick")(nothing)
    full = await open_app(worker=WorkerSettings(max_memory_percent=1))
    machine, readings = full.read_load, list[Load]()

    def reading() -> Load:
        readings.append(machine())
        return readings[-1]

    full.read_load = reading
    roomy = await open_app(worker=WorkerSettings(max_memory_percent=100))
    await quick.defer_async()
    async with working(full):
        await eventually(lambda: len(readings) >= 5)
        assert await value(conn, "SELECT status FROM procrastinate_jobs") == "todo"
        assert changes(events) == [WorkerOverloaded]
        async with working(roomy):
            await eventually(lambda: all_succeeded(conn))


async def test_it_goes_on_when_the_load_falls(open_app: OpenApp, conn: Connection, events: list[Event]):
    """While there is no room jobs wait at no cost, and once there is they run, without a notification."""
    load = NO_ROOM
    app = await open_app()
    app.read_load = lambda: load
    quick = task(name="quick")(nothing)
    async with working(app, fetch_job_polling_interval=60):
        await quick.batch_defer_async(*[{} for _ in range(20)])
        assert await value(conn, "SELECT count(*) FROM procrastinate_jobs WHERE status = 'todo'") == 20
        load = ROOM
        await eventually(lambda: all_succeeded(conn))
    assert changes(events) == [WorkerOverloaded, WorkerRelieved]
    assert await value(conn, "SELECT count(*) FROM afresh.attempt") == 0


async def test_a_busy_cpu(open_app: OpenApp, conn: Connection, events: list[Event]):
    """A worker whose CPUs are busy takes no job, whatever it is told of, until they are less so by five points."""
    load, readings = Load(memory=10, cpu=95), 0

    def read() -> Load:
        nonlocal readings
        readings += 1
        return load

    app = await open_app(worker=WorkerSettings(max_cpu_percent=80))
    app.read_load = read
    quick = task(name="quick")(nothing)

    async def takes_none() -> None:
        nonlocal readings
        readings = 0
        await quick.batch_defer_async({}, {})
        await eventually(lambda: readings > 25)
        assert await value(conn, "SELECT count(*) FROM procrastinate_jobs WHERE status <> 'todo'") == 0

    async with working(app, fetch_job_polling_interval=0.02) as worker:
        await eventually(lambda: worker.overload.active)
        await takes_none()
        load = Load(memory=10, cpu=78)
        await takes_none()
        load = Load(memory=10, cpu=74)
        await eventually(lambda: all_succeeded(conn))
    assert changes(events) == [WorkerOverloaded, WorkerRelieved]


async def test_what_was_claimed_ahead_goes_back(open_app: OpenApp, conn: Connection):
    """Once there is too much, only the jobs that run stay; those claimed ahead are there for other workers, as if
    nobody had had them: no attempt tells of it.
    """  # noqa: D205 - one sentence
    load = ROOM
    app = await open_app()
    app.read_load = lambda: load
    gate = Gate()
    gated = task(name="gated")(as_task(gate))
    async with working(app, concurrency=2) as worker:
        worker._average = 0.0001
        await gated.batch_defer_async(*[{} for _ in range(30)])
        await eventually(lambda: gate.running == 2)
        load = NO_ROOM
        await eventually(lambda: worker.overload.active and not worker._ahead)
        await eventually(lambda: waiting(conn, 28))
        gate.open.set()
        await eventually(lambda: not worker._running_jobs)
        await eventually(lambda: waiting(conn, 28))  # A claim that was under way brought some back for an instant.
        assert await value(conn, "SELECT count(*) FROM afresh.attempt") == 0
        load = ROOM
        await eventually(lambda: all_succeeded(conn))


def test_hysteresis():
    """Above its limit it stops; it goes on only where the load is five points below."""
    load = Load(0, 0)
    judge = Overload("w", WorkerSettings(max_memory_percent=85), lambda: load)
    verdicts = []
    for memory in (85, 86, 84, 80.5, 80, 85, 86):
        load = Load(memory, 100)
        judge.look()
        verdicts.append(judge.active)
    assert verdicts == [False, True, True, True, False, False, True]


def test_a_moment_of_work_is_no_overload():
    """One reading of a busy CPU is not enough; several are. And one of an idle CPU is no relief, nor are many of one
    that is a little below the limit; five points below it is.
    """  # noqa: D205 - one sentence after the other
    load = Load(99, 100)
    judge = Overload("w", WorkerSettings(max_memory_percent=0, max_cpu_percent=80), lambda: load)

    def after(cpu: float, looks: int) -> bool:
        nonlocal load
        load = Load(99, cpu)
        for _ in range(looks):
            judge.look()
        return judge.active

    assert not judge.active
    assert after(100, 5)
    assert after(99, 20)  # Now the mean is 99.
    assert after(50, 1)
    assert after(76, 30)
    assert not after(74, 30)
    assert not after(79, 30)
    assert after(81, 30)


def test_no_limit():
    """Where both limits are 0 nothing is ever read."""
    judge = Overload("w", WorkerSettings(max_memory_percent=0), lambda: pytest.fail("read"))
    judge.look()
    assert not judge.active


def test_the_limit_of_a_container(tmp_path: Path):
    """In a container its own limits count, not those of the machine around it; what can be dropped is not in use."""
    group = tmp_path / "kube" / "pod"
    group.mkdir(parents=True)
    for name, text in {
        "kube/memory.max": "1000",
        "kube/memory.current": "100",
        "kube/pod/memory.max": "200",
        "kube/pod/memory.current": "250",
        "kube/pod/memory.stat": "anon 198\ninactive_file 52\n",
        "kube/pod/cpu.max": "50000 100000",
        "kube/pod/cpu.stat": "usage_usec 0\n",
    }.items():
        (tmp_path / name).write_text(text, encoding="ascii")
    (tmp_path / "self").write_text("0::/kube/pod\n", encoding="ascii")
    read = Machine(tmp_path, tmp_path / "self")
    assert read().memory == 99
    (group / "cpu.stat").write_text("usage_usec 3600000000\n", encoding="ascii")
    assert read().cpu > 100


def test_the_machine_itself():
    """This machine has some memory in use, and not all of it."""
    load = Machine()()
    assert 0 < load.memory < 100
    assert load.cpu >= 0


async def waiting(conn: Connection, jobs: int) -> bool:
    """Whether so many jobs wait."""
    return bool(await value(conn, "SELECT count(*) = %s FROM procrastinate_jobs WHERE status = 'todo'", jobs))
