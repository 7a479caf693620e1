"""Tasks of ours that the clock defers, some each minute, which no rate counts.

They are nobody's submissions, and their success says nothing about anybody's work.
"""

from collections.abc import Iterable

from ...store.samples import TaskWork

PACKAGE = "app.tasks"
MODULES = ("analytics", "maintenance", "monitoring")

_BEGINNINGS = tuple(f"{PACKAGE}.{module}." for module in MODULES)


def is_clocked(task_name: str) -> bool:
    """Whether it is one of them."""
    return task_name.startswith(_BEGINNINGS)


def submissions(tasks: Iterable[TaskWork], repeats: int) -> int:
    """What was asked for in some time: jobs that were made, and requests that named one that was made before."""
    return repeats + sum(task.submitted for task in tasks if not is_clocked(task.task_name))


def all_others() -> str:
    """All other tasks, as Prometheus chooses series."""
    return f'task_name!~"{PACKAGE.replace(".", "[.]")}[.]({"|".join(MODULES)})[.].*"'
