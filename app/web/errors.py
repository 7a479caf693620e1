"""What a request can be refused for. The text of each is for the person who sent it."""

import math
from collections.abc import Mapping

from starlette.exceptions import HTTPException


class RequestRefused(Exception):  # noqa: N818  A refusal, and each below reads as its reason.
    """The request is not carried out, and changed nothing."""


class ForeignHost(RequestRefused):
    """The Host header names no host of ours: a page may have pointed its own name at this address."""


class ForeignOrigin(RequestRefused):
    """A page of another site sent it."""


class RemoteAddress(RequestRefused):
    """It came in by an address that is not the loopback one, while nobody has to sign in."""


class KeyNeeded(RequestRefused):
    """There are keys, and the request carries none."""

    def __init__(self) -> None:
        super().__init__("send a key as Authorization: Bearer <key>; `afresh keys create` makes one")


class WrongKey(RequestRefused):
    """The request carries a key that opens nothing. Never says which."""

    def __init__(self) -> None:
        super().__init__("this is no key that is in force here")


class RoleNeeded(RequestRefused):
    """The caller's role does not suffice.

    Attributes:
        role: The least one that does.
    """

    def __init__(self, role: str, given: str) -> None:
        super().__init__(f"this needs the role {role}; the key's role is {given}")
        self.role = role


class FormRefused(RequestRefused):
    """A form does not come from a page that we made for this browser, or that page is too old."""

    def __init__(self) -> None:
        super().__init__("this form is not, or no longer, yours: load the page anew, and try again")


class TooManyWrongKeys(RequestRefused):
    """Wrong keys came from this address, one after the other.

    Attributes:
        seconds: How long to wait.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(f"too many wrong keys came from this address; try again in {math.ceil(seconds)} s")
        self.seconds = seconds


class TooManyJobs(RequestRefused):
    """A key has handed in as many jobs of a task that reaches out as it may for now.

    Attributes:
        seconds: How long to wait.
    """

    def __init__(self, task: str, limit: int, seconds: float) -> None:
        super().__init__(f"a key may hand in {limit:,} jobs of {task} in a minute; try again in {math.ceil(seconds)} s")
        self.seconds = seconds


class NotOverHttp(RequestRefused):
    """The task is the server's own, and no admin's key asked for it."""


class NotJson(RequestRefused):
    """There is a body, and it does not say that it is JSON."""


class MalformedBody(RequestRefused):
    """The body says that it is JSON, and is not."""


class UnknownBatch(RequestRefused):
    """No batch has this id."""

    def __init__(self, batch_id: int) -> None:
        super().__init__(f"there is no batch {batch_id}")


class UnknownQueue(RequestRefused):
    """No task, job or pause names this queue."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no task, job or pause names a queue {name!r}")


class UnknownGroup(RequestRefused):
    """No failure has this fingerprint."""

    def __init__(self, fingerprint: str) -> None:
        super().__init__(f"no failure has the fingerprint {fingerprint!r}")


class UnknownDependency(RequestRefused):
    """Neither a task nor a breaker names it."""

    def __init__(self, name: str) -> None:
        super().__init__(f"nothing is known of a dependency {name!r}")


class UnknownLimit(RequestRefused):
    """Nobody has set this limit."""

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"there is no limit of {kind} {name!r}")


class NothingToChange(RequestRefused):
    """A breaker is not in a state for this."""


class NotStopped(RequestRefused):
    """Monitoring goes on as it is."""

    def __init__(self) -> None:
        super().__init__("monitoring is not stopped, or its time is over already")


class NotMarked(RequestRefused):
    """Nobody said about the group what is to be taken back."""

    def __init__(self, fingerprint: str, mark: str) -> None:
        super().__init__(f"failure group {fingerprint!r} is not {mark}")


class JobGone(RequestRefused):
    """What an Idempotency-Key stands for is not kept any more."""


class InvalidItems(RequestRefused):
    """Items of a batch do not fit: their arguments the task, or their deadline the time.

    Attributes:
        faults: What is wrong, by field; ``jobs.17.args.a``.
    """

    def __init__(self, faults: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{field}: {fault}" for field, fault in faults.items()))
        self.faults = dict(faults)


class NoResult(RequestRefused):
    """The job has no result: it has not ended, or not with success; or what it returned is not stored.

    Attributes:
        state: Of the job.
        failure_type: Of its last failure.
    """

    def __init__(self, job_id: int, state: str, failure_type: str | None, message: str | None) -> None:
        about = f": {failure_type}: {message}" if state == "failed" and failure_type else ""
        about = ", and what it returned is not stored" if state == "succeeded" else about
        super().__init__(f"job {job_id} is {state}{about}")
        self.state = state
        self.failure_type = failure_type


class InvalidInput(RequestRefused):
    """One field is wrong in a way that its type does not say.

    Attributes:
        field: Dotted path into the body, or the parameter's name.
        fault: What is wrong with it.
    """

    def __init__(self, field: str, fault: str) -> None:
        super().__init__(f"{field}: {fault}")
        self.field = field
        self.fault = fault


class BodyTooLarge(HTTPException):
    """More than the limit was sent. An HTTPException: FastAPI lets only those through while it reads a body."""

    def __init__(self, limit: int) -> None:
        super().__init__(413, f"a body may have {limit:,} bytes")

    def __str__(self) -> str:
        return self.detail
