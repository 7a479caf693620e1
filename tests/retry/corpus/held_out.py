"""Exceptions written down after the rules: what the engine does with libraries it was not tuned on."""

import asyncio
import email.errors
import ftplib
import imaplib
import importlib
import pickle
import struct
import sys
import tomllib
from collections.abc import Callable
from typing import Any

import anyio
import click
import croniter
import cryptography.exceptions
import cryptography.fernet
import dateutil.parser
import dns.exception
import dns.resolver
import docker.errors
import fastapi
import google.auth.exceptions
import google.protobuf.message
import graphql
import h11
import httpcore
import jinja2
import jmespath.exceptions
import oauthlib.oauth2
import orjson
import pglast
import procrastinate.exceptions
import pyasn1.error
import referencing.exceptions
import starlette.exceptions
import werkzeug.exceptions
import yaml
from django.core.signing import BadSignature
from packaging.version import Version

from app.retry.failure import FailureType as T

from .case import Corpus
from .world import World

corpus = Corpus("held_out")
case = corpus.case


def foreign(module: str, name: str, *bases: type, **attributes: Any) -> Any:
    """A class as the library `module`, which is not installed here, defines it."""
    return type(name, bases or (Exception,), {"__module__": module, **attributes})


corpus.errors(
    "its documentation says so",
    (h11.RemoteProtocolError("illegal status line"), T.TRANSIENT_NETWORK),
    (httpcore.ConnectTimeout("timed out"), T.TRANSIENT_TIMEOUT),
    (httpcore.ReadError("[Errno 104]"), T.TRANSIENT_NETWORK),
    (anyio.BrokenResourceError(), T.TRANSIENT_NETWORK),
    (anyio.ClosedResourceError(), T.PERMANENT_CODE_BUG),
    (anyio.EndOfStream(), T.TRANSIENT_NETWORK),
    (dns.resolver.LifetimeTimeout(timeout=5.0, errors=[]), T.TRANSIENT_TIMEOUT),
    (dns.resolver.NXDOMAIN(), T.PERMANENT_NOT_FOUND),
    (dns.resolver.NoNameservers(), T.TRANSIENT_NETWORK),
    (docker.errors.NotFound("no such container"), T.PERMANENT_NOT_FOUND),
    (docker.errors.ImageNotFound("no such image"), T.PERMANENT_NOT_FOUND),
    (docker.errors.DockerException("Error while fetching server API version: Connection refused"), T.TRANSIENT_NETWORK),
    (google.auth.exceptions.DefaultCredentialsError("Could not determine credentials"), T.CONFIG_MISSING_SETTING),
    (google.auth.exceptions.RefreshError("invalid_grant: Token has been expired or revoked."), T.PERMANENT_AUTH),
    (google.auth.exceptions.TransportError("x"), T.TRANSIENT_NETWORK),
    (google.protobuf.message.DecodeError("Error parsing message"), T.PERMANENT_VALIDATION),
    (graphql.GraphQLSyntaxError(graphql.Source("{"), 0, "x"), T.PERMANENT_CODE_BUG),
    (jinja2.UndefinedError("'order' is undefined"), T.PERMANENT_CODE_BUG),
    (jinja2.TemplateNotFound("mail.html"), T.PERMANENT_NOT_FOUND),
    (oauthlib.oauth2.TokenExpiredError(), T.PERMANENT_AUTH),
    (oauthlib.oauth2.InvalidGrantError(), T.PERMANENT_AUTH),
    (oauthlib.oauth2.TemporarilyUnavailableError(), T.EXTERNAL_API_DOWN),
    (procrastinate.exceptions.ConnectorException("x"), T.TRANSIENT_DATABASE),
    (procrastinate.exceptions.AlreadyEnqueued("x"), T.PERMANENT_CONFLICT),
    (procrastinate.exceptions.TaskNotFound("x"), T.PERMANENT_CODE_BUG),
    (starlette.exceptions.HTTPException(503), T.EXTERNAL_API_DOWN),
    (fastapi.HTTPException(404), T.PERMANENT_NOT_FOUND),
    (werkzeug.exceptions.TooManyRequests(), T.TRANSIENT_RATE_LIMIT),
    (werkzeug.exceptions.Forbidden(), T.PERMANENT_AUTH),
    (cryptography.fernet.InvalidToken(), T.PERMANENT_AUTH),
    (cryptography.exceptions.InvalidSignature(), T.PERMANENT_AUTH),
    (BadSignature("x"), T.PERMANENT_AUTH),
    (click.UsageError("no such option"), T.PERMANENT_CODE_BUG),
    (email.errors.HeaderParseError("x"), T.PERMANENT_VALIDATION),
    (ftplib.error_perm("530 Login incorrect."), T.PERMANENT_AUTH),
    (ftplib.error_perm("550 No such file."), T.PERMANENT_NOT_FOUND),
    (ftplib.error_temp("421 Timeout."), T.TRANSIENT_NETWORK),
    (imaplib.IMAP4.abort("socket error: EOF"), T.TRANSIENT_NETWORK),
    (imaplib.IMAP4.error(b"[AUTHENTICATIONFAILED] Invalid credentials (Failure)"), T.PERMANENT_AUTH),
    (pyasn1.error.PyAsn1Error("x"), T.PERMANENT_VALIDATION),
    (referencing.exceptions.NoSuchResource("urn:x"), T.PERMANENT_NOT_FOUND),
    (jmespath.exceptions.ParseError(0, "x", "y", "z"), T.PERMANENT_VALIDATION),
)  # fmt: skip

_PARSERS: tuple[tuple[str, Callable[[], Any], T], ...] = (
    ("yaml", lambda: yaml.safe_load("a: [timeout"), T.PERMANENT_VALIDATION),
    ("toml", lambda: tomllib.loads("x = connection refused"), T.PERMANENT_VALIDATION),
    ("orjson", lambda: orjson.loads("{timed out"), T.PERMANENT_VALIDATION),
    ("orjson_dump", lambda: orjson.dumps({1, 2}), T.PERMANENT_CODE_BUG),
    ("struct", lambda: struct.unpack("I", b"x"), T.PERMANENT_VALIDATION),
    ("dateutil", lambda: dateutil.parser.parse("no route to host"), T.PERMANENT_VALIDATION),
    ("croniter", lambda: croniter.croniter("every day"), T.PERMANENT_VALIDATION),
    ("version", lambda: Version("timeout"), T.PERMANENT_VALIDATION),
    ("pglast", lambda: pglast.parse_sql("SELEC"), T.PERMANENT_VALIDATION),
    ("jinja_syntax", lambda: jinja2.Template("{% if %}"), T.PERMANENT_CODE_BUG),
    ("unpickle", lambda: pickle.loads(b"x"), T.PERMANENT_VALIDATION),  # noqa: S301 - the corpus's own bytes
    ("import", lambda: importlib.import_module("no.such.module"), T.PERMANENT_CODE_BUG),
    ("limits", lambda: int("9" * 5000), T.PERMANENT_VALIDATION),
    ("recursion", lambda: sys.setrecursionlimit(-1), T.PERMANENT_VALIDATION),
)  # fmt: skip
for _name, _parse, _kind in _PARSERS:
    corpus.add(_kind, "data that cannot be read", _parse, name=_name)


class _Meta:
    def __init__(self, status: int) -> None:
        self.status = status
        self.headers: dict[str, str] = {}


class _KafkaError:
    def __init__(self, code: int) -> None:
        self._code = code

    def code(self) -> int:
        return self._code


corpus.errors(
    "its documentation says so",
    # elasticsearch 8 and its transport
    (foreign("elasticsearch.exceptions", "ApiError", meta=_Meta(429))("es_rejected_execution_exception"),
     T.TRANSIENT_RATE_LIMIT),
    (foreign("elasticsearch.exceptions", "NotFoundError", meta=_Meta(404))("index_not_found_exception"),
     T.PERMANENT_NOT_FOUND),
    (foreign("elasticsearch.exceptions", "ConflictError", meta=_Meta(409))("version_conflict_engine_exception"),
     T.PERMANENT_CONFLICT),
    (foreign("elastic_transport", "ConnectionTimeout")("Connection timed out"), T.TRANSIENT_TIMEOUT),
    (foreign("elastic_transport", "ConnectionError")("Connection error"), T.TRANSIENT_NETWORK),
    (foreign("opensearchpy.exceptions", "TransportError", status_code=503)(503, "x"), T.EXTERNAL_API_DOWN),
    # kafka
    (foreign("kafka.errors", "KafkaTimeoutError", retriable=True)("x"), T.TRANSIENT_TIMEOUT),
    (foreign("kafka.errors", "NoBrokersAvailable", retriable=True)("NoBrokersAvailable"), T.EXTERNAL_API_DOWN),
    (foreign("kafka.errors", "NotLeaderForPartitionError", errno=6, retriable=True)("x"), T.TRANSIENT_NETWORK),
    (foreign("kafka.errors", "TopicAuthorizationFailedError", errno=29, retriable=False)("x"), T.PERMANENT_AUTH),
    (foreign("kafka.errors", "MessageSizeTooLargeError", errno=10, retriable=False)("x"), T.PERMANENT_VALIDATION),
    (foreign("cimpl", "KafkaException")(_KafkaError(-185)), T.TRANSIENT_TIMEOUT),
    # paramiko, ldap3, cassandra
    (foreign("paramiko.ssh_exception", "AuthenticationException", foreign("paramiko.ssh_exception",
     "SSHException"))("x"),
     T.PERMANENT_AUTH),
    (foreign("paramiko.ssh_exception", "SSHException")("Error reading SSH protocol banner"), T.TRANSIENT_NETWORK),
    (foreign("paramiko.ssh_exception", "NoValidConnectionsError", OSError)(None, "Unable to connect"),
     T.TRANSIENT_NETWORK),
    (foreign("ldap", "INVALID_CREDENTIALS")({"desc": "Invalid credentials"}), T.PERMANENT_AUTH),
    (foreign("ldap", "SERVER_DOWN")({"desc": "Can't contact LDAP server"}), T.TRANSIENT_NETWORK),
    (foreign("ldap3.core.exceptions", "LDAPSocketOpenError")("unable to open socket"), T.TRANSIENT_NETWORK),
    (foreign("cassandra", "ReadTimeout")("Coordinator node timed out"), T.TRANSIENT_TIMEOUT),
    (foreign("cassandra", "Unavailable")("Cannot achieve consistency level QUORUM"), T.TRANSIENT_DATABASE),
    (foreign("cassandra", "InvalidRequest")("unconfigured table users"), T.PERMANENT_VALIDATION),
    # MySQL, SQL Server, Oracle
    (foreign("pymysql.err", "OperationalError")(1213, "Deadlock found"), T.TRANSIENT_DATABASE),
    (foreign("pymysql.err", "OperationalError")(1045, "Access denied for user"), T.PERMANENT_AUTH),
    (foreign("pymysql.err", "IntegrityError")(1062, "Duplicate entry"), T.PERMANENT_CONFLICT),
    (foreign("mysql.connector.errors", "InterfaceError", errno=2003)("Can't connect"), T.TRANSIENT_DATABASE),
    (foreign("pyodbc", "OperationalError")("08S01", "Communication link failure"), T.TRANSIENT_DATABASE),
    (foreign("pyodbc", "ProgrammingError")("42S02", "Invalid object name"), T.PERMANENT_CODE_BUG),
    (foreign("oracledb.exceptions", "DatabaseError")("ORA-00060: deadlock detected"), T.TRANSIENT_DATABASE),
    (foreign("oracledb.exceptions", "DatabaseError")("ORA-01017: invalid username/password"), T.PERMANENT_AUTH),
    # payment, chat, Kubernetes, GitHub, Azure, Telegram
    (foreign("stripe", "RateLimitError", http_status=429)("x"), T.TRANSIENT_RATE_LIMIT),
    (foreign("stripe", "CardError", http_status=402, code="card_declined")("declined"), T.PERMANENT_VALIDATION),
    (foreign("stripe", "APIConnectionError")("Unexpected error communicating with Stripe"), T.TRANSIENT_NETWORK),
    (foreign("slack_sdk.errors", "SlackApiError", response={"ok": False, "error": "ratelimited"})("x"),
     T.TRANSIENT_RATE_LIMIT),
    (foreign("slack_sdk.errors", "SlackApiError", response={"ok": False, "error": "channel_not_found"})("x"),
     T.PERMANENT_NOT_FOUND),
    (foreign("slack_sdk.errors", "SlackApiError", response={"ok": False, "error": "invalid_auth"})("x"),
     T.PERMANENT_AUTH),
    (foreign("kubernetes.client.exceptions", "ApiException", status=409, headers={})("Conflict"), T.PERMANENT_CONFLICT),
    (foreign("github", "GithubException", status=502, headers={})("x"), T.EXTERNAL_API_DOWN),
    (foreign("azure.core.exceptions", "HttpResponseError", status_code=429)("x"), T.TRANSIENT_RATE_LIMIT),
    (foreign("azure.core.exceptions", "ServiceRequestError")("Failed to establish a new connection"),
     T.TRANSIENT_NETWORK),
    (foreign("azure.core.exceptions", "ClientAuthenticationError")("x"), T.PERMANENT_AUTH),
    (foreign("telegram.error", "RetryAfter", retry_after=12)("Flood control exceeded"), T.TRANSIENT_RATE_LIMIT),
    (foreign("twilio.base.exceptions", "TwilioRestException", status=404, code=20404)("x"), T.PERMANENT_NOT_FOUND),
    (foreign("jwt.exceptions", "ExpiredSignatureError")("Signature has expired"), T.PERMANENT_AUTH),
    (foreign("pybreaker", "CircuitBreakerError")("Timeout not elapsed yet, circuit breaker still open"),
     T.EXTERNAL_API_DOWN),
    (foreign("celery.exceptions", "NotRegistered", KeyError)("tasks.add"), T.PERMANENT_CODE_BUG),
    (foreign("websockets.exceptions", "ConnectionClosedError", code=1006)("no close frame received"),
     T.TRANSIENT_NETWORK),
    (foreign("zeep.exceptions", "Fault", code="soap:Server")("Service temporarily unavailable"), T.EXTERNAL_API_DOWN),
    (foreign("playwright._impl._errors", "TimeoutError")("Timeout 30000ms exceeded."), T.TRANSIENT_TIMEOUT),
    (foreign("botocore.errorfactory", "NoSuchKey", response={"Error": {"Code": "NoSuchKey"}})("x"),
     T.PERMANENT_NOT_FOUND),
    (foreign("neo4j.exceptions", "TransientError")("x"), T.TRANSIENT_DATABASE),
    (foreign("hvac.exceptions", "Forbidden")("permission denied"), T.PERMANENT_AUTH),
    (foreign("consul", "Timeout")("x"), T.TRANSIENT_TIMEOUT),
    (foreign("numpy.exceptions", "AxisError", ValueError, IndexError)("axis 3 is out of bounds"),
     T.PERMANENT_VALIDATION),
    (foreign("pandas.errors", "EmptyDataError", ValueError)("No columns to parse from file"), T.PERMANENT_VALIDATION),
    (foreign("torch.cuda", "OutOfMemoryError", RuntimeError)("CUDA out of memory."), T.SYSTEM_OUT_OF_MEMORY),
    (foreign("PIL", "UnidentifiedImageError", OSError)("cannot identify image file"), T.PERMANENT_VALIDATION),
    (RuntimeError("CUDA error: out of memory"), T.SYSTEM_OUT_OF_MEMORY),
    (RuntimeError("can't start new thread"), T.TRANSIENT_RESOURCE),
    (RuntimeError("dictionary changed size during iteration"), T.PERMANENT_CODE_BUG),
    (Exception("Server returned 429: Too Many Requests"), T.TRANSIENT_RATE_LIMIT),
    (Exception("Failed to connect to MySQL at db:3306: host unreachable"), T.TRANSIENT_NETWORK),
    (Exception("ORDER-17: payment declined by issuer"), T.UNKNOWN),
    (Exception("Cannot find product 4711"), T.PERMANENT_NOT_FOUND),
    (Exception("Access token has expired"), T.PERMANENT_AUTH),
    (OSError("Multiple exceptions: [Errno 111] Connect call failed ('::1', 1), [Errno 111] Connect call failed"),
     T.TRANSIENT_NETWORK),
)  # fmt: skip


@case(T.TRANSIENT_TIMEOUT, "a lock that was not had in time")
async def lock_timeout() -> None:
    lock = asyncio.Lock()
    await lock.acquire()
    await asyncio.wait_for(lock.acquire(), timeout=0.001)


@case(T.TRANSIENT_NETWORK, "a refused socket of anyio")
async def anyio_refused(world: World) -> None:
    await anyio.connect_tcp("127.0.0.1", world.closed)


@case(T.TRANSIENT_NETWORK, "ftplib to a closed port")
def ftp_refused(world: World) -> None:
    ftplib.FTP().connect("127.0.0.1", world.closed, timeout=1)


@case(T.TRANSIENT_NETWORK, "docker to a closed port")
def docker_refused(world: World) -> None:
    docker.DockerClient(base_url=f"tcp://127.0.0.1:{world.closed}", version="1.40").ping()
