"""Tasks of ours that the clock defers, some each minute, and what these defer: no rate of all together counts them.

They are nobody's submissions, and their success says nothing about anybody's work. The database knows the same names,
for its sums: `afresh.is_clocked`. By their full names, for a package of a user's may be called `app.tasks`, too.
"""

PACKAGE = "app.tasks"

TASKS = {
    "analytics": ("refresh_retry_statistics", "report_retries"),
    "maintenance": (
        "bury_overdue",
        "expire_idempotency_keys",
        "fold_failures",
        "purge_gone_workers",
        "purge_old_jobs",
        "retry_stalled_jobs",
        "tend_breakers",
        "tend_dead_letters",
    ),
    "monitoring": ("evaluate_alerts", "forget_samples", "sample_performance", "send_alert"),
}
"""By their modules."""

_NAMES = frozenset(f"{PACKAGE}.{module}.{name}" for module, names in TASKS.items() for name in names)


def is_clocked(task_name: str) -> bool:
    """Whether it is one of them."""
    return task_name in _NAMES


def all_others() -> str:
    """All other tasks, as Prometheus chooses series."""
    of_modules = "|".join(f"{module}[.]({'|'.join(names)})" for module, names in TASKS.items())
    return f'task_name!~"{PACKAGE.replace(".", "[.]")}[.]({of_modules})"'
