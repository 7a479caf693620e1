"""What a message says where neither code nor class speaks."""

import pytest

from app.retry.classify import classify
from app.retry.failure import FailureType


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("the server returned 503", FailureType.EXTERNAL_API_DOWN),
        ("returned 404 Not Found", FailureType.PERMANENT_NOT_FOUND),
        ("upstream returned 429 responses", FailureType.TRANSIENT_RATE_LIMIT),
        ("the query returned 300 rows, not one", FailureType.UNKNOWN),
        ("received 512 bytes", FailureType.UNKNOWN),
        ("received 404 of 1000", FailureType.UNKNOWN),
        ("returned 401 pages", FailureType.UNKNOWN),
    ],
)
def test_a_number_is_a_status_unless_it_counts(text: str, kind: FailureType):
    """Three hundred rows are no redirect: that would hold the dependency for want of a setting."""
    assert classify(RuntimeError(text)).type is kind
