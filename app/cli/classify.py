"""`classify`: what the engine would make of an error, without there being one."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .refusals import Refusal, told_in_one_line

if TYPE_CHECKING:
    from ..queue.decide import Engine
    from ..retry.failure import Failure
    from ..retry.policy import Decision, Tier

MOST_SHOWN = 20
"""Retries that are listed where a policy allows more, or any number."""


def classify(
    exception: Annotated[str, typer.Argument(help="Exception type, such as httpx.ConnectError.")] = "Exception",
    *,
    message: Annotated[str, typer.Option("--message", "-m", help="Its text.")] = "",
    status: Annotated[int | None, typer.Option("--status", help="HTTP status, such as 503.")] = None,
    sqlstate: Annotated[str | None, typer.Option("--sqlstate", help="SQLSTATE, such as 40001.")] = None,
    task: Annotated[str | None, typer.Option("--task", help="Decide as for this task; by default, by type.")] = None,
) -> None:
    """Say what an error would be taken for, and what would follow: the delays before each retry."""
    from ..queue.app import app
    from ..queue.decide import describe
    from .policies import load_tasks

    with told_in_one_line():
        tasks = load_tasks(app)  # Their modules have rules of their own, and load the libraries they use.
        tier = _tier_of(task, tasks, app.engine) if task else None
    failure, decisions = describe(
        app.engine,
        exception_type=exception,
        message=message,
        status=status,
        sqlstate=sqlstate,
        task_name=task,
        tier=tier,
        most=MOST_SHOWN + 1,
    )
    _show(failure, decisions, app.engine)


def _tier_of(name: str, tasks: list[Any], rules: "Engine") -> "Tier":
    from ..queue.task import options_of

    found = next((each for each in tasks if name in {each.name, *each.aliases, options_of(each).slug}), None)
    if found is None:
        raise Refusal(f"no task is called {name}; `afresh policies` lists them")
    tier = rules.tier_of(found)
    if tier is None:
        raise Refusal(f"{name} has a retry strategy of its own, which answers to real exceptions only")
    return tier


def _show(failure: "Failure", decisions: "list[Decision]", rules: "Engine") -> None:
    from rich.markup import escape

    from ..retry import explain
    from ..retry.policy import DeadLetter, Retry
    from .show import console, seconds, table

    out = console()
    out.print(f"[bold]{failure.type}[/bold]  confidence {failure.confidence:.2f}")
    out.print(failure.sentence, markup=False)
    out.print()
    facts = table("", "")
    facts.show_header = False
    for seen in failure.evidence:
        facts.add_row("because", escape(f"{seen.rule} · {seen.detail}"))
    facts.add_row("what helps", str(failure.remediation))
    facts.add_row("worth a retry", "yes" if failure.retryable else "no")
    facts.add_row("jitter", f"{rules.settings.jitter}, on top of the delays below")
    out.print(facts)
    out.print()
    ladder = table("attempt>", "then", "after>", "why")
    number = 1
    for decided in decisions:
        why = escape(explain.line(decided.explanation[1:]))
        if isinstance(decided, DeadLetter):
            ladder.add_row(str(number), "dead letter", "", why)
        else:
            ladder.add_row(str(number), type(decided).__name__.lower(), seconds(decided.delay), why)
        number += isinstance(decided, Retry)
    out.print(ladder)
