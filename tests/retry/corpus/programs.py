"""What applications do: their own classes, chains, groups, validation, settings, frameworks."""

import asyncio

import django.core.exceptions
import django.db.utils
import httpx
import jsonschema
import marshmallow
import psycopg.errors
import pydantic
import pydantic_settings
import sqlalchemy.exc

from app.retry.failure import FailureType as T
from app.retry.markers import Permanent, RetryLater

from .case import Corpus, throw
from .world import World

corpus = Corpus("programs")
case = corpus.case


class PaymentGatewayTimeout(Exception):
    """No time-out of Python's own."""


class RateLimitExceeded(Exception):
    """No library's."""


class OrderNotFound(Exception):
    """The domain's word."""


class InvalidCoupon(ValueError):
    """The domain's word."""


class InsufficientPermissions(Exception):
    """The domain's word."""


class DuplicateInvoice(Exception):
    """The domain's word."""


class MissingConfigurationError(Exception):
    """The domain's word."""


class UpstreamUnavailable(Exception):
    """The domain's word."""


class FetchFailed(Exception):
    """It says nothing."""


corpus.errors("the name of an application's own class",
    (PaymentGatewayTimeout("x"), T.EXTERNAL_API_DOWN), (RateLimitExceeded("x"), T.TRANSIENT_RATE_LIMIT),
    (OrderNotFound("x"), T.PERMANENT_NOT_FOUND), (InvalidCoupon("connection refused"), T.PERMANENT_VALIDATION),
    (InsufficientPermissions("x"), T.PERMANENT_AUTH), (DuplicateInvoice("x"), T.PERMANENT_CONFLICT),
    (MissingConfigurationError("x"), T.CONFIG_MISSING_SETTING), (UpstreamUnavailable("x"), T.EXTERNAL_API_DOWN),
    (FetchFailed("x"), T.UNKNOWN),
)  # fmt: skip

for _text, _kind in (
    ("connection reset by peer", T.TRANSIENT_NETWORK), ("Request timed out after 30 s", T.TRANSIENT_TIMEOUT),
    ("rate limit exceeded, slow down", T.TRANSIENT_RATE_LIMIT), ("HTTP 503 from the inventory service",
     T.EXTERNAL_API_DOWN),
    ("upstream answered with status 404", T.PERMANENT_NOT_FOUND), ("no space left on device", T.SYSTEM_DISK_FULL),
    ("container was OOMKilled", T.SYSTEM_OUT_OF_MEMORY), ("deadlock detected", T.TRANSIENT_DATABASE),
    ("invalid API key provided", T.PERMANENT_AUTH), ("environment variable STRIPE_KEY is not set",
     T.CONFIG_MISSING_SETTING),
    ("too many open files", T.TRANSIENT_RESOURCE), ("Event loop is closed", T.PERMANENT_CODE_BUG),
    ("something odd happened to order 17", T.UNKNOWN), ("customer 'connection refused' is odd", T.UNKNOWN),
    ("the disconnectedness of graph 12 is 3", T.UNKNOWN), ("worker exited prematurely: signal 9", T.SYSTEM_WORKER_LOST),
):  # fmt: skip
    corpus.add(_kind, "the words of a class that says nothing", throw(RuntimeError(_text)), name=_text)


@case(T.TRANSIENT_NETWORK, "a class that says nothing, caused by one that does")
def wrapped(world: World) -> None:
    try:
        httpx.get(f"http://127.0.0.1:{world.closed}")
    except httpx.HTTPError as exc:
        raise FetchFailed("could not load the catalogue") from exc


@case(T.PERMANENT_AUTH, "the status inside knows better than the wrapper's name")
def wrapped_status(world: World) -> None:
    try:
        httpx.get(f"{world.http}/status/401").raise_for_status()
    except httpx.HTTPError as exc:
        raise UpstreamUnavailable("inventory") from exc


@case(T.PERMANENT_NOT_FOUND, "the application translated a KeyError: the outer word counts")
def translated() -> None:
    try:
        dict[str, int]()["x"]
    except KeyError as exc:
        raise OrderNotFound("x") from exc


@case(T.PERMANENT_VALIDATION, "an AttributeError that was merely being handled is no cause")
def handled() -> None:
    try:
        object().missing  # type: ignore[attr-defined]  # noqa: B018 - the look-up raises
    except AttributeError:
        raise ValueError("this order has no lines")  # noqa: B904 - the implicit context is the point


@case(T.PERMANENT_VALIDATION, "`from None` hides the network error on purpose")
def hidden(world: World) -> None:
    try:
        httpx.get(f"http://127.0.0.1:{world.closed}")
    except httpx.HTTPError:
        raise ValueError("bad host") from None


@case(T.PERMANENT_AUTH, "of a group, what no retry mends comes first")
async def mixed_group(world: World) -> None:
    async def status(code: int) -> None:
        async with httpx.AsyncClient() as client:
            (await client.get(f"{world.http}/status/{code}")).raise_for_status()

    outcomes = await asyncio.gather(status(503), status(403), return_exceptions=True)
    raise ExceptionGroup("both failed", [o for o in outcomes if isinstance(o, Exception)])


class Order(pydantic.BaseModel):
    """A payload."""

    quantity: int


class AppSettings(pydantic_settings.BaseSettings):
    """Settings without a default."""

    afresh_no_such_setting: str


class Schema(marshmallow.Schema):
    """A payload."""

    quantity = marshmallow.fields.Integer(required=True)


corpus.add(T.PERMANENT_VALIDATION, "bad payload", lambda: Order(quantity="timeout"), name="pydantic")
corpus.add(T.CONFIG_MISSING_SETTING, "the same class, and a missing setting", AppSettings, name="pydantic_settings")
corpus.add(T.PERMANENT_VALIDATION, "bad payload", lambda: Schema().load({}), name="marshmallow")
corpus.add(T.PERMANENT_VALIDATION, "bad payload", lambda: jsonschema.validate(1, {"type": "string"}), name="jsonschema")
corpus.add(
    T.PERMANENT_CODE_BUG,
    "the schema itself is wrong",
    lambda: jsonschema.validate(1, {"type": 5}),
    name="jsonschema_schema",
)

corpus.errors("Django's class",
    (django.core.exceptions.ImproperlyConfigured("x"), T.CONFIG_MISSING_SETTING),
    (django.core.exceptions.ObjectDoesNotExist("x"), T.PERMANENT_NOT_FOUND),
    (django.core.exceptions.ValidationError("x"), T.PERMANENT_VALIDATION),
    (django.core.exceptions.PermissionDenied("x"), T.PERMANENT_AUTH),
    (django.core.exceptions.FieldError("x"), T.PERMANENT_CODE_BUG),
    (django.db.utils.OperationalError("x"), T.TRANSIENT_DATABASE),
    (django.db.utils.IntegrityError("x"), T.PERMANENT_CONFLICT),
)  # fmt: skip


@case(T.PERMANENT_AUTH, "Django wraps the driver's error; its code says wrong password")
def django_wrapped() -> None:
    try:
        raise psycopg.errors.lookup("28P01")("password authentication failed")
    except psycopg.Error as exc:
        raise django.db.utils.OperationalError("x") from exc


@case(T.TRANSIENT_DATABASE, "the rolled back session is an echo of the deadlock")
def pending_rollback() -> None:
    try:
        raise psycopg.errors.lookup("40P01")("deadlock detected")
    except psycopg.Error:
        raise sqlalchemy.exc.PendingRollbackError("This Session's transaction has been rolled back")  # noqa: B904 - implicit


corpus.add(T.TRANSIENT_RESOURCE, "the task asks for it", throw(RetryLater(after=60)))
corpus.add(T.PERMANENT_VALIDATION, "the task says so", throw(Permanent("closed account")))
corpus.add(T.UNKNOWN, "the process was asked to end", throw(KeyboardInterrupt()))
corpus.add(T.UNKNOWN, "the process was asked to end", throw(SystemExit(1)))
