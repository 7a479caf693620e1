import logging
from collections.abc import Callable, Iterator

import pytest

from app import telemetry
from app.telemetry import Attempt, AttemptStarted, Event, Subscriber, emit

STARTED = AttemptStarted(Attempt(task_name="process_document", attempt=1))


@pytest.fixture
def subscribe() -> Iterator[Callable[[Subscriber], Callable[[], None]]]:
    """`telemetry.subscribe`, ended after the test."""
    endings = []

    def subscribe_for_now(subscriber: Subscriber) -> Callable[[], None]:
        endings.append(telemetry.subscribe(subscriber))
        return endings[-1]

    yield subscribe_for_now
    for unsubscribe in endings:
        unsubscribe()


Subscribe = Callable[[Subscriber], Callable[[], None]]


def explode(event: Event) -> None:
    """Fail on whatever happened."""
    raise RuntimeError(type(event).__name__)


def test_every_subscriber_hears_every_event(subscribe: Subscribe):
    """An event reaches all subscribers, in the order in which they subscribed."""
    heard: list[tuple[str, Event]] = []
    subscribe(lambda event: heard.append(("first", event)))
    subscribe(lambda event: heard.append(("second", event)))
    emit(STARTED)
    assert heard == [("first", STARTED), ("second", STARTED)]


def test_unsubscribe(subscribe: Subscribe):
    """Ending a subscription ends that one only, also when the same subscriber came twice or it is ended twice."""
    heard: list[Event] = []
    end = subscribe(heard.append)
    subscribe(heard.append)
    end()
    end()
    emit(STARTED)
    assert heard == [STARTED]


def test_failing_subscriber(subscribe: Subscribe, caplog: pytest.LogCaptureFixture):
    """A subscriber that raises is logged; the others still hear, and the emitter does not notice."""
    heard: list[Event] = []
    subscribe(explode)
    subscribe(heard.append)
    with caplog.at_level(logging.ERROR):
        emit(STARTED)
    assert heard == [STARTED]
    (record,) = caplog.records
    assert "failed on AttemptStarted" in record.getMessage()
    assert record.exc_info is not None


def test_subscriber_ends_itself(subscribe: Subscribe):
    """A subscriber may end its own subscription while it hears an event; nobody else misses it."""
    heard: list[str] = []

    def once(_: Event) -> None:
        heard.append("once")
        end()

    end = subscribe(once)
    subscribe(lambda _: heard.append("always"))
    emit(STARTED)
    emit(STARTED)
    assert heard == ["once", "always", "always"]
