"""Deferring from Python: one job after the other, and ten thousand in one call."""

from collections import defaultdict
from collections.abc import Iterator

from .bench import Bench
from .contenders import Contender, run
from .row import Row, ratio

BULK = 10_000

_CONTENDERS: tuple[Contender, Contender] = ("plain", "ours")


def rows(bench: Bench) -> Iterator[Row]:
    """Both, against plain."""
    single: dict[str, list[float]] = defaultdict(list)
    bulk: dict[str, list[float]] = defaultdict(list)
    bench.server.template("plain", ours=False)
    bench.server.template("ours", ours=True)
    for _ in bench.rounds("deferring"):
        for contender in _CONTENDERS:
            with bench.server.database(contender) as conninfo:
                one_by_one = run(contender, "defer", conninfo, jobs=int(600 * bench.scale.seconds))
                single[contender].append(one_by_one["per_second"])
            with bench.server.database(contender) as conninfo:
                bulk[contender].append(run(contender, "defer-batch", conninfo, jobs=BULK)["per_second"])
    yield ratio(
        "deferring one by one from Python, against plain",
        single["ours"],
        single["plain"],
        required=2.0,
        goal=2.3,
        of="jobs/s",
    )
    yield ratio(
        "deferring 10 000 in bulk, against plain", bulk["ours"], bulk["plain"], required=1.0, goal=2.0, of="jobs/s"
    )
