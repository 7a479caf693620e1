"""The signature that receivers check with any library of Standard Webhooks."""

import base64
from datetime import UTC, datetime

from app.tasks.http.signing import secrets_of, signed

# Of the specification's own example.
SECRET = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
NAME = "msg_p5jXN8AQM9LWM0D4loKWxJek"
AT = datetime.fromtimestamp(1614265330, UTC)
BODY = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_signature():
    """A message is signed as the specification's example is."""
    assert signed([SECRET], name=NAME, now=AT, body=BODY) == {
        "webhook-id": NAME,
        "webhook-timestamp": "1614265330",
        "webhook-signature": SIGNATURE,
    }


def test_two_secrets():
    """While secrets change there are two signatures, so that the old one and the new one both prove it."""
    both = signed([SECRET, b"x" * 24], name=NAME, now=AT, body=BODY)["webhook-signature"].split()
    assert both[0] == SIGNATURE
    assert len(both) == 2


def test_secrets_by_host():
    """A host's own secret comes before that of a pattern, and a narrow pattern before a wide one."""
    secrets = {"*": [b"all"], "*.example.com": [b"wide"], "*.eu.example.com": [b"narrow"], "api.example.com": [b"own"]}
    found = {host: secrets_of(host, secrets) for host in ("api.example.com", "x.eu.example.com", "x.example.com", "y")}
    assert found == {
        "api.example.com": [b"own"],
        "x.eu.example.com": [b"narrow"],
        "x.example.com": [b"wide"],
        "y": [b"all"],
    }
    assert not secrets_of("y", {"api.example.com": [b"own"]})
