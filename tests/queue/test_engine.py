import pytest

from app.config import read_settings
from app.queue.decide import engine
from app.retry.classify import Context, from_description
from app.retry.failure import FailureType


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
