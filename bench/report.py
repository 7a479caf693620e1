"""The table, and the same as JSON."""

import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from .row import Row, plain

OUT = Path(__file__).parent / "out"

PACKAGES = ("procrastinate", "psycopg", "fastapi", "uvicorn")
"""Whose versions a number depends on."""


@dataclass(frozen=True, slots=True)
class Suite:
    """What one module measured.

    Attributes:
        seconds: It took.
        load: Of the machine when it began: processes that wanted a CPU, over a minute.
    """

    name: str
    rows: Sequence[Row]
    seconds: float
    load: float


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


def write(suites: Sequence[Suite], scale: str, postgres: Mapping[str, Any]) -> Path:
    """Write bench/out/<time>.json and return its path."""
    OUT.mkdir(exist_ok=True)
    now = datetime.now(UTC)
    path = OUT / f"{now:%Y%m%dT%H%M%SZ}.json"
    about = {"at": now.isoformat(), "scale": scale, **_machine(), "postgres": postgres}
    written = json.dumps({**about, "suites": [asdict(suite) for suite in suites]}, indent=2, ensure_ascii=False)
    path.write_text(written, encoding="utf-8")
    return path


def _machine() -> dict[str, object]:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    processor = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    return {
        "cpus": os.cpu_count(),
        "processor": processor,
        "machine": platform.machine(),
        "python": platform.python_version(),
        "commit": _commit(),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
    }


def _commit() -> str | None:
    """What was measured; None where it did not come by git."""
    git = shutil.which("git")
    if git is None:
        return None
    ask = [git, "rev-parse", "--short", "HEAD"]
    told = subprocess.run(ask, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10, check=False)
    return told.stdout.strip() or None


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
