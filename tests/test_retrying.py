import asyncio
import functools
from collections.abc import Callable, Iterator
from datetime import timedelta
from random import Random
from typing import Any

import httpx
import pytest
from fastapi import BackgroundTasks, FastAPI

from app import telemetry
from app.queue.task import failure_rule
from app.retry.backoff import Backoff, Jitter
from app.retry.failure import FailureType
from app.retry.policy import DeadLetter, DeathCause, Retry, RetryPolicy
from app.retry.presets import CRITICAL
from app.retry.rules import Rule
from app.retrying import Retrying, retrying
from app.telemetry import AttemptAborted, AttemptFailed, AttemptSnoozed, AttemptStarted, AttemptSucceeded, Event

from .eventually import eventually

QUICK: dict[str, Any] = {"initial_delay": 0.001, "jitter": "none"}


@pytest.fixture
def events() -> Iterator[list[Event]]:
    """What was emitted during the test."""
    heard: list[Event] = []
    unsubscribe = telemetry.subscribe(heard.append)
    yield heard
    unsubscribe()


class OwnRuledError(ConnectionRefusedError):
    """Would be retried if no rule said otherwise."""


class Flaky:
    """Fails with these errors in turn, and then returns what it is called with."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self, value: str = "done") -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return value


def refused(count: int) -> list[ConnectionRefusedError]:
    """As many failures that pass by themselves."""
    return [ConnectionRefusedError(111, "Connection refused") for _ in range(count)]


def answered(status: int, **headers: str) -> httpx.HTTPStatusError:
    """A server's answer, as httpx raises it."""
    request = httpx.Request("GET", "http://joke-api/")
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    response = httpx.Response(status, headers=named, request=request)
    return httpx.HTTPStatusError(f"{status}", request=request, response=response)


def failed(events: list[Event]) -> list[AttemptFailed]:
    """The failures among what happened."""
    return [event for event in events if isinstance(event, AttemptFailed)]


def test_wrong_arguments_are_a_bug():
    """There is no job whose arguments could be corrected: whoever calls it wrongly has to change the call."""

    def charge(order: int) -> int:
        return order

    with pytest.raises(TypeError) as caught:
        retrying(operation_name="charge")(charge)()  # type: ignore[call-arg]  # The bug.
    assert "only a change of the code mends it" in caught.value.__notes__[0]


# --- the forms


def test_a_function():
    """A decorated function is called again after a failure that passes, and returns what it returns."""
    flaky = Flaky(*refused(2))
    assert retrying(**QUICK)(flaky)("joke") == "joke"
    assert flaky.calls == 3


async def again(flaky: Flaky, value: str) -> str:
    """The same, as a coroutine function."""
    await asyncio.sleep(0)
    return flaky(value)


def test_a_coroutine_function():
    """A decorated coroutine function stays one, and is awaited again after a failure that passes."""
    flaky = Flaky(*refused(2))
    decorated = retrying(**QUICK)(again)
    assert asyncio.iscoroutinefunction(decorated)
    assert asyncio.run(decorated(flaky, "joke")) == "joke"
    assert flaky.calls == 3


def test_a_block():
    """A block under `for attempt` and `with attempt` runs again, and counts its attempts from 1."""
    flaky, numbers = Flaky(*refused(2)), []
    for attempt in retrying(**QUICK):
        with attempt:
            numbers.append(attempt.number)
            flaky()
    assert numbers == [1, 2, 3]


def test_an_async_block():
    """A block under `async for attempt` and `with attempt` does the same without blocking the loop."""
    flaky = Flaky(*refused(2))

    async def run() -> int:
        async for attempt in retrying(**QUICK):
            with attempt:
                flaky()
        return attempt.number

    assert asyncio.run(run()) == 3


def test_a_partial_and_a_callable_object():
    """What is async behind a partial or a `__call__` is awaited too."""

    class Sender:
        async def __call__(self, flaky: Flaky) -> str:
            return flaky("sent")

    first, second = Flaky(*refused(1)), Flaky(*refused(1))
    assert asyncio.run(retrying(**QUICK)(functools.partial(again, first))("joke")) == "joke"
    assert asyncio.run(retrying(**QUICK)(Sender())(second)) == "sent"


def test_generators_are_refused():
    """A generator cannot be begun again half-way and is refused when it is decorated."""

    def numbers() -> Iterator[int]:
        yield 1

    with pytest.raises(TypeError, match="generator"):
        retrying()(numbers)


def test_a_block_without_its_guard_runs_once():
    """Where `with attempt` was forgotten, the loop ends after one pass instead of never."""
    assert [attempt.number for attempt in retrying(**QUICK)] == [1]


def test_each_call_is_a_run_of_its_own():
    """Attempts of one call do not count for the next."""
    flaky = Flaky(*refused(2))
    decorated = retrying(max_retries=1, **QUICK)(flaky)
    with pytest.raises(ConnectionRefusedError):
        decorated()
    assert decorated("joke") == "joke"


def test_fastapi_background_tasks():
    """A decorated function runs as a background task of FastAPI, async and sync."""
    first, second = Flaky(*refused(2)), Flaky(*refused(1))
    api = FastAPI()

    @api.post("/orders")
    async def order(background: BackgroundTasks) -> None:
        background.add_task(retrying(**QUICK)(again), first, "async")
        background.add_task(retrying(**QUICK)(second))

    async def post() -> int:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(api), base_url="http://localhost") as client:
            return (await client.post("/orders")).status_code

    assert asyncio.run(post()) == 200
    assert (first.calls, second.calls) == (3, 2)


# --- giving up


def test_the_last_exception_is_raised_unchanged():
    """When retries are spent, the last exception itself comes out, its explanation beside it as a note."""
    errors = refused(3)
    with pytest.raises(ConnectionRefusedError) as caught:
        retrying(max_retries=2, **QUICK)(Flaky(*errors))()
    assert caught.value is errors[2]
    assert str(caught.value) == "[Errno 111] Connection refused"
    assert "all 2 retries spent" in caught.value.__notes__[0]


def test_permanent_failures_are_not_retried():
    """What fails again when repeated is raised at once."""
    flaky = Flaky(ValueError("no such colour"))
    with pytest.raises(ValueError, match="no such colour"):
        retrying(**QUICK)(flaky)()
    assert flaky.calls == 1


def test_retry_on_and_give_up_on():
    """retry_on overrides the veto for the classes it names; give_up_on wins over all."""
    flaky = Flaky(ValueError())
    assert retrying(retry_on=(ValueError,), **QUICK)(flaky)() == "done"
    with pytest.raises(ConnectionRefusedError):
        retrying(give_up_on=(OSError,), **QUICK)(Flaky(*refused(1)))()


def test_rules_of_the_process():
    """A rule made with `failure_rule`, here after the function was decorated, applies to `retrying` too."""
    flaky = Flaky(OwnRuledError())
    run = retrying(**QUICK)(flaky)
    failure_rule(OwnRuledError)(lambda _: FailureType.PERMANENT_CONFLICT)
    with pytest.raises(OwnRuledError):
        run()
    assert flaky.calls == 1


def test_rules_of_ones_own():
    """A user's rule decides what a failure is, also outside the queue."""
    rule = Rule("colour", FailureType.TRANSIENT_RESOURCE, contains="no such colour")
    flaky = Flaky(ValueError("no such colour"))
    assert retrying(rules=(rule,), **QUICK)(flaky)() == "done"


def test_http_500():
    """An HTTP 500 is retried only where that is switched on."""
    with pytest.raises(httpx.HTTPStatusError):
        retrying(**QUICK)(Flaky(answered(500)))()
    assert retrying(retry_http_500=True, **QUICK)(Flaky(answered(500)))() == "done"


def test_notes_that_cannot_be_written():
    """An exception that uses its notes for something else is raised all the same."""

    class OddError(ValueError):
        __notes__ = 5  # type: ignore[assignment]  # As a careless library might.

    with pytest.raises(OddError):
        retrying(**QUICK)(Flaky(OddError()))()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1), asyncio.CancelledError()])
def test_what_is_no_failure_passes(error: BaseException, events: list[Event]):
    """An interrupt or a cancellation passes through untouched, and is told as an abort."""
    flaky = Flaky(error)
    with pytest.raises(type(error)) as caught:
        retrying(**QUICK)(flaky)()
    assert caught.value is error
    assert flaky.calls == 1
    assert [type(event) for event in events] == [AttemptStarted, AttemptAborted]


def test_cancelled_while_waiting():
    """Cancelled between two attempts, it ends there."""
    flaky = Flaky(*refused(3))

    async def run() -> None:
        call = asyncio.create_task(retrying(initial_delay=600)(again)(flaky, "joke"))
        await eventually(lambda: flaky.calls)
        call.cancel()
        await call

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(run())
    assert flaky.calls == 1


def test_give_up_after():
    """No retry begins after `give_up_after`."""
    flaky = Flaky(*refused(1))
    with pytest.raises(ConnectionRefusedError) as caught:
        retrying(initial_delay=60, give_up_after=5)(flaky)()
    assert "deadline" in caught.value.__notes__[0]


# --- servers' hints


def test_a_rate_limits_hint_costs_no_attempt(events: list[Event]):
    """Told to come back by a rate limit, it does, and the attempt keeps its number."""
    flaky = Flaky(answered(429, retry_after="1"))
    assert retrying(max_retries=1, **QUICK)(flaky)() == "done"
    (snoozed,) = (event for event in events if isinstance(event, AttemptSnoozed))
    assert snoozed.decision.delay >= timedelta(seconds=1)
    assert snoozed.failure is not None
    assert [event.attempt.attempt for event in events if isinstance(event, AttemptStarted)] == [1, 1]


@pytest.mark.parametrize("status", [429, 503])
def test_a_long_hint_is_obeyed_by_giving_up(status: int, events: list[Event]):
    """A server that asks for an hour is neither called before that nor waited for."""
    with pytest.raises(httpx.HTTPStatusError):
        retrying(**QUICK)(Flaky(answered(status, retry_after="3600")))()
    (failure,) = failed(events)
    assert isinstance(failure.decision, DeadLetter)
    assert failure.decision.cause is DeathCause.WAITED_TOO_LONG


# --- what it tells


def test_events(events: list[Event]):
    """Each attempt is told with its names and numbers, each failure with its kind, its decision and the reason."""
    retrying(max_retries=3, operation_name="fetch joke", operation_type="api", **QUICK)(Flaky(*refused(1)))()
    assert [type(event) for event in events] == [AttemptStarted, AttemptFailed, AttemptStarted, AttemptSucceeded]
    first, last = events[1], events[-1]
    assert isinstance(first, AttemptFailed)
    assert isinstance(last, AttemptSucceeded)
    assert first.failure.type is FailureType.TRANSIENT_NETWORK
    assert isinstance(first.decision, Retry)
    assert "1st retry of 3" in first.reason
    label = last.attempt
    assert (label.task_name, label.operation_type, label.attempt, label.max_attempts) == ("fetch joke", "api", 2, 4)


def test_names_itself(events: list[Event]):
    """A function without an operation name goes by its own."""
    asyncio.run(retrying(**QUICK)(again)(Flaky(), "joke"))
    assert isinstance(events[0], AttemptStarted)
    assert events[0].attempt.task_name == f"{__name__}.again"


def test_not_counted(events: list[Event]):
    """track_metrics=False marks the attempts as not to be counted."""
    retrying(track_metrics=False, **QUICK)(Flaky())()
    assert isinstance(events[0], AttemptStarted)
    assert not events[0].attempt.track_metrics


def test_seeded(events: list[Event]):
    """With the same seed, the waits are the same."""
    for _ in range(2):
        retrying(initial_delay=0.001, jitter=Jitter.FULL, rng=Random(3))(Flaky(*refused(3)))()
    delays = [event.decision.delay for event in failed(events) if isinstance(event.decision, Retry)]
    assert len(delays) == 6
    assert delays[:3] == delays[3:]


# --- its policy


@pytest.mark.parametrize(
    ("how", "policy"),
    [
        (retrying(), RetryPolicy(name="standard", max_retries=3, initial_delay=timedelta(seconds=1))),
        (
            retrying(policy=CRITICAL, max_delay=9),
            RetryPolicy(name="critical", max_retries=5, max_delay=timedelta(seconds=9)),
        ),
        (
            retrying(max_retries=7, initial_delay=0.5, backoff_multiplier=3, jitter="full", backoff="linear"),
            RetryPolicy(
                name="standard",
                max_retries=7,
                initial_delay=timedelta(seconds=0.5),
                multiplier=3,
                jitter=Jitter.FULL,
                backoff=Backoff.LINEAR,
            ),
        ),
    ],
)
def test_policy(how: Retrying, policy: RetryPolicy):
    """What is given replaces what the policy says; numbers are seconds."""
    assert how.policy == policy


@pytest.mark.parametrize("call", [lambda: retrying(max_retries=-1), lambda: retrying(jitter="some")])
def test_senseless_arguments(call: Callable[[], object]):
    """A wrong number or name is refused where it is given."""
    with pytest.raises(ValueError, match=r"max_retries|some"):
        call()
