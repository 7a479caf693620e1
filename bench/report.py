"""The table, and the same as JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from .row import Row, plain

OUT = Path(__file__).parent / "out"


def show(console: Console, rows: Sequence[Row]) -> None:
    """Print the table and name what falls short."""
    table = Table(title="Afresh, measured", title_justify="left", header_style="bold")
    table.add_column("what")
    for column in ("median", "lowest-highest", "required", "goal"):
        table.add_column(column, justify="right")
    table.add_column("behind it")
    for row in rows:
        table.add_row(row.name, _value(row), _spread(row), _bound(row, row.required), _bound(row, row.goal), row.note)
    console.print(table)
    _name_misses(console, "required", [(row.name, row.meets(row.required)) for row in rows], "red")
    _name_misses(console, "the goal", [(row.name, row.meets(row.goal)) for row in rows], "yellow")


def write(rows: Sequence[Row], about: dict[str, object]) -> Path:
    """Write bench/out/<time>.json and return its path."""
    OUT.mkdir(exist_ok=True)
    now = datetime.now(UTC)
    path = OUT / f"{now:%Y%m%dT%H%M%SZ}.json"
    table = [asdict(row) | {"ok": row.meets(row.required), "goal_ok": row.meets(row.goal)} for row in rows]
    path.write_text(json.dumps({"at": now.isoformat(), **about, "rows": table}, indent=2, ensure_ascii=False))
    return path


def _value(row: Row) -> str:
    shown = f"{plain(row.value)} {row.unit}"
    colour = {True: "green", False: "red", None: "default"}[row.meets(row.required)]
    return f"[{colour}]{shown}[/{colour}]"


def _spread(row: Row) -> str:
    return "" if row.lowest is None or row.highest is None else f"{plain(row.lowest)} - {plain(row.highest)}"


def _bound(row: Row, bound: float | None) -> str:
    if bound is None:
        return ""
    kept = "[green]✓[/green]" if row.meets(bound) else "[red]✗[/red]"
    return f"{'≤' if row.smaller_is_better else '≥'} {bound:g} {kept}"


def _name_misses(console: Console, bound: str, verdicts: Sequence[tuple[str, bool | None]], colour: str) -> None:
    misses = [name for name, kept in verdicts if kept is False]
    held = sum(kept is not None for _, kept in verdicts)
    if misses:
        console.print(f"[{colour}]Short of {bound} ({len(misses)} of {held}):[/{colour}] {'; '.join(misses)}")
    elif held:
        console.print(f"[green]All {held} rows that have one reach {bound}.[/green]")
