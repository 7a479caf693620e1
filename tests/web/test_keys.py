import re
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from app.redact import MASK, redact_text
from app.store.keys import ApiKey, Role, hash_of, new_hash_key, new_key, prefix_of


def held(key: str) -> ApiKey:
    """A key as it is stored."""
    from datetime import UTC, datetime

    hash_key, then = new_hash_key(), datetime(2030, 1, 1, tzinfo=UTC)
    return ApiKey("deploy", Role.VIEWER, prefix_of(key), hash_of(key, hash_key), hash_key, then, None)


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


def test_hash():
    """The same key stored twice has two hashes, and each of them knows it, with its own hash key alone."""
    key = new_key()
    one, two = held(key), held(key)
    assert one.hash != two.hash
    assert (one.matches(key), two.matches(key)) == (True, True)
    assert not replace(one, hash_key=two.hash_key).matches(key)
    assert {len(one.hash), len(one.hash_key)} == {32}


def test_comparison_takes_constant_time():
    """What is compared are digests, by the standard library's comparison whose time tells nothing."""
    names = ApiKey.matches.__code__.co_names
    assert {"hmac", "compare_digest", "hash_of"} <= set(names)


def test_repr():
    """Neither key nor hash shows in a repr."""
    key = new_key()
    stored = held(key)
    assert not any(repr(hidden) in repr(stored) for hidden in (key, stored.hash, stored.hash_key))


def test_roles():
    """Each role may do what the one before it may."""
    assert Role.VIEWER < Role.OPERATOR < Role.ADMIN
