"""Finding tasks by name, and judging arguments before a job exists."""

import functools
from datetime import datetime
from typing import Any, Literal

import procrastinate
import pytest
from procrastinate import testing

from app.queue.catalog import AnyTask, Catalog, InvalidArguments, TaskInfo, UnknownTask
from app.queue.task import ExponentialBackoff, task
from app.retry.policy import ByType, Fixed, RetryPolicy, Tier
from app.retry.presets import NONE, default_policies

from ..sample_tasks import accept_anything, add, greet, internal, with_context


class Opaque:
    """What JSON cannot hold."""


def tier_of(task: AnyTask) -> Tier | None:
    """The engine's answer, in short."""
    strategy = task.retry_strategy
    if isinstance(strategy, ExponentialBackoff):
        return Fixed(strategy.policy(RetryPolicy(name="env", max_retries=4)))
    return ByType(default_policies()) if strategy is None else None


def catalog_of(*functions: Any, **options: Any) -> Catalog:
    """A catalog of our sample tasks and of plain ones made from these functions."""
    app = procrastinate.App(connector=testing.InMemoryConnector())
    for function in functions:
        app.task(function, **options)
    ours = {task.name: task for task in (add, greet, internal, accept_anything, with_context)}
    return Catalog({**app.tasks, **ours}, tier_of)


def faults(catalog: Catalog, name: str, /, **args: Any) -> dict[str, str]:
    """What is wrong with arguments; empty where nothing is."""
    try:
        assert catalog.validate(catalog.resolve(name), args) == args
    except InvalidArguments as error:
        return error.faults
    return {}


async def ship_order(order_id: int) -> None:
    """Ship an order.

    Carefully.
    """
    del order_id


def test_names():
    """A task answers to its full name, its aliases and its slug."""
    app = procrastinate.App(connector=testing.InMemoryConnector())
    app.task(name="shop.ship", aliases=["ship_it"])(ship_order)
    catalog = Catalog(app.tasks, tier_of)
    found = [catalog.resolve(name) for name in ("shop.ship", "ship_it", "ship-order")]
    assert {info.name for info in found} == {"shop.ship"}
    assert found[0].aliases == ("ship_it",)
    assert found[0].description == "Ship an order.\n\nCarefully."


def test_default_priority():
    """A task that says nothing is in the middle of 1 to 10, not behind all that say something."""
    assert add.priority == 5


def test_later_tasks():
    """A task that is registered after the first look is found too."""
    app = procrastinate.App(connector=testing.InMemoryConnector())
    catalog = Catalog(app.tasks, tier_of)
    assert catalog.find("ship-order") is None
    app.task(name="shop.ship")(ship_order)
    assert catalog.resolve("ship-order").name == "shop.ship"


@pytest.mark.parametrize("queue", ["q" * 41, "ä" * 21])
def test_longest_queue(queue: str):
    """A queue that no job could be put into is refused where its task is declared."""
    with pytest.raises(ValueError, match="at most 40 bytes"):
        task(queue=queue)


def test_shared_slug():
    """Two plain tasks of one function name have no slug; one that declared it keeps it."""
    app = procrastinate.App(connector=testing.InMemoryConnector())
    for name in ("one.add", "two.add", "one.ship", "two.ship"):
        app.task(name=name)(ship_order if name.endswith("ship") else add.func)
    catalog = Catalog({**app.tasks, add.name: add}, tier_of)
    assert catalog.find("ship-order") is None
    assert catalog.resolve("one.ship").slug is None
    assert catalog.resolve("add").name == add.name


def test_a_plain_function_around_a_coroutine():
    """What runs in a thread cannot be stopped from outside, whatever it wraps."""

    @functools.wraps(ship_order)
    def ship(order_id: int) -> Any:
        return ship_order(order_id)

    assert [info.is_async for info in catalog_of(ship_order) if info.slug == "ship-order"] == [True]
    assert [info.is_async for info in catalog_of(ship) if info.slug == "ship-order"] == [False]


def test_unknown_name():
    """A name that nothing has is refused, with the nearest ones."""
    with pytest.raises(UnknownTask, match="did you mean greet") as caught:
        catalog_of().resolve("gret")
    assert caught.value.close == ["greet"]


def test_each_task_once():
    """A walk over the catalog meets every task once, aliases or not."""
    names = [info.name for info in catalog_of(ship_order, aliases=["ship_it"])]
    assert names == sorted(set(names))
    assert sum(name.endswith("ship_order") for name in names) == 1


@pytest.mark.parametrize(
    ("name", "http"), [("add", True), ("internal", False), ("ship-order", True), ("remove_old_jobs", False)]
)
def test_http(name: str, http: bool):  # noqa: FBT001 - the promise is about a boolean.
    """Users' tasks can be deferred over HTTP unless they say no; Procrastinate's own cannot."""
    catalog = catalog_of(ship_order)
    assert {info.http for info in catalog if name in {info.slug, info.name.rpartition(".")[2]}} == {http}


@pytest.mark.parametrize(
    ("retry", "limit"),
    [
        (ExponentialBackoff.from_env(), 4),
        (procrastinate.RetryStrategy(max_attempts=5), 5),
        (procrastinate.RetryStrategy(max_attempts=0), None),
        (True, None),
        (7, 7),
    ],
)
def test_retries(retry: Any, limit: int | None):
    """The limit of a task is its strategy's; where that is endless or depends on the failure there is none."""
    assert catalog_of(ship_order, retry=retry).resolve("ship-order").max_retries == limit


def test_no_retries():
    """A task that wants none has a limit of 0."""
    catalog = Catalog({add.name: add}, lambda _: Fixed(NONE))
    assert catalog.resolve("add").max_retries == 0


def test_types_are_strict():
    """Nothing is converted: the task would get what was sent, not what it was taken for."""
    catalog = catalog_of()
    assert faults(catalog, "add", a=1, b=2) == {}
    assert set(faults(catalog, "add", a="1")) == {"a"}
    assert set(faults(catalog, "add", a=1.0)) == {"a"}
    assert faults(catalog, "greet", name="x", loud=True, tags=None) == {}
    assert set(faults(catalog, "greet", name="x", loud=1)) == {"loud"}


def test_missing_and_unknown():
    """Missing and unknown arguments are told apart, and what the task takes is said."""
    assert faults(catalog_of(), "add", c=1) == {"a": "missing", "c": "unknown argument; the task takes a, b"}


def test_json_forms():
    """What JSON writes as text or as a list is taken for what the annotation says."""

    def book(at: datetime, seats: tuple[int, ...], size: Literal["s", "m"] = "s") -> None: ...

    catalog = catalog_of(book)
    assert faults(catalog, "book", at="2030-01-31T12:00:00Z", seats=[1, 2], size="m") == {}
    assert set(faults(catalog, "book", at="soon", seats=["x"], size="xl")) == {"at", "seats.0", "size"}


def test_annotations_that_say_nothing():
    """An annotation that is missing, unresolvable or foreign to JSON lets everything through."""

    def odd(plain, foreign: Opaque, missing: "Nowhere", *, count: int = 0) -> None: ...  # type: ignore[name-defined]  # noqa: ANN001, F821 - that is the point.

    catalog = catalog_of(odd)
    assert faults(catalog, "odd", plain=1, foreign="x", missing=None) == {}
    assert faults(catalog, "odd", plain=1, foreign="x") == {"missing": "missing"}


def test_context_is_not_an_argument():
    """The context that Procrastinate passes cannot be sent, and need not be."""
    catalog = catalog_of()
    assert faults(catalog, "with-context", number=1) == {}
    assert set(faults(catalog, "with-context", number=1, context={})) == {"context"}
    assert list(catalog.resolve("with-context").arguments["properties"]) == ["number"]


@pytest.mark.parametrize("name", ["copy", "json", "schema", "_private", "model_config", "class_"])
def test_any_parameter_name(name: str):
    """A parameter may be called anything, also what a model of ours would call its own."""
    scope: dict[str, Any] = {}
    exec(f"def named({name}: int): ...", scope)  # noqa: S102 - a fixed line, with a name from above.
    catalog = catalog_of(scope["named"])
    assert faults(catalog, "named", **{name: 1}) == {}
    assert set(faults(catalog, "named", **{name: "x"})) == {name}


def test_open_ended():
    """A task that takes any keyword takes any argument."""
    assert faults(catalog_of(), "accept-anything", anything={"at": ["all"]}) == {}


def test_schema():
    """The schema of the arguments has their types, their defaults and which are needed."""
    info: TaskInfo = catalog_of().resolve("greet")
    assert info.arguments["required"] == ["name"]
    assert info.arguments["additionalProperties"] is False
    assert info.arguments["properties"]["loud"] == {"default": False, "title": "Loud", "type": "boolean"}


def test_normal_priority():
    """A plain task that says no priority is asked for with the middle one; what it says stands."""
    assert catalog_of(ship_order).resolve("tests.queue.test_catalog.ship_order").priority == 5
    assert catalog_of(ship_order, priority=-3).resolve("tests.queue.test_catalog.ship_order").priority == -3
