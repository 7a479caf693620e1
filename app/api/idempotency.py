"""`Idempotency-Key`: a request that may have arrived can be sent again without doing its work twice."""

import hashlib
from typing import Annotated

import orjson
from fastapi import Header
from pydantic import BaseModel

from ..config import SubmissionSettings
from ..store.idempotency import Claim
from ..web.fields import LOCATION

REPLAYED = "Idempotent-Replayed"
"""The header of an answer to a repeat."""

MADE = LOCATION | {
    REPLAYED: {"description": "`true` in the answer to a repeat.", "schema": {"type": "string", "const": "true"}}
}
"""The headers of an answer to a submission."""

KEY_HELP = """With an `Idempotency-Key`, sending the same request again makes nothing new: it is answered with 202, what
was made first in its present state, and `Idempotent-Replayed: true`. The same key with another body is refused with
422. A key is yours alone, belongs to this task and route, and is remembered for `IDEMPOTENCY_TTL` (24 hours); if the
job is deleted before that, a repeat is answered with 410. A request that was refused leaves no key behind.

The key removes double *submission*, not double *execution*: a job whose worker dies runs again, so a task that must
not act twice still has to see to that itself."""

IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        pattern=r"^[\x20-\x7e]+$",
        description="Anything printable that is new for each thing to be done, such as a UUID.",
    ),
]


def claim_of(actor: str, key: str | None, route: str, body: BaseModel, settings: SubmissionSettings) -> Claim | None:
    """What a request claims with its key; None without one. `route` has the task's full name, whatever was typed."""
    if key is None:
        return None
    return Claim(actor=actor, route=route, key=key, body_hash=_hash_of(body), ttl=settings.idempotency_ttl)


def _hash_of(body: BaseModel) -> bytes:
    """SHA-256 of a validated body in canonical JSON: keys in order, and nothing of what was left at its default."""
    said = body.model_dump(mode="json", exclude_defaults=True)
    return hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).digest()
