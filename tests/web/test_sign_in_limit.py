import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.web import sign_in_limit
from app.web.sign_in_limit import BURST, REFILL_SECONDS, SignInLimit


def failed(limit: SignInLimit, address: str, times: int, now: float = 0.0) -> None:
    """Let an address fail."""
    for _ in range(times):
        limit.fail(address, now)


def test_burst():
    """An address may fail so often at once, then has to wait for the next try."""
    limit = SignInLimit()
    failed(limit, "10.0.0.1", BURST - 1)
    assert limit.wait("10.0.0.1", 0.0) == 0
    failed(limit, "10.0.0.1", 1)
    assert limit.wait("10.0.0.1", 0.0) == REFILL_SECONDS
    assert limit.wait("10.0.0.1", REFILL_SECONDS) == 0
    assert limit.wait("10.0.0.2", 0.0) == 0


def test_ipv6():
    """An IPv6 network of one host counts as one address; IPv4 in IPv6 is IPv4."""
    limit = SignInLimit()
    failed(limit, "2001:db8::1", BURST)
    assert limit.wait("2001:db8::ffff:1", 0.0) > 0
    assert limit.wait("2001:db8:0:1::1", 0.0) == 0
    failed(limit, "::ffff:10.0.0.1", BURST)
    assert limit.wait("10.0.0.1", 0.0) > 0


def test_bounded(monkeypatch: pytest.MonkeyPatch):
    """However many addresses come, only so many are held; the last ones are."""
    monkeypatch.setattr(sign_in_limit, "MOST_ADDRESSES", 10)
    limit = SignInLimit()
    for number in range(100):
        failed(limit, f"10.0.0.{number}", BURST)
        limit.welcome(f"10.0.0.{number}", "somebody")
    assert len(limit._buckets) == len(limit._welcome) == 10
    assert limit.wait("10.0.0.99", 0.0) > 0
    assert limit.is_welcome("10.0.0.99", "somebody")
    assert not limit.is_welcome("10.0.0.0", "somebody")


@given(st.lists(st.floats(0, 100), max_size=60))
def test_rate(gaps: list[float]):
    """Whoever tries whenever it is allowed never fails more often than the burst and what the time refilled."""
    limit, now, failures = SignInLimit(), 0.0, 0
    for gap in gaps:
        now += gap
        if limit.wait("a", now) == 0:
            limit.fail("a", now)
            failures += 1
    assert failures <= BURST + now / REFILL_SECONDS + 1e-6
