"""`simulate`: what policies do to the jobs and to a dependency that misbehaves, played through."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .refusals import Refusal, told_in_one_line

if TYPE_CHECKING:
    from ..retry.simulate.scenario import Scenario

PICTURES = Path("build/simulate")


def simulate(
    names: Annotated[list[str] | None, typer.Argument(help="Scenarios by name; by default all of them.")] = None,
    *,
    short: Annotated[bool, typer.Option("--short", help="Fewer jobs: seconds instead of minutes.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print the rows as the guide has them.")] = False,
    seed: Annotated[int, typer.Option("--seed", help="The same seed has the same end.")] = 1,
    out: Annotated[Path, typer.Option("--out", help="Folder for the pictures.")] = PICTURES,
) -> None:
    """Play outages through: ours against fixed delay, exponential, exponential with full jitter."""
    from ..retry.simulate.plot import file_name, svg
    from ..retry.simulate.run import compared
    from ..retry.simulate.table import COLUMNS, head, markdown, row
    from .show import console, table

    with told_in_one_line():
        chosen = _chosen(names or [], short=short)
    out.mkdir(parents=True, exist_ok=True)
    typer.echo(head() if as_markdown else f"seed {seed}; pictures in {out}")
    for each in compared(chosen, seed=seed):
        (out / file_name(each.scenario)).write_text(svg(each), encoding="utf-8")
        if as_markdown:
            for line in markdown(each):
                typer.echo(line)
            continue
        figures = table(COLUMNS[0], *(f"{name}>" for name in COLUMNS[1:]))
        for outcome in each.outcomes:
            figures.add_row(*row(outcome))
        console().print(f"\n[bold]{each.scenario.name}[/bold]: {each.scenario.story}")
        console().print(figures)


def _chosen(names: list[str], *, short: bool) -> "list[Scenario]":
    from ..retry.simulate.scenario import all_scenarios, short_scenarios

    known = {each.name: each for each in (short_scenarios() if short else all_scenarios())}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise Refusal(f"no scenario is called {unknown[0]}; there are {', '.join(known)}")
    return [known[name] for name in names] or list(known.values())
