"""Deferring from Python as Procrastinate does it, without describing each job twice for log lines that nobody reads."""

import logging
from typing import Any, Unpack

from procrastinate import App, jobs
from procrastinate.manager import JobManager
from procrastinate.tasks import ConfigureTaskOptions, Task

from .job_manager import AfreshJobManager, evolved

_logger = logging.getLogger(jobs.__name__)


def _lean(manager: JobManager) -> AfreshJobManager | None:
    """The manager, if it inserts by itself and nobody reads of it in a log."""
    if isinstance(manager, AfreshJobManager) and manager.inserts and not _logger.isEnabledFor(logging.INFO):
        return manager
    return None


class Deferrer(jobs.JobDeferrer):
    """Procrastinate's, with a lean path where its logger is off."""

    async def defer_async(self, **task_kwargs: Any) -> int:
        """Make the job; where nobody reads of it in a log, without describing it before and after."""
        if (manager := _lean(self.job_manager)) is not None:
            return await manager.insert(self.job, {**self.job.task_kwargs, **task_kwargs}, self.connection)
        return await super().defer_async(**task_kwargs)

    def make_new_job(self, **task_kwargs: Any) -> jobs.Job:
        """The job with these arguments."""
        return evolved(self.job, task_kwargs={**self.job.task_kwargs, **task_kwargs})

    def _log_before_defer_jobs(self, jobs: list[jobs.Job]) -> None:
        if _logger.isEnabledFor(logging.DEBUG):
            super()._log_before_defer_jobs(jobs)

    def _log_after_defer_jobs(self, jobs: list[jobs.Job]) -> None:
        if _logger.isEnabledFor(logging.INFO):
            super()._log_after_defer_jobs(jobs)


class DeclaredTask(Task[Any, Any, Any]):
    """A task made by `@task`."""

    async def defer_async(self, *_: Any, **task_kwargs: Any) -> int:
        """As Procrastinate's; where nobody reads of it in a log, straight from what was declared."""
        if isinstance(self.blueprint, App) and (manager := _lean(self.blueprint.job_manager)) is not None:
            return await manager.insert_of(self, task_kwargs)
        return await super().defer_async(**task_kwargs)

    def configure(self, **options: Unpack[ConfigureTaskOptions]) -> Deferrer:
        """As Procrastinate's."""
        made = super().configure(**options)
        return Deferrer(made.job_manager, made.job, made.connection)
