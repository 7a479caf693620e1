"""`python -m bench.results`: write RESULTS.md: of every suite the newest full measurement."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .__main__ import SUITES
from .report import OUT
from .row import Row, plain

RESULTS = Path(__file__).parent / "RESULTS.md"

HEAD = """# Measured

Every row of `make bench SCALE=full`, each suite as it was measured last. To repeat it: `make bench SCALE=full`, or one
suite with `.venv/bin/python -m bench --scale full --only reads`; then `.venv/bin/python -m bench.results` writes this.
Ratios are taken round by round in one run; the value is the median of the rounds. A row without a bound is only shown.
"""

COLUMNS = ("what", "median", "lowest to highest", "required", "goal", "behind it")


def newest(measured: Sequence[Mapping[str, Any]]) -> dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """By name of a suite: its newest measurement, and the run that was part of.

    Args:
        measured: Runs as `report.write` has them, oldest first.
    """
    return {suite["name"]: (suite, run) for run in measured if run["scale"] == "full" for suite in run["suites"]}


def sections(page: str) -> dict[str, str]:
    """By name of a suite: what the page says of it, its heading left out."""
    _, *parts = f"\n{page}".split("\n## ")
    return {name: text.strip("\n") for name, _, text in (part.partition("\n") for part in parts)}


def section(suite: Mapping[str, Any], run: Mapping[str, Any]) -> str:
    """What the page says of one suite, its heading left out."""
    versions = ", ".join(f"{package} {version}" for package, version in run["versions"].items())
    commit = f", commit {run['commit']}" if run.get("commit") else ""  # Runs before it was noted have none.
    about = (
        f"{run['at'][:10]}{commit}, in {suite['seconds']:.0f} s; {run['cpus']} CPUs ({run['processor']}), load "
        f"{suite['load']:.1f} when it began; Python {run['python']}, PostgreSQL "
        f"{run['postgres']['server_version']} with fsync {run['postgres']['fsync']}; {versions}."
    )
    head = f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}"
    rows = (f"| {' | '.join(_cells(Row(**row)))} |" for row in suite["rows"])
    return "\n".join((about, "", head, *rows))


def _cells(row: Row) -> tuple[str, ...]:
    spread = "" if row.lowest is None or row.highest is None else f"{plain(row.lowest)} to {plain(row.highest)}"
    bounds = (_bound(row, row.required), _bound(row, row.goal))
    return (row.name, f"{plain(row.value)} {row.unit}", spread, *bounds, row.note.replace("|", "\\|"))


def _bound(row: Row, bound: float | None) -> str:
    if bound is None:
        return ""
    return f"{'≤' if row.smaller_is_better else '≥'} {bound:g} {'kept' if row.meets(bound) else '**missed**'}"


def main() -> None:
    """Write the page; a suite that was not measured here keeps what the page said of it."""
    runs = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(OUT.glob("*.json"))]
    said = sections(RESULTS.read_text(encoding="utf-8"))
    said |= {name: section(*measured) for name, measured in newest(runs).items()}
    parts = (f"## {name}\n\n{said[name]}\n" for name in SUITES if name in said)
    RESULTS.write_text("\n".join((HEAD, *parts)), encoding="utf-8")


if __name__ == "__main__":
    main()
