import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.redact import DEEPEST, MASK, is_secret, redact

MASKED = """
password Password PASSWORD db_password dbPassword passwd pwd user_pwd secret client_secret clientSecret token
access_token accessToken X-Auth-Token authorization Authorization Cookie Set-Cookie api_key apiKey API-KEY X-API-Key
apikey APIKEY private_key privateKey aws_secret_access_key secretAccessKey AccountKey card_number cvv ssn session_id
sessionid signing_key credentials passphrase jwt dsn topsecret pin
"""
SHOWN = """
name user author authors authority key primary_key keyboard max_tokens tokens tokenizer secretary passenger passed
pinned spinning opinion session monkey cookies_accepted_at idempotency_key sort_key signed_at address description desk
cardinality number account
"""


@pytest.mark.parametrize("key", MASKED.split())
def test_secret(key: str):
    """A key that names a secret is known in every spelling."""
    assert is_secret(key)


@pytest.mark.parametrize("key", SHOWN.split())
def test_plain(key: str):
    """A key that only looks similar is not masked: operators need to read arguments."""
    assert not is_secret(key)


def test_masks_whole_values():
    """Whatever stands behind a secret key is masked as a whole, at any depth."""
    given = {"a": [{"token": {"value": 1}}, ({"pwd": None},)], "api_key": ["x"], "ok": "token"}
    masked = {"a": [{"token": MASK}, [{"pwd": MASK}]], "api_key": MASK, "ok": "token"}
    assert redact(given) == masked
    assert given["api_key"] == ["x"]


def test_depth():
    """What lies too deep to be looked at is masked."""
    deep: object = "here"
    for _ in range(DEEPEST + 1):
        deep = [deep]
    assert MASK in str(redact(deep))
    assert "here" not in str(redact(deep))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=20,
)


@given(json_values)
def test_masking_twice_changes_nothing(value: object):
    """What is masked stays as it is when it is masked again."""
    assert redact(redact(value)) == redact(value)
