"""Tasks of ours that the clock defers, some each minute, which no rate counts.

They are nobody's submissions, and their success says nothing about anybody's work. The database says the same, for sums
over all tasks: `afresh.is_clocked`.
"""

PACKAGE = "app.tasks"
MODULES = ("analytics", "maintenance", "monitoring")

_BEGINNINGS = tuple(f"{PACKAGE}.{module}." for module in MODULES)


def is_clocked(task_name: str) -> bool:
    """Whether it is one of them."""
    return task_name.startswith(_BEGINNINGS)


def all_others() -> str:
    """All other tasks, as Prometheus chooses series."""
    return f'task_name!~"{PACKAGE.replace(".", "[.]")}[.]({"|".join(MODULES)})[.].*"'
