"""Procrastinate's JobManager where a statement of ours is better; on a foreign connector it is Procrastinate's own."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson
from procrastinate import exceptions, jobs, manager
from procrastinate.connector import BaseConnector
from procrastinate.tasks import Task

from ..postgres.sqlfiles import load
from .connector import AfreshConnector, AfreshSyncConnector, patiently

SQL = load("submit")

WAKE_CHANNEL = "afresh_wake"
"""Says that something may have become runnable without a job being inserted."""


ReliedOn = Callable[[str, Mapping[str, Any]], str | None]
"""What a job of a task, by its name, relies on by its arguments."""


class AfreshJobManager(manager.JobManager):
    """Defers in one plain statement, and listens for more than insertions."""

    def __init__(self, connector: BaseConnector, relied_on: ReliedOn) -> None:
        super().__init__(connector)
        self._relied_on = relied_on

    @property
    def ours(self) -> bool:
        """Whether the connector is on our schema: users' tests bring Procrastinate's in-memory one."""
        return isinstance(self.connector, AfreshConnector | AfreshSyncConnector)

    @property
    def inserts(self) -> bool:
        """Whether `insert` can be used."""
        return isinstance(self.connector, AfreshConnector)

    async def insert(self, job: jobs.Job, task_kwargs: dict[str, Any], connection: Any | None = None) -> int:
        """Insert one job like `job` with these arguments, and return its id.

        Raises:
            procrastinate.exceptions.AlreadyEnqueued: A queueing lock is held by a waiting job.
        """
        return await self._insert(self._columns(job, task_kwargs), connection)

    async def insert_of(self, task: Task[Any, Any, Any], task_kwargs: dict[str, Any]) -> int:
        """Insert one job of a task as it was declared, and return its id.

        Raises:
            procrastinate.exceptions.AlreadyEnqueued: A queueing lock is held by a waiting job.
        """
        columns = {
            "queue_name": task.queue,
            "task_name": task.name,
            "priority": task.priority,
            "lock": task.lock,
            "queueing_lock": task.queueing_lock,
            "args": task_kwargs,
            "scheduled_at": None,
            "dependency": self._relied_on(task.name, task_kwargs),
        }
        return await self._insert(columns, None)

    async def _insert(self, columns: dict[str, Any], connection: Any | None) -> int:
        columns["args"] = _json(columns["args"])
        rows = await self._inserted(SQL["insert_job"], columns, connection)
        job_id: int = rows[0][0]
        return job_id

    async def _inserted(self, query: Any, parameters: dict[str, Any], connection: Any | None) -> list[tuple[Any, ...]]:
        connector: Any = self.connector
        try:
            rows: list[tuple[Any, ...]] = await connector.fetch(query, parameters, connection)
        except exceptions.UniqueViolation as error:
            self._raise_already_enqueued(exc=error, queueing_lock=error.queueing_lock)
        return rows

    async def batch_defer_jobs_async(self, jobs: list[jobs.Job], connection: Any | None = None) -> list[jobs.Job]:
        """Insert jobs in the order given and return them with their ids.

        Raises:
            procrastinate.exceptions.AlreadyEnqueued: A queueing lock is held by a waiting job.
        """
        if not isinstance(self.connector, AfreshConnector):
            return await super().batch_defer_jobs_async(jobs, connection)
        query, parameters = self._insertion(jobs)
        rows = await self._inserted(query, parameters, connection)
        return _with_ids(jobs, [job_id for (job_id,) in rows])

    def batch_defer_jobs(self, jobs: list[jobs.Job], connection: Any | None = None) -> list[jobs.Job]:
        """As `batch_defer_jobs_async`, for code that is not asynchronous."""
        if not self.ours:
            return super().batch_defer_jobs(jobs, connection)
        query, parameters = self._insertion(jobs)
        connector: Any = self.connector.get_sync_connector()
        try:
            if connection is None:
                rows = connector.execute_query_all(query, **parameters)
            else:
                rows = connector.execute_query_all_with_connection(connection, query, **parameters)
        except exceptions.UniqueViolation as error:
            self._raise_already_enqueued(exc=error, queueing_lock=error.queueing_lock)
        return _with_ids(jobs, [row["id"] for row in rows])

    def _insertion(self, new: list[jobs.Job]) -> tuple[Any, dict[str, Any]]:
        rows = [self._columns(job, job.task_kwargs) for job in new]
        if len(rows) == 1:
            return SQL["insert_job"], rows[0] | {"args": _json(rows[0]["args"])}
        return SQL["insert_jobs"], {"jobs": _json(rows)}

    def _columns(self, job: jobs.Job, args: dict[str, Any]) -> dict[str, Any]:
        return {
            "queue_name": job.queue,
            "task_name": job.task_name,
            "priority": job.priority,
            "lock": job.lock,
            "queueing_lock": job.queueing_lock,
            "args": args,
            "scheduled_at": job.scheduled_at,
            "dependency": self._relied_on(job.task_name, args),
        }

    async def cancel_job_by_id_async(
        self,
        job_id: int,
        abort: bool = False,  # noqa: FBT001, FBT002  Procrastinate's signature.
        delete_job: bool = False,  # noqa: FBT001, FBT002  As above.
        connection: Any | None = None,
    ) -> bool:
        """Cancel a waiting job, or ask for the end of a running one; return whether there was one.

        Workers that have nothing else to do learn at once that its lock is free.
        """
        if not isinstance(self.connector, AfreshConnector):
            return await super().cancel_job_by_id_async(job_id, abort, delete_job, connection)
        parameters = {"job_id": job_id, "abort": abort, "delete_job": delete_job}
        rows = await self.connector.fetch(SQL["cancel_by_id"], parameters, connection)
        return rows[0][0] is not None

    def cancel_job_by_id(
        self,
        job_id: int,
        abort: bool = False,  # noqa: FBT001, FBT002  Procrastinate's signature.
        delete_job: bool = False,  # noqa: FBT001, FBT002  As above.
        connection: Any | None = None,
    ) -> bool:
        """As `cancel_job_by_id_async`, for code that is not asynchronous."""
        if not self.ours:
            return super().cancel_job_by_id(job_id, abort, delete_job, connection)
        query, parameters = SQL["cancel_by_id"], {"job_id": job_id, "abort": abort, "delete_job": delete_job}
        connector: Any = self.connector.get_sync_connector()
        if connection is None:
            row = connector.execute_query_one(query, **parameters)
        else:
            row = connector.execute_query_one_with_connection(connection, query, **parameters)
        return row["id"] is not None

    async def listen_for_jobs(
        self, *, on_notification: manager.NotificationCallback, queues: Iterable[str] | None = None
    ) -> None:
        """Pass on what Procrastinate's triggers say, and our own wake-ups as if a job had been inserted."""
        if not self.ours:
            await super().listen_for_jobs(on_notification=on_notification, queues=queues)
            return

        async def heard(*, channel: str, payload: str) -> None:
            said: jobs.Notification = orjson.loads(payload) if payload else {"type": "job_inserted", "job_id": 0}
            await on_notification(channel=channel, notification=said)

        channels = [*manager.get_channel_for_queues(queues), WAKE_CHANNEL]
        await self.connector.listen_notify(on_notification=heard, channels=channels)

    async def register_worker(self) -> int:
        """Register a worker that starts, and wait for a database that is away just then."""
        return await patiently(super().register_worker) if self.ours else await super().register_worker()

    async def prune_stalled_workers(self, seconds_since_heartbeat: float) -> list[int]:
        """Leave silent workers registered: rescue takes their jobs over by the clock, one by one, with a record.

        Pruned, all their jobs would look lost at once, also those of a worker that was only slow to answer.
        """
        if not self.ours:
            pruned: list[int] = await super().prune_stalled_workers(seconds_since_heartbeat)
            return pruned
        return []


def _json(value: Any) -> str:
    """As JSON; what orjson refuses, such as keys that are no text and large integers, as Procrastinate writes it.

    Raises:
        TypeError: It is no JSON.
    """
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return json.dumps(value)


def _with_ids(new: list[jobs.Job], ids: list[int]) -> list[jobs.Job]:
    todo = jobs.Status.TODO.value
    return [evolved(job, id=job_id, status=todo) for job, job_id in zip(new, ids, strict=True)]


def evolved(job: jobs.Job, **changes: Any) -> jobs.Job:
    """As ``job.evolve``, which asks every field for its name and takes four times as long."""
    fields = {**vars(job), **changes}
    fields.pop("call_string", None)  # A property that caches itself.
    return jobs.Job(**fields)
