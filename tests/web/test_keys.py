import re

from hypothesis import given
from hypothesis import strategies as st

from app.redact import MASK, redact_text
from app.store.keys import ApiKey, Role, hash_of, new_key, prefix_of


def held(key: str) -> ApiKey:
    """A key as it is stored."""
    from datetime import UTC, datetime

    return ApiKey("deploy", Role.VIEWER, prefix_of(key), hash_of(key), datetime(2030, 1, 1, tzinfo=UTC), None)


def test_form():
    """A key is one word with a public part and 256 random bits; no two are alike; masking knows it."""
    keys = {new_key() for _ in range(100)}
    assert len(keys) == 100
    for key in keys:
        assert re.fullmatch(r"afresh_[0-9a-z]{10}_[0-9A-Za-z]{43}", key)
        assert re.fullmatch(r"afresh_[0-9a-z]{10}", prefix_of(key))
        assert redact_text(f"sent {key} to") == f"sent {MASK} to"


@given(st.text())
def test_matches(other: str):
    """Only the very key matches; nothing that was sent makes the check fail."""
    key = new_key()
    assert held(key).matches(key)
    assert not held(key).matches(other)
    assert not held(key).matches(key + other) or not other


def test_comparison_takes_constant_time():
    """What is compared are digests, by the standard library's comparison whose time tells nothing."""
    names = ApiKey.matches.__code__.co_names
    assert {"hmac", "compare_digest", "hash_of"} <= set(names)


def test_repr():
    """Neither key nor hash shows in a repr."""
    key = new_key()
    assert key not in repr(held(key))
    assert repr(hash_of(key)) not in repr(held(key))


def test_roles():
    """Each role may do what the one before it may."""
    assert Role.VIEWER < Role.OPERATOR < Role.ADMIN
