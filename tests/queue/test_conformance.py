"""The seams of Procrastinate that this package stands on. When an upgrade moves one, its test says where to look.

A failure here is the purpose: read what changed in Procrastinate, carry it over to the file that is named, and only
then update the pin.
"""

import hashlib
import inspect
import re
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import procrastinate
import psycopg
import pytest
from procrastinate import (
    blueprints,
    builtin_tasks,
    connector,
    exceptions,
    job_context,
    jobs,
    manager,
    middleware,
    periodic,
    psycopg_connector,
    retry,
    signals,
    sql,
    tasks,
    worker,
)

from app.queue.app import Afresh
from app.queue.clock import PatientDeferrer
from app.queue.connector import AfreshConnector, AfreshSyncConnector
from app.queue.defer import DeclaredTask, Deferrer
from app.queue.job_manager import AfreshJobManager
from app.queue.submit import QUEUEING_LOCK_INDEX
from app.queue.worker import AfreshWorker


def digest(source: str) -> str:
    """What identifies a text, whatever its spacing."""
    return hashlib.sha256(" ".join(source.split()).encode()).hexdigest()[:12]


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    return list(inspect.signature(function).parameters.values())


def test_the_version():
    """The version that is installed is one that these seams were read in."""
    assert version("procrastinate").startswith("3.10."), "read the seams below in the new version, then widen this"


# What we replace or build on, whose body matters: the file to look at, and what its source was.
pytestmark = pytest.mark.matrix

BODIES = {
    worker.Worker.run: ("app/queue/worker.py, which starts from it", "1c1f21ecb417"),
    worker.Worker.stop: ("app/queue/worker.py: stop", "f040ae20d7f3"),
    worker.Worker._run_loop: ("app/queue/worker.py: _run_loop", "b684c1acade2"),
    worker.Worker._fetch_and_process_jobs: ("app/queue/worker.py: _work and _start", "4de336a3f291"),
    worker.Worker._process_job: ("app/queue/execute.py and call.py", "a527609c1a85"),
    worker.Worker._persist_job_status: ("app/queue/settle.py", "1b3e17bbc99a"),
    worker.Worker._resolve_task_middlewares: ("app/queue/call.py: _prepare", "713f1dd065a0"),
    worker.Worker._shutdown: ("app/queue/worker.py: _shutdown", "351cf2881db9"),
    worker.Worker._abort_job: ("app/queue/worker.py: _abort_job", "a00f3ed9091b"),
    worker.Worker._handle_abort_jobs_requested: ("app/queue/worker.py, which calls it", "15fa0d1b9d7f"),
    worker.Worker._handle_notification: ("app/queue/worker.py, which calls it", "cfe6457278bd"),
    worker.Worker._poll_jobs_to_abort: ("app/queue/loops.py, which runs it", "eb57bde6d354"),
    worker.Worker._start_side_tasks: ("app/queue/loops.py: side_loops", "f59697457617"),
    worker.Worker._periodic_deferrer: ("app/queue/clock.py: defer_periodically", "cb9c3d546795"),
    procrastinate.App.__init__: ("app/queue/app.py: Afresh", "838ee9b1814e"),
    procrastinate.App._worker: ("app/queue/app.py: _worker", "a642c0e6deeb"),
    procrastinate.App._register_builtin_tasks: ("app/queue/app.py: _register_builtin_tasks", "6a9dfd06e5e5"),
    procrastinate.App.open_async: ("app/queue/app.py: open_async", "7b474b40a8f7"),
    procrastinate.App.replace_connector: ("app/queue/job_manager.py: ours", "46394ce75e3f"),
    procrastinate.App.run_worker_async: ("app/queue/app.py: run_worker_async", "0c8278527624"),
    manager.JobManager.batch_defer_jobs_async: ("app/queue/job_manager.py", "23f521c1ba2e"),
    manager.JobManager.batch_defer_jobs: ("app/queue/job_manager.py", "336fb1482c64"),
    manager.JobManager._raise_already_enqueued: ("app/queue/job_manager.py", "aaa733b9c88a"),
    manager.JobManager.cancel_job_by_id_async: ("app/queue/job_manager.py", "ead5ddea5792"),
    manager.JobManager.cancel_job_by_id: ("app/queue/job_manager.py", "b38e4c84aeee"),
    manager.JobManager.listen_for_jobs: ("app/queue/job_manager.py", "8c9ddc96dfcb"),
    manager.JobManager.prune_stalled_workers: ("app/queue/job_manager.py", "f3c573ebfbfc"),
    manager.JobManager.fetch_job: ("app/queue/claim.py: _take_one", "bb65608952b5"),
    manager.JobManager.finish_job: ("app/queue/settle.py: _write_through_procrastinate", "13461f7aae5b"),
    manager.JobManager.retry_job: ("app/queue/settle.py: _write_through_procrastinate", "e6543b9502ee"),
    manager.JobManager.register_worker: ("app/queue/worker.py: register_again", "02f602422884"),
    manager.get_channel_for_queues: ("app/queue/job_manager.py: listen_for_jobs", "b009b996e1f3"),
    psycopg_connector.PsycopgConnector.open_async: ("app/queue/connector.py: open_async", "62a38216cc15"),
    psycopg_connector.PsycopgConnector.close_async: ("app/queue/connector.py: close_async", "11f7a6de3f61"),
    psycopg_connector.PsycopgConnector._create_pool: (
        "app/queue/connector.py: open_async, and Database.pool",
        "416cb9cd939a",
    ),
    psycopg_connector.PsycopgConnector.get_sync_connector: (
        "app/queue/connector.py: get_sync_connector",
        "56c9b6ae576c",
    ),
    psycopg_connector.PsycopgConnector._get_cursor: ("app/queue/connector.py", "ef0dc2243f1b"),
    psycopg_connector.PsycopgConnector.listen_notify: ("app/queue/connector.py: listen_notify", "22413acca1cd"),
    connector.BaseAsyncConnector: ("app/queue/connector.py: _from_thread", "4e9afb467e21"),
    middleware.compose: ("app/queue/call.py", "5a6598841c81"),
    middleware.is_async_middleware: ("app/queue/call.py: _prepare", "8c729efee83b"),
    periodic.PeriodicDeferrer.worker: ("app/queue/loops.py, which runs it under supervision", "8951806bb965"),
    periodic.PeriodicDeferrer.get_timestamps: ("app/queue/clock.py: get_timestamps", "a667f08a29f7"),
    retry.BaseRetryStrategy.get_retry_exception: ("app/queue/strategy.py: ask", "86a31ae4681d"),
    retry.get_retry_strategy: ("app/queue/task.py: task, and Engine.tier_of", "a557cde74276"),
    signals.on_stop: ("app/queue/worker.py: _run_loop", "cf89421b08ce"),
    blueprints.Blueprint._register_task: ("app/queue/app.py: register", "d4abde3d19f1"),
    blueprints.Blueprint.add_tasks_from: ("app/queue/app.py: _register_builtin_tasks", "9d3ab80a3900"),
    tasks.Task.__init__: ("app/queue/task.py: task", "00512e99dc8e"),
    tasks.Task.configure: ("app/queue/defer.py: configure, and AfreshJobManager.insert_of", "6ffbebbdbfd9"),
    tasks.Task.defer_async: ("app/queue/defer.py: defer_async", "4f826106f8cc"),
    tasks.configure_task: ("app/queue/job_manager.py: insert_of", "c59570c2b924"),
    jobs.JobDeferrer.defer_async: ("app/queue/defer.py: defer_async", "2f4760c9c1b6"),
    jobs.JobDeferrer.make_new_job: ("app/queue/defer.py: make_new_job", "6b34aa1cf489"),
    jobs.JobDeferrer._log_before_defer_jobs: ("app/queue/defer.py", "04cbadf172f4"),
    jobs.JobDeferrer._log_after_defer_jobs: ("app/queue/defer.py", "884d6a1cf7e9"),
}


@pytest.mark.parametrize("seam", BODIES, ids=lambda each: each.__qualname__)
def test_what_is_replaced_or_built_on_is_what_was_read(seam: Any):
    """Procrastinate's own code at each seam is the code that ours was written against."""
    where, known = BODIES[seam]
    found = digest(inspect.getsource(seam))
    assert found == known, f"{seam.__qualname__} has changed ({found}): look at {where}"


OVERRIDES = [
    *((AfreshWorker, worker.Worker, name) for name in ("run", "stop", "_run_loop", "_shutdown", "_abort_job")),
    *((AfreshWorker, worker.Worker, name) for name in ("_handle_notification", "_handle_abort_jobs_requested")),
    *((Afresh, procrastinate.App, name) for name in ("_worker", "run_worker_async", "_register_builtin_tasks")),
    *((Afresh, procrastinate.App, name) for name in ("open_async", "perform_import_paths")),
    *((AfreshJobManager, manager.JobManager, name) for name in ("batch_defer_jobs_async", "batch_defer_jobs")),
    *((AfreshJobManager, manager.JobManager, name) for name in ("listen_for_jobs", "prune_stalled_workers")),
    *((AfreshJobManager, manager.JobManager, name) for name in ("cancel_job_by_id_async", "cancel_job_by_id")),
    (AfreshJobManager, manager.JobManager, "register_worker"),
    *((AfreshConnector, psycopg_connector.PsycopgConnector, name) for name in ("open_async", "close_async")),
    *((AfreshConnector, psycopg_connector.PsycopgConnector, name) for name in ("get_sync_connector", "listen_notify")),
    *((AfreshConnector, connector.BaseAsyncConnector, f"execute_query{end}") for end in ("", "_one", "_all")),
    *((AfreshSyncConnector, procrastinate.SyncPsycopgConnector, name) for name in ("open", "close")),
    (PatientDeferrer, periodic.PeriodicDeferrer, "get_timestamps"),
    *((DeclaredTask, tasks.Task, name) for name in ("configure", "defer_async")),
    *((Deferrer, jobs.JobDeferrer, name) for name in ("defer_async", "make_new_job")),
    *((Deferrer, jobs.JobDeferrer, f"_log_{when}_defer_jobs") for when in ("before", "after")),
]


@pytest.mark.parametrize(
    ("ours", "theirs", "name"), OVERRIDES, ids=[f"{ours.__name__}.{name}" for ours, _, name in OVERRIDES]
)
def test_an_override_can_be_called_as_what_it_overrides(ours: type, theirs: type, name: str):
    """What we override takes the arguments that Procrastinate gives it."""
    mine, base = (_by_name(getattr(each, name)) for each in (ours, theirs))
    if any(each.kind is inspect.Parameter.VAR_KEYWORD for each in base.values()):
        assert any(each.kind is inspect.Parameter.VAR_KEYWORD for each in mine.values())
    else:
        assert list(mine) == list(base), f"{ours.__name__}.{name} no longer fits {theirs.__name__}.{name}"


def _by_name(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    return {each.name: each for each in _parameters(function)}


def test_nothing_else_is_overridden():
    """Each method of Procrastinate's that ours replaces is pinned above."""
    known = {(ours, name) for ours, _, name in OVERRIDES}
    known |= {(ours, "__init__") for ours in (Afresh, AfreshJobManager, AfreshConnector, AfreshSyncConnector)}
    known |= {(PatientDeferrer, "__init__")}
    pairs = [
        (AfreshWorker, worker.Worker),
        (Afresh, procrastinate.App),
        (AfreshJobManager, manager.JobManager),
        (AfreshConnector, psycopg_connector.PsycopgConnector),
        (AfreshSyncConnector, procrastinate.SyncPsycopgConnector),
        (PatientDeferrer, periodic.PeriodicDeferrer),
        (DeclaredTask, tasks.Task),
        (Deferrer, jobs.JobDeferrer),
    ]
    found = {
        (ours, name)
        for ours, theirs in pairs
        for name, value in vars(ours).items()
        if inspect.isfunction(value) and hasattr(theirs, name)
    }
    assert found <= known


def test_attributes_of_a_worker():
    """The worker has the attributes that ours uses."""
    made = set(re.findall(r"self\.(\w+)\b.*? = ", inspect.getsource(worker.Worker.__init__)))
    assert {
        "_job_ids_to_abort", "_loop", "_new_job_event", "_running_jobs", "_stop_event", "additional_context", "app",
        "concurrency", "delete_jobs", "fetch_job_polling_interval", "install_signal_handlers", "listen_notify",
        "queues", "shutdown_graceful_timeout", "task_middleware", "update_heartbeat_interval", "wait", "worker_id",
        "worker_middleware", "worker_name",
    } <= made  # fmt: skip


def test_fields_of_a_job():
    """A job is made of the fields that a claim fills, and its context of those that a worker fills."""
    names = [each.name for each in jobs.Job.__attrs_attrs__]
    assert names == [
        "id", "status", "queue", "priority", "lock", "queueing_lock", "task_name", "task_kwargs", "scheduled_at",
        "attempts", "abort_requested", "worker_id",
    ]  # fmt: skip
    context = [each.name for each in job_context.JobContext.__attrs_attrs__]
    assert {"app", "worker_name", "worker_queues", "job", "start_timestamp", "additional_context", "abort_reason"} <= {
        *context
    }


def test_words_of_procrastinate():
    """Statuses, delete modes and reasons of aborts are the ones that the SQL and the worker know."""
    assert [each.value for each in jobs.Status] == [
        "todo", "doing", "succeeded", "failed", "cancelled", "aborting", "aborted",
    ]  # fmt: skip
    assert {each.value for each in jobs.DeleteJobCondition} == {"never", "successful", "always"}
    assert {each.name for each in job_context.AbortReason} == {"USER_REQUEST", "SHUTDOWN"}
    assert manager.QUEUEING_LOCK_CONSTRAINT == QUEUEING_LOCK_INDEX
    assert {"AlreadyEnqueued", "AppNotOpen", "JobAborted", "TaskAlreadyRegistered", "UniqueViolation"} <= {
        *vars(exceptions)
    }


def test_defaults_that_are_relied_upon():
    """A worker polls every 5 s, and so long is what a wake-up must beat."""
    assert worker.FETCH_JOB_POLLING_INTERVAL == worker.ABORT_JOB_POLLING_INTERVAL == 5.0
    assert jobs.DEFAULT_QUEUE == "default"


def test_channels():
    """Workers listen where Procrastinate's triggers speak."""
    assert list(manager.get_channel_for_queues(None)) == ["procrastinate_any_queue_v1"]
    assert list(manager.get_channel_for_queues(["a"])) == ["procrastinate_queue_v1#a"]


def test_builtin_tasks():
    """The builtin tasks are the ones whose names are kept straight."""
    assert {task.full_path for task in builtin_tasks.builtin.tasks.values()} == {
        "procrastinate.builtin_tasks.remove_old_jobs"
    }


# --- SQL


def test_procrastinates_queries():
    """The queries that stand in where the connector is not ours exist under their names."""
    assert {"fetch_job", "finish_job", "retry_job", "register_worker", "unregister_worker", "update_heartbeat"} <= {
        *sql.queries
    }


def test_the_schema_file():
    """Procrastinate's schema is the one that sql/migrations were written against."""
    found = digest((Path(procrastinate.__file__).parent / "sql" / "schema.sql").read_text(encoding="utf-8"))
    assert found == "8fd3c94eaf12", f"the schema has changed ({found}): read it, then what is pinned below"


COLUMNS = {
    "procrastinate_jobs": "id queue_name task_name priority lock queueing_lock args status scheduled_at attempts "
    "abort_requested worker_id afresh_letter afresh_dependency afresh_claim",
    "procrastinate_events": "id job_id type at",
    "procrastinate_workers": "id last_heartbeat",
    "procrastinate_periodic_defers": "id task_name defer_timestamp job_id periodic_id",
}


@pytest.fixture(scope="module")
def schema(server: Any, template: str) -> Any:
    """Answers to questions about the schema."""
    name = f"{template}_read"
    conn = psycopg.connect(server.create(name, template=template), autocommit=True)

    def ask(query: str, *parameters: Any) -> list[Any]:
        return [row[0] for row in conn.execute(query, parameters or None)]

    yield ask
    conn.close()
    server.drop(name)


@pytest.mark.parametrize("table", COLUMNS)
def test_columns(schema: Any, table: str):
    """Procrastinate's tables have the columns that our SQL names."""
    query = "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 ORDER BY attnum"
    assert schema(query, table) == COLUMNS[table].split()


INDEXES = {
    "procrastinate_jobs_lock_idx_v1": "CREATE UNIQUE INDEX procrastinate_jobs_lock_idx_v1 ON public.procrastinate_jobs "
    "USING btree (lock) WHERE (status = 'doing'::procrastinate_job_status)",
    "procrastinate_jobs_queueing_lock_idx_v1": "CREATE UNIQUE INDEX procrastinate_jobs_queueing_lock_idx_v1 ON "
    "public.procrastinate_jobs USING btree (queueing_lock) WHERE (status = 'todo'::procrastinate_job_status)",
    "idx_procrastinate_jobs_worker_not_null": "CREATE INDEX idx_procrastinate_jobs_worker_not_null ON "
    "public.procrastinate_jobs USING btree (worker_id) WHERE ((worker_id IS NOT NULL) AND (status = "
    "'doing'::procrastinate_job_status))",
    "procrastinate_events_job_id_fkey_v1": "CREATE INDEX procrastinate_events_job_id_fkey_v1 ON "
    "public.procrastinate_events USING btree (job_id)",
}


@pytest.mark.parametrize("index", INDEXES)
def test_indexes(schema: Any, index: str):
    """The indexes that a claim, a settlement and a rescue stand on have their names and definitions."""
    assert schema("SELECT indexdef FROM pg_indexes WHERE indexname = %s", index) == [INDEXES[index]]


def test_triggers(schema: Any):
    """What our UPDATEs, INSERTs and DELETEs set off is what we expect: events, notifications, dead letters."""
    query = """
        SELECT pg_get_triggerdef(oid) FROM pg_trigger
        WHERE tgrelid = 'procrastinate_jobs'::regclass AND NOT tgisinternal ORDER BY tgname
    """
    names = [re.sub(r"CREATE TRIGGER (\w+) (.*?) ON .*", r"\1 \2", each) for each in schema(query)]
    assert names == [
        "afresh_follow_replay AFTER UPDATE OF status",
        "afresh_follow_replay_gone AFTER DELETE",
        "afresh_follow_revival AFTER UPDATE OF status",
        "afresh_forget_belongings AFTER DELETE",
        "afresh_jobs_recovered AFTER UPDATE OF status",
        "procrastinate_jobs_notify_queue_job_aborted_v1 AFTER UPDATE OF abort_requested",
        "procrastinate_jobs_notify_queue_job_inserted_v1 AFTER INSERT",
        "procrastinate_trigger_abort_requested_events_v1 AFTER UPDATE OF abort_requested",
        "procrastinate_trigger_delete_jobs_v1 BEFORE DELETE",
        "procrastinate_trigger_scheduled_events_v1 AFTER INSERT OR UPDATE",
        "procrastinate_trigger_status_events_insert_v1 AFTER INSERT",
        "procrastinate_trigger_status_events_update_v1 AFTER UPDATE OF status",
    ]


def test_events_that_triggers_write(schema: Any):
    """The events of a change of status are the ones that views and settlements count on."""
    query = "SELECT enumlabel FROM pg_enum WHERE enumtypid = %s::regtype ORDER BY enumsortorder"
    assert schema(query, "procrastinate_job_event_type") == [
        "deferred", "started", "deferred_for_retry", "failed", "succeeded", "cancelled", "abort_requested", "aborted",
        "scheduled", "retried",
    ]  # fmt: skip
    assert schema(query, "procrastinate_job_status") == [
        "todo", "doing", "succeeded", "failed", "cancelled", "aborting", "aborted",
    ]  # fmt: skip


def test_constraints(schema: Any):
    """A waiting job is never asked to abort, and a worker that is deleted leaves its jobs without one."""
    query = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = %s"
    (check,) = schema(query, "check_not_todo_abort_requested")
    (worker_key,) = schema(query, "procrastinate_jobs_worker_id_fkey")
    assert "abort_requested = true" in check
    assert worker_key == "FOREIGN KEY (worker_id) REFERENCES procrastinate_workers(id) ON DELETE SET NULL"
