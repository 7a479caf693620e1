"""HTTP clients: httpx, requests, urllib3, aiohttp, and what the model APIs and clouds build on them."""

import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
import anthropic
import botocore.session
import google.api_core.exceptions as google
import httpx
import openai
import requests
import tenacity
import urllib3
from botocore.config import Config

from app.retry.failure import FailureType as T

from .case import Corpus
from .world import World

corpus = Corpus("clients")
case = corpus.case

_STATUSES: tuple[tuple[int, T, bool], ...] = (
    (400, T.PERMANENT_VALIDATION, False), (401, T.PERMANENT_AUTH, False), (402, T.PERMANENT_AUTH, False),
    (403, T.PERMANENT_AUTH, False), (404, T.PERMANENT_NOT_FOUND, False), (405, T.PERMANENT_VALIDATION, False),
    (408, T.TRANSIENT_NETWORK, True), (409, T.PERMANENT_CONFLICT, False), (410, T.PERMANENT_NOT_FOUND, False),
    (412, T.PERMANENT_CONFLICT, False), (413, T.PERMANENT_VALIDATION, False), (415, T.PERMANENT_VALIDATION, False),
    (422, T.PERMANENT_VALIDATION, False), (423, T.PERMANENT_CONFLICT, False), (425, T.TRANSIENT_NETWORK, True),
    (429, T.TRANSIENT_RATE_LIMIT, True), (500, T.EXTERNAL_API_DOWN, False), (501, T.PERMANENT_CODE_BUG, False),
    (502, T.EXTERNAL_API_DOWN, True), (503, T.EXTERNAL_API_DOWN, True), (504, T.EXTERNAL_API_DOWN, True),
    (520, T.EXTERNAL_API_DOWN, True), (529, T.EXTERNAL_API_DOWN, True),
)  # fmt: skip

_PATIENCE = 30.0
"""Seconds for what is answered, refused or cut off: on a loaded machine that takes its time."""

_QUICK = 0.03
"""Seconds for those who never answer."""


def _httpx(world: World, status: int, **query: str) -> None:
    _httpx_get(f"{world.http}/status/{status}?{urlencode(query)}").raise_for_status()


def _requests(world: World, status: int, **query: str) -> None:
    _requests_get(f"{world.http}/status/{status}?{urlencode(query)}").raise_for_status()


async def _aiohttp(world: World, status: int, **query: str) -> None:
    async with (
        aiohttp.ClientSession(raise_for_status=True) as session,
        session.get(f"{world.http}/status/{status}?{urlencode(query)}"),
    ):
        pass


for _status, _kind, _retry in _STATUSES:
    _why = f"HTTP {_status}"
    corpus.add(_kind, _why, lambda w, s=_status: _httpx(w, s), name=f"httpx_{_status}", retry=_retry)
    if _status in (401, 403, 404, 422, 429, 500, 503):
        corpus.add(_kind, _why, lambda w, s=_status: _requests(w, s), name=f"requests_{_status}", retry=_retry)
        corpus.add(_kind, _why, lambda w, s=_status: _aiohttp(w, s), name=f"aiohttp_{_status}", retry=_retry)

for _client, _get in (("httpx", _httpx), ("requests", _requests), ("aiohttp", _aiohttp)):
    for _headers in ({"x-ratelimit-remaining": "0"}, {"Retry-After": "30"}):
        corpus.add(T.TRANSIENT_RATE_LIMIT, "403 with a rate limit's headers, as GitHub sends it",
                   lambda w, g=_get, h=_headers: g(w, 403, **h), name=f"{_client}_403_limited")  # fmt: skip
for _client, _get in (("httpx", _httpx), ("requests", _requests)):
    corpus.add(T.PERMANENT_AUTH, "429 whose body says that the money is gone",
               lambda w, g=_get: g(w, 429, body='{"error": {"code": "insufficient_quota"}}'),
               name=f"{_client}_429_no_money")  # fmt: skip


def _refused(client: Callable[[str], Any]) -> Callable[[World], Any]:
    return lambda world: client(f"http://127.0.0.1:{world.closed}/")


def _silent(client: Callable[[str, float], Any]) -> Callable[[World], Any]:
    return lambda world: client(f"http://127.0.0.1:{world.silent}/", _QUICK)


def _at(path: str, client: Callable[[str], Any]) -> Callable[[World], Any]:
    return lambda world: client(f"{world.http}{path}")


async def _aio_get(url: str, seconds: float = _PATIENCE) -> None:
    limit = aiohttp.ClientTimeout(total=seconds)
    async with aiohttp.ClientSession(timeout=limit) as session, session.get(url) as answer:
        await answer.read()


async def _aio_json(url: str) -> None:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        await answer.json()


def _httpx_get(url: str, seconds: float = _PATIENCE) -> Any:
    return httpx.get(url, timeout=seconds)


def _requests_get(url: str, seconds: float = _PATIENCE) -> Any:
    return requests.get(url, timeout=seconds)


def _urllib3_get(url: str, seconds: float = _PATIENCE) -> Any:
    return urllib3.PoolManager().request("GET", url, timeout=seconds, retries=False)


def _urllib3_retrying(url: str, seconds: float = _PATIENCE) -> Any:
    return urllib3.PoolManager().request("GET", url, timeout=seconds, retries=1)


_ROAD: tuple[tuple[T, str, str, Callable[[World], Any]], ...] = (
    (T.TRANSIENT_NETWORK, "refused", "httpx", _refused(_httpx_get)),
    (T.TRANSIENT_NETWORK, "refused", "requests", _refused(_requests_get)),
    (T.TRANSIENT_NETWORK, "refused", "urllib3", _refused(_urllib3_get)),
    (T.TRANSIENT_NETWORK, "refused inside MaxRetryError", "urllib3", _refused(_urllib3_retrying)),
    (T.TRANSIENT_NETWORK, "refused", "aiohttp", _refused(_aio_get)),
    (T.TRANSIENT_TIMEOUT, "no answer in time", "httpx", _silent(_httpx_get)),
    (T.TRANSIENT_TIMEOUT, "no answer in time", "requests", _silent(_requests_get)),
    (T.TRANSIENT_TIMEOUT, "no answer in time", "urllib3", _silent(_urllib3_get)),
    (T.TRANSIENT_TIMEOUT, "no answer in time inside MaxRetryError", "urllib3", _silent(_urllib3_retrying)),
    (T.TRANSIENT_TIMEOUT, "no answer in time", "aiohttp", _silent(_aio_get)),
    (T.TRANSIENT_NETWORK, "hung up", "httpx", _at("/drop", _httpx_get)),
    (T.TRANSIENT_NETWORK, "hung up", "requests", _at("/drop", _requests_get)),
    (T.TRANSIENT_NETWORK, "hung up", "aiohttp", _at("/drop", _aio_get)),
    (T.TRANSIENT_NETWORK, "truncated", "httpx", _at("/short", _httpx_get)),
    (T.TRANSIENT_NETWORK, "truncated", "requests", _at("/short", _requests_get)),
    (T.TRANSIENT_NETWORK, "truncated", "aiohttp", _at("/short", _aio_get)),
    (T.EXTERNAL_API_DOWN, "an error page instead of JSON", "httpx", _at("/html", lambda u: _httpx_get(u).json())),
    (T.EXTERNAL_API_DOWN, "an error page instead of JSON", "requests", _at("/html",
     lambda u: _requests_get(u).json())),
    (T.EXTERNAL_API_DOWN, "an error page instead of JSON", "aiohttp", _at("/html", _aio_json)),
    (T.CONFIG_MISSING_SETTING, "a redirect to itself: the address is wrong", "requests", _at("/loop", _requests_get)),
    (T.CONFIG_MISSING_SETTING, "a redirect to itself: the address is wrong", "httpx",
     _at("/loop", lambda u: httpx.get(u, follow_redirects=True))),
    (T.TRANSIENT_NETWORK, "no such host", "httpx", lambda _: httpx.get("http://nowhere.invalid/")),
    (T.TRANSIENT_NETWORK, "no such host", "requests", lambda _: requests.get("http://nowhere.invalid/", timeout=1)),
    (T.TRANSIENT_NETWORK, "no such host", "aiohttp", lambda _: _aio_get("http://nowhere.invalid/")),
    (T.PERMANENT_CODE_BUG, "no scheme", "httpx", lambda _: httpx.get("example.org/x")),
    (T.PERMANENT_CODE_BUG, "no scheme", "requests", lambda _: requests.get("example.org/x", timeout=1)),
    (T.PERMANENT_CODE_BUG, "unknown scheme", "requests", lambda _: requests.get("foo://example.org", timeout=1)),
    (T.PERMANENT_CODE_BUG, "no URL", "aiohttp", lambda _: _aio_get("/x")),
    (T.CONFIG_MISSING_SETTING, "TLS to a plain port", "httpx",
     lambda w: httpx.get(f"https://127.0.0.1:{w.greeting}/")),
    (T.CONFIG_MISSING_SETTING, "TLS to a plain port", "requests",
     lambda w: requests.get(f"https://127.0.0.1:{w.greeting}/", timeout=1)),
    (T.CONFIG_MISSING_SETTING, "TLS to a plain port", "aiohttp",
     lambda w: _aio_get(f"https://127.0.0.1:{w.greeting}/")),
    (T.EXTERNAL_API_DOWN, "urllib3 gave up on 503s", "requests",
     lambda w: _retrying_session().get(f"{w.http}/status/503")),
)  # fmt: skip
for _kind, _why, _client, _provoke in _ROAD:
    corpus.add(_kind, _why, _provoke, name=_client)


def _retrying_session() -> requests.Session:
    session = requests.Session()
    retry = urllib3.Retry(1, status_forcelist=[503], backoff_factor=0)
    session.mount("http://", requests.adapters.HTTPAdapter(max_retries=retry))
    return session


@case(T.TRANSIENT_RESOURCE, "our own pool is exhausted, the server was never asked")
async def httpx_pool(world: World) -> None:
    limits = httpx.Limits(max_connections=1)
    async with httpx.AsyncClient(limits=limits, timeout=httpx.Timeout(1, pool=0.02)) as client:
        first = asyncio.create_task(client.get(f"http://127.0.0.1:{world.silent}/"))
        await asyncio.sleep(0)
        try:
            await client.get(f"http://127.0.0.1:{world.silent}/")
        finally:
            first.cancel()


# --- model APIs ---------------------------------------------------------------------------------------------


def _body(**error: str) -> str:
    return quote('{"error": {' + ", ".join(f'"{k}": "{v}"' for k, v in error.items()) + "}}")


def _openai(world: World, status: int, body: str = "%7B%7D", **headers: str) -> None:
    base = f"{world.http}/status/{status}?body={body}&{urlencode(headers)}#"
    with openai.OpenAI(api_key="k", base_url="http://x", max_retries=0) as client:
        client.get(base, cast_to=object)


def _anthropic(world: World, status: int, body: str = "%7B%7D", **headers: str) -> None:
    base = f"{world.http}/status/{status}?body={body}&{urlencode(headers)}#"
    with anthropic.Anthropic(api_key="k", base_url="http://x", max_retries=0) as client:
        client.get(base, cast_to=object)


for _sdk, _call in (("openai", _openai), ("anthropic", _anthropic)):
    for _status, _kind, _retry in _STATUSES:
        if _status in (400, 401, 403, 404, 409, 422, 429, 500, 503):
            corpus.add(
                _kind, f"HTTP {_status}", lambda w, c=_call, s=_status: c(w, s), name=f"{_sdk}_{_status}", retry=_retry
            )
    corpus.add(T.EXTERNAL_API_DOWN, "the server says that it is worth another try",
               lambda w, c=_call: c(w, 500, **{"x-should-retry": "true"}), name=f"{_sdk}_should_retry",
               retry=True)  # fmt: skip

for _code in ("insufficient_quota", "credit_balance_exhausted", "billing_hard_limit_reached"):
    corpus.add(T.PERMANENT_AUTH, "429, and no money left: waiting does not help",
               lambda w, c=_code: _openai(w, 429, _body(code=c, type=c, message="You exceeded your current quota")),
               name=f"openai_{_code}")  # fmt: skip
corpus.add(T.TRANSIENT_RATE_LIMIT, "429, slow down",
           lambda w: _openai(w, 429, _body(code="rate_limit_exceeded", type="requests", message="Rate limit reached"),
                             **{"retry-after-ms": "1500"}), name="openai_rate_limit_exceeded")  # fmt: skip
corpus.add(T.PERMANENT_VALIDATION, "the prompt is too long",
           lambda w: _openai(w, 400, _body(code="context_length_exceeded", message="maximum context length is 8192")),
           name="openai_context")  # fmt: skip
corpus.add(
    T.EXTERNAL_API_DOWN,
    "overloaded",
    lambda w: _anthropic(w, 529, _body(type="overloaded_error")),
    name="anthropic_529",
)
corpus.add(T.PERMANENT_AUTH, "400, and the credit is used up",
           lambda w: _anthropic(w, 400, _body(type="invalid_request_error", message="Your credit balance is too low")),
           name="anthropic_credit")  # fmt: skip


@case(T.TRANSIENT_TIMEOUT, "a time-out, though its class is a connection error")
def openai_timeout(world: World) -> None:
    with openai.OpenAI(api_key="k", base_url=f"http://127.0.0.1:{world.silent}", max_retries=0, timeout=0.03) as client:
        client.models.list()


@case(T.TRANSIENT_NETWORK, "refused, three libraries deep")
def openai_refused(world: World) -> None:
    with openai.OpenAI(api_key="k", base_url=f"http://127.0.0.1:{world.closed}", max_retries=0) as client:
        client.models.list()


@case(T.TRANSIENT_NETWORK, "refused, three libraries deep")
def anthropic_refused(world: World) -> None:
    with anthropic.Anthropic(api_key="k", base_url=f"http://127.0.0.1:{world.closed}", max_retries=0) as client:
        client.models.list()


@case(T.CONFIG_MISSING_SETTING, "no API key in settings or environment")
def openai_without_key() -> None:
    openai.OpenAI(api_key=None)


# --- clouds -------------------------------------------------------------------------------------------------


def _aws(world: World, status: int, code: str) -> None:
    session = botocore.session.Session()
    session.set_credentials("k", "s")
    client = session.create_client(
        "sqs", region_name="eu-central-1", endpoint_url=f"{world.http}/status/{status}/?body=" + quote(
            '{"__type": "com.amazonaws.sqs#' + code + '", "message": "m"}'),
        config=Config(retries={"total_max_attempts": 1}),
    )  # fmt: skip
    client.send_message(
        QueueUrl=f"{world.http}/status/{status}?body=" + quote('{"__type": "' + code + '"}'), MessageBody="x"
    )


_AWS: tuple[tuple[int, str, T, bool | None], ...] = (
    (400, "ThrottlingException", T.TRANSIENT_RATE_LIMIT, None), (400, "RequestThrottled", T.TRANSIENT_RATE_LIMIT, None),
    (400, "ProvisionedThroughputExceededException", T.TRANSIENT_RATE_LIMIT, None),
    (503, "SlowDown", T.TRANSIENT_RATE_LIMIT, None), (400, "RequestTimeout", T.TRANSIENT_TIMEOUT, None),
    (403, "AccessDeniedException", T.PERMANENT_AUTH, None), (400, "ExpiredTokenException", T.PERMANENT_AUTH, None),
    (403, "SignatureDoesNotMatch", T.PERMANENT_AUTH, None), (400, "ValidationException", T.PERMANENT_VALIDATION, None),
    (404, "NoSuchBucket", T.PERMANENT_NOT_FOUND, None), (400, "ResourceNotFoundException", T.PERMANENT_NOT_FOUND, None),
    (400, "ConditionalCheckFailedException", T.PERMANENT_CONFLICT, None), (503, "ServiceUnavailable",
     T.EXTERNAL_API_DOWN, None),
    (500, "InternalError", T.EXTERNAL_API_DOWN, False), (400, "UnknownAccountLimitExceeded", T.TRANSIENT_RATE_LIMIT,
     None),
)  # fmt: skip
for _status, _code, _kind, _wanted in _AWS:
    corpus.add(
        _kind, f"AWS code {_code}", lambda w, s=_status, c=_code: _aws(w, s, c), name=f"aws_{_code}", retry=_wanted
    )


@case(T.TRANSIENT_NETWORK, "the endpoint refuses")
def aws_refused(world: World) -> None:
    session = botocore.session.Session()
    session.set_credentials("k", "s")
    config = Config(retries={"total_max_attempts": 1})
    url = f"http://127.0.0.1:{world.closed}"
    session.create_client("s3", region_name="eu-central-1", endpoint_url=url, config=config).list_buckets()


@case(T.CONFIG_MISSING_SETTING, "no region set")
def aws_no_region() -> None:
    session = botocore.session.Session()
    session.create_client("sqs")


@case(T.PERMANENT_VALIDATION, "a parameter of the wrong type")
def aws_parameter() -> None:
    session = botocore.session.Session()
    session.set_credentials("k", "s")
    session.create_client("s3", region_name="eu-central-1").list_objects(Bucket="b", MaxKeys="many")


corpus.errors("google-api-core's code",
    (google.TooManyRequests("x"), T.TRANSIENT_RATE_LIMIT), (google.ServiceUnavailable("x"),
     T.EXTERNAL_API_DOWN),
    (google.InternalServerError("x"), T.EXTERNAL_API_DOWN, False), (google.NotFound("x"), T.PERMANENT_NOT_FOUND),
    (google.PermissionDenied("x"), T.PERMANENT_AUTH), (google.Unauthenticated("x"), T.PERMANENT_AUTH),
    (google.InvalidArgument("x"), T.PERMANENT_VALIDATION), (google.AlreadyExists("x"), T.PERMANENT_CONFLICT),
    (google.DeadlineExceeded("x"), T.TRANSIENT_TIMEOUT), (google.ResourceExhausted("x"),
     T.TRANSIENT_RATE_LIMIT),
    (google.FailedPrecondition("x"), T.PERMANENT_CONFLICT), (google.Aborted("x"), T.TRANSIENT_DATABASE),
    (google.RetryError("Timeout of 60s exceeded", google.ServiceUnavailable("x")), T.EXTERNAL_API_DOWN),
    (google.from_http_status(503, "x"), T.EXTERNAL_API_DOWN),
)  # fmt: skip


@case(T.TRANSIENT_NETWORK, "tenacity hides it in last_attempt")
def tenacity_exhausted(world: World) -> None:
    tenacity.Retrying(stop=tenacity.stop_after_attempt(2))(lambda: httpx.get(f"http://127.0.0.1:{world.closed}"))
