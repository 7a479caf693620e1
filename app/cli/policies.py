"""`policies`: what is retried, how often and when, by failure type and by task."""

from typing import TYPE_CHECKING, Any

from .refusals import told_in_one_line

if TYPE_CHECKING:
    from rich.table import Table

    from ..queue.app import Afresh
    from ..retry.policy import RetryPolicy

WAITS_SHOWN = 5


def policies() -> None:
    """Show the policy of each failure type and of each task, as these settings have them."""
    from ..queue.app import app
    from .show import console

    with told_in_one_line():
        tasks = load_tasks(app)
    out = console()
    out.print(_by_type(app))
    out.print()
    out.print(_by_task(app, tasks))


def load_tasks(app: "Afresh") -> list[Any]:
    """Import every task module; return the tasks by name."""
    app.perform_import_paths()
    return sorted(set(app.tasks.values()), key=lambda task: str(task.name))


def _by_type(app: "Afresh") -> "Table":
    from ..retry.taxonomy import TAXONOMY
    from .show import seconds, table

    rows = table(
        "failure type", "retries>", "waits", "breaker", "what helps", title="By failure type, for tasks without retry="
    )
    bound = app.engine.by_type.max_retries_bound
    for kind, policy in app.engine.by_type.policies.items():
        opens = ""
        if policy.breaker_failures is not None and policy.break_duration is not None:
            counted = "jobs → held," if policy.breaker_holds else "failures →"
            opens = f"{policy.breaker_failures} {counted} {seconds(policy.break_duration)}"
        rows.add_row(kind, _retries(policy, bound), _waits(policy, bound), opens, str(TAXONOMY[kind].actions[0]))
    return rows


def _by_task(app: "Afresh", tasks: list[Any]) -> "Table":
    from rich.markup import escape

    from ..queue.task import options_of
    from ..retry.policy import Fixed
    from .show import seconds, table

    rows = table("task", "slug", "queue", "decided by", "retries>", "waits", "timeout>", "relies on", title="By task")
    for task in tasks:
        options = options_of(task)
        match app.engine.tier_of(task):
            case Fixed(policy):
                decided = (policy.name, _retries(policy, None), _waits(policy, None))
            case None:
                decided = (type(task.retry_strategy).__name__, "its own", "its own")
            case _:
                decided = ("failure type", "", "")
        timeout = seconds(app.engine.timeout_of(task))
        relies_on = options.depends_on or ""
        rows.add_row(*map(escape, (task.name, options.slug, task.queue, *decided, timeout, relies_on)))
    return rows


def _retries(policy: "RetryPolicy", bound: int | None) -> str:
    if policy.max_retries is None:
        return "no limit"
    return str(policy.max_retries if bound is None else min(bound, policy.max_retries))


def _waits(policy: "RetryPolicy", bound: int | None) -> str:
    from ..retry.policy import schedule
    from .show import seconds

    waits = schedule(policy, WAITS_SHOWN + 1)[:bound]
    shown = ", ".join(seconds(each) for each in waits[:WAITS_SHOWN])
    return f"{shown}, …" if len(waits) > WAITS_SHOWN else shown
