import pytest

from app.config import read_settings
from app.queue.decide import describe, engine
from app.retry.classify import Context, from_description
from app.retry.failure import FailureType
from app.retry.policy import DeadLetter, Decision, Fixed, Retry, RetryPolicy, Tier


def test_written_rules_win(monkeypatch: pytest.MonkeyPatch):
    """FAILURE_RULES give an exception class its type."""
    monkeypatch.setenv("FAILURE_RULES", "mycompany.Busy=TRANSIENT_RESOURCE")
    context = Context(rules=engine(read_settings()).rules)
    assert from_description(exception_type="mycompany.Busy", context=context).type is FailureType.TRANSIENT_RESOURCE


def test_a_longer_first_wait_is_not_cut_off(monkeypatch: pytest.MonkeyPatch):
    """A first wait that is set beyond the cap that ships is waited."""
    monkeypatch.setenv("POLICY__PERMANENT_NOT_FOUND__INITIAL_DELAY", "1m")
    policies = engine(read_settings()).by_type.policies
    assert policies[FailureType.PERMANENT_NOT_FOUND].wait_seconds(1) == 60


def test_a_description_is_decided_as_its_object():
    """retry_on and give_up_on are asked about the class that was named, its bases included."""
    tier = Fixed(RetryPolicy(max_retries=2, retry_on=(OSError,), give_up_on=(ConnectionResetError,)))
    assert [type(each) for each in decisions(tier, "ConnectionRefusedError")] == [Retry, Retry, DeadLetter]
    assert [type(each) for each in decisions(tier, "ConnectionResetError")] == [DeadLetter]
    assert [type(each) for each in decisions(tier, "ValueError")] == [DeadLetter]


def decisions(tier: Tier, name: str) -> list[Decision]:
    """What would follow an exception of that name."""
    _, following = describe(
        engine(read_settings()), exception_type=name, message="", status=None, sqlstate=None, tier=tier
    )
    return following
