import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import redact as masking
from app.redact import DEEPEST, LONGEST_HARMLESS, MASK, MOST_HARMLESS, Masked, is_secret, redact, redact_text, restore

MASKED = """
password Password PASSWORD db_password dbPassword passwd pwd user_pwd secret client_secret clientSecret token
access_token accessToken X-Auth-Token authorization Authorization Cookie Set-Cookie api_key apiKey API-KEY X-API-Key
apikey APIKEY private_key privateKey aws_secret_access_key secretAccessKey AccountKey card_number cvv ssn session_id
sessionid signing_key credentials passphrase passcode jwt dsn topsecret pin otp DB_PASS smtpPass userpass
"""
SHOWN = """
name user author authors authority key primary_key keyboard max_tokens tokens tokenizer secretary passenger passed
pinned spinning opinion session monkey cookies_accepted_at idempotency_key sort_key signed_at address description desk
cardinality number account pass boarding_pass pass_rate bypass compass
"""


@pytest.mark.parametrize("key", MASKED.split())
def test_secret(key: str):
    """A key that names a secret is known in every spelling, also in a text."""
    assert is_secret(key)
    assert "s3cr3t" not in redact_text(f"{key}=s3cr3t")


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


TEXTS = [
    ("password=hunter2", "password=[redacted]"),
    ("password: hunter", "password: [redacted]"),
    ('{"password": "hunter2", "user": "x"}', '{"password": "[redacted]", "user": "x"}'),
    ('{\\"password\\": \\"x\\", \\"a\\": 1}', '{\\"password\\": \\"[redacted]\\", \\"a\\": 1}'),
    ("{'pin': 1234}", "{'pin': [redacted]}"),
    (r"password='it\'s'", "password='[redacted]'"),
    ("host=h password='a b' dbname=x", "host=h password='[redacted]' dbname=x"),
    ("postgresql://u:p@ss@host/db", "postgresql://u:[redacted]@host/db"),
    ("redis://:pw@h:1", "redis://:[redacted]@h:1"),
    ("https://x.y/z?api_key=abc&b=2", "https://x.y/z?api_key=[redacted]&b=2"),
    ("AccountKey=abc==;x=y", "AccountKey=[redacted];x=y"),
    ("Authorization: Bearer abc.def", "Authorization: [redacted]"),
    ("(b'authorization', b'Bearer s3cr3tt0ken')", "(b'authorization', b'Bearer [redacted]')"),
    ("Set-Cookie: a=b; c=d\nX: y", "Set-Cookie: [redacted]\nX: y"),
    ("token: a1b2", "token: [redacted]"),
    ("key AKIAIOSFODNN7EXAMPLE", "key [redacted]"),
    ("got eyJhbGciOi.eyJzdWIiOiIx.abc", "got [redacted]"),
    ("(sk-abcdefghijklmnop1234)", "([redacted])"),
    ("ghp_0123456789abcdefghijABCDEFGHIJ", "[redacted]"),
    ("xoxb-1234567890-abcdef", "[redacted]"),
    ("card 4111 1111 1111 1111 declined", "card [redacted] declined"),
    ("5555555555554444", "[redacted]"),
    (
        "a\n-----BEGIN RSA PRIVATE KEY-----\nDEK-Info: x\n\nabc=\n-----END RSA PRIVATE KEY-----\nrest",
        "a\n[redacted]\nrest",
    ),
    ("-----BEGIN PRIVATE KEY-----\ncut off", "[redacted]"),
    ("Bearer \nBearer s3cr3tt0ken", "Bearer \nBearer [redacted]"),
    ("password=\n'token': 's3cr3t'", "password=\n'[redacted]': '[redacted]'"),
    ("SECRET_KEY = 'a-1'", "SECRET_KEY = '[redacted]'"),
    ("password2=hunter2", "password2=[redacted]"),
    ("DB_PASS=hunter2", "DB_PASS=[redacted]"),
    ("pg_dump --password=hunter2 shop", "pg_dump --password=[redacted] shop"),
    ("curl --oauth2-bearer-token s3cr3t", "curl --oauth2-bearer-token [redacted]"),
    (
        "Command '['mysql', '--password', 'hunter']' returned 1",
        "Command '['mysql', '--password', '[redacted]']' returned 1",
    ),
    ("{'passwords': ['one', {'a': 'two'}], 'user': 'x'}", "{'passwords': [redacted], 'user': 'x'}"),
    ('{"credentials": {"user": "x", "value": "a]\\"}"}} y', '{"credentials": [redacted]} y'),
    ("{'secrets': ['cut', 'o", "{'secrets': [redacted]"),
    ('{"authorization": ["Bearer abc"]}', '{"authorization": [redacted]}'),
    ('Cookie: lang="en"; sid=abc', "Cookie: [redacted]"),
    ('Authorization: Digest username="ann", response="6629fae"', "Authorization: [redacted]"),
    ('curl -H "Authorization: Basic YTpi" https://x.y', 'curl -H "Authorization: [redacted]" https://x.y'),
]
READABLE = [
    "Unexpected token: comma",
    "jwt.exceptions.InvalidTokenError: Signature has expired",
    'FATAL: password authentication failed for user "x"',
    "KeyError: 'token'",
    "if password == expected:",
    "def sign_in(password: str, token: str | None = None):",
    "missing bearer authentication",
    "task-abcdefghijklmnopqrstuvwxyz",
    "order 4111111111111112 of 2026-01-31T12:00:00.000000",
    "token_type=bearer tokens=3 primary_key=7 max_tokens: 5",
    "https://example.com:8080/path?x=1",
    "use --password to sign in, or --token-file",
    "boarding_pass=7 pass: 3 of 5 --- token",
]


@pytest.mark.parametrize(("text", "masked"), TEXTS)
def test_texts(text: str, masked: str):
    """A secret in a text is masked, and what stands around it is kept."""
    assert redact_text(text) == masked
    assert redact({"note": [text]}) == {"note": [masked]}


@pytest.mark.parametrize("text", READABLE)
def test_readable_texts(text: str):
    """A text that only speaks of secrets stays readable."""
    assert redact_text(text) == text


PIECES = st.sampled_from([
    "password", "token", "=", ":", " ", '"', "'", "\\", "\n", "://", "@", "Bearer ", "authorization", "eyJabcdef", ".",
    "sk-", "0123456789abcdef", "4111111111111111", "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----", MASK,
    "[", "]", "{", "}", "--", "b'", "user", "/", ",", "(", ")", "-", "_", "cookie", "x", "A1",
])  # fmt: skip
texts = st.lists(PIECES | st.text(max_size=5), max_size=30).map("".join)


@given(texts)
def test_masking_a_text_twice_changes_nothing(text: str):
    """What is masked stays as it is, also in a text."""
    once = redact_text(text)
    assert redact_text(once) == once


@given(
    texts,
    st.sampled_from(
        ["password={}", '"secret": "{}"', "api_key='{}'", "x://u:{}@h", "Bearer {}", "--token {}", "secrets=[1, {}"]
    ),
    texts,
)
def test_secrets_never_survive(before: str, form: str, after: str):
    """Whatever stands around a secret, it is masked."""
    secret = "s3cr3tV4lue"  # noqa: S105 - it is the one that must not be seen.
    line = f"{before}\n{form.format(secret)}\n{after}"
    assert secret not in redact_text(line)


def by_every_pattern(text: str) -> str:
    """Each pattern run over the whole text, whether or not a look says that it could be found."""
    text = masking._ADDRESS.sub(rf"\1{MASK}@", masking._PEM.sub(MASK, text))
    text = masking._SCHEME.sub(rf"\1{MASK}", masking._HEADER.sub(rf"\1{MASK}", text))
    return masking._CARD.sub(masking._redact_card, masking._KNOWN.sub(MASK, masking._redact_pairs(text)))


@given(texts)
def test_shortcuts_hide_nothing_less(text: str):
    """What is looked for first, and what is remembered, change nothing: not the first time, nor the second."""
    assert [redact_text(text), redact_text(text)] == [by_every_pattern(text)] * 2


@pytest.mark.parametrize("text", [text for text, _ in TEXTS])
def test_no_secret_is_remembered(text: str):
    """A text in which something was masked is not kept in memory."""
    redact_text(text)
    assert text not in masking._harmless


def test_little_is_remembered():
    """However many texts there are, few and short ones are kept."""
    for number in range(2 * MOST_HARMLESS):
        redact_text(f"text {number}")
    redact_text("x" * (LONGEST_HARMLESS + 1))
    assert len(masking._harmless) <= MOST_HARMLESS
    assert max(map(len, masking._harmless)) <= LONGEST_HARMLESS


@pytest.mark.parametrize(
    "piece",
    ["://", "://a:", "a=", 'password="', "password=", 'password=\\"', "bearer ", "eyJaaaaa.", "eyJaaaaa-", "41", "4 ",
     "a", "-----BEGIN PRIVATE KEY-----", "authorization:", "cookie  : ", "sk-", "A1", "_", "token:", "\\", "'",
     "--pin ", "pin=[", 'pin=["', 'cookie:="'],
)  # fmt: skip
def test_linear(piece: str):
    """No text makes masking slow: a million characters take at most a few seconds, on a busy machine too."""
    began = time.process_time()
    redact_text(piece * (1_000_000 // len(piece)) + "@")
    assert time.process_time() - began < 5


SECRETS = {
    "user": "ann",
    "password": "hunter2",
    "hosts": [{"name": "a", "token": "t-one-1"}, {"name": "b", "token": "t-two-2"}],
    "url": "https://ann:hunter2@host/x",
}


def test_what_comes_back_as_shown_is_as_it_was():
    """Whoever sends back what was shown, and changed something else, has not changed the secrets."""
    shown = redact(SECRETS)
    assert "hunter2" not in str(shown)
    assert restore(shown, SECRETS) == SECRETS
    assert restore(shown | {"user": "bob"}, SECRETS) == SECRETS | {"user": "bob"}
    assert restore(shown | {"password": "new"}, SECRETS) == SECRETS | {"password": "new"}
    without = {key: value for key, value in shown.items() if key != "password"}
    assert "password" not in restore(without, SECRETS)
    longer = shown | {"hosts": [*shown["hosts"], {"name": "c", "token": "t-three-3"}]}
    assert restore(longer, SECRETS)["hosts"] == [*SECRETS["hosts"], {"name": "c", "token": "t-three-3"}]


@pytest.mark.parametrize("value", [True, 1, 1.0, [1], {"deep": [{"er": 1.0}]}])
def test_what_is_equal_in_python_alone_is_another_value(value: object):
    """True, 1 and 1.0 are three values to whoever sends them, however deep."""
    for former in (True, 1, 1.0, [True], {"deep": [{"er": True}]}):
        assert repr(restore({"a": value, "token": MASK}, {"a": former, "token": "t"})["a"]) == repr(value)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"other": MASK}, "other"),
        ({"user": MASK}, "user"),
        ({"user": {"deep": [MASK]}}, "user.deep.0"),
        ({"url": f"https://ann:{MASK}@elsewhere/x"}, "url"),
        ({"hosts": [{"name": "b", "token": MASK}, {"name": "a", "token": MASK}]}, "hosts.0.token"),
        ({"hosts": {"0": MASK}}, "hosts.0"),
    ],
)
def test_a_mask_that_was_not_shown_there(change: dict[str, Any], path: str):
    """A mask that is new, moved, or part of a changed text stands for nothing that is known."""
    with pytest.raises(Masked) as refusal:
        restore(redact(SECRETS) | change, SECRETS)
    assert refusal.value.path == path
