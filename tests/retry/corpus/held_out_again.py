"""A second set, written after the rules had learned from the first; the engine sees it as a stranger would."""

import asyncio
import concurrent.futures
import ipaddress
import json
import logging.config
import mailbox
import os
import poplib
import secrets
import select
import shutil
import socket
import socketserver
import statistics
import tarfile
import tempfile
import threading
import urllib.request
from collections.abc import Callable
from configparser import ConfigParser
from enum import Enum
from pathlib import Path
from string import Template
from typing import Any

import anthropic
import asyncpg
import django.core.exceptions
import django.http
import httpx
import jinja2
import kombu.exceptions
import marshmallow.exceptions
import psycopg
import pydantic
import pymongo
import pymongo.errors
import redis
import requests
import sqlalchemy as sa
import sqlalchemy.exc
import typer
import urllib3

from app.retry.failure import FailureType as T

from .case import Corpus
from .held_out import foreign
from .world import World

corpus = Corpus("held_out_again")
case = corpus.case


class Colour(Enum):
    """A payload's."""

    RED = "red"


def _circle() -> list[Any]:
    circle: list[Any] = []
    circle.append(circle)
    return circle


def _start_twice() -> None:
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()
    thread.start()


def _closed_loop() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    loop.call_soon(int)


def _shut_executor() -> None:
    pool = concurrent.futures.ThreadPoolExecutor(1)
    pool.shutdown()
    pool.submit(int)


def _udp(world: World) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect(("127.0.0.1", world.closed))
        sender.settimeout(1)
        sender.send(b"x")
        sender.recv(1)


def _unread(world: World) -> None:
    with httpx.Client() as client, client.stream("GET", f"{world.http}/status/200") as response:
        response.content  # noqa: B018 - the access raises


def _sa(world: World, statement: str) -> None:
    engine = sa.create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(world.postgres))
    try:
        with engine.begin() as conn:
            conn.execute(sa.text("CREATE TEMP TABLE k (id int PRIMARY KEY)"))
            conn.execute(sa.text(statement))
    finally:
        engine.dispose()


def _pg(world: World, statement: str) -> None:
    with psycopg.connect(world.postgres) as conn:
        conn.execute(statement)


def _closed(world: World) -> None:
    conn = psycopg.connect(world.postgres)
    conn.close()
    conn.execute("SELECT 1")


def _anthropic(world: World, status: int) -> None:
    with anthropic.Anthropic(api_key="k", base_url=f"{world.http}/status/{status}/", max_retries=0) as client:
        client.models.list()


_CALLS: tuple[tuple[str, Callable[..., Any], T], ...] = (
    ("enum", lambda: Colour("timeout"), T.PERMANENT_VALIDATION),
    ("ip", lambda: ipaddress.ip_address("connection reset"), T.PERMANENT_VALIDATION),
    ("template", lambda: Template("$name").substitute({}), T.PERMANENT_CODE_BUG),
    ("mean", lambda: statistics.mean([]), T.PERMANENT_VALIDATION),
    ("config", lambda: ConfigParser().get("database", "url"), T.CONFIG_MISSING_SETTING),
    ("environ", lambda: f"{os.environ['NOT_SET_ANYWHERE']}/x", T.CONFIG_MISSING_SETTING),
    ("tar", lambda: tarfile.TarFile.open(Path(__file__)), T.PERMANENT_VALIDATION),
    ("copy", lambda: shutil.copytree("/nowhere/a", f"{tempfile.gettempdir()}/b"), T.PERMANENT_NOT_FOUND),
    ("listdir", lambda: os.listdir(__file__), T.PERMANENT_VALIDATION),  # noqa: PTH208 - the call is the case
    ("dumps", lambda: json.dumps(object()), T.PERMANENT_CODE_BUG),
    ("circular", lambda: json.dumps(_circle()), T.PERMANENT_VALIDATION),
    ("mailbox", lambda: mailbox.Maildir("/nowhere/box", create=False), T.PERMANENT_NOT_FOUND),
    ("select", lambda: select.select([-1], [], [], 0), T.PERMANENT_VALIDATION),
    ("bind_taken", lambda w: socketserver.TCPServer(("127.0.0.1", w.silent), socketserver.BaseRequestHandler),
     T.TRANSIENT_RESOURCE),
    ("pop_refused", lambda w: poplib.POP3("127.0.0.1", w.closed, timeout=1), T.TRANSIENT_NETWORK),
    ("token", lambda: secrets.token_bytes(-1), T.PERMANENT_VALIDATION),
    ("thread_twice", _start_twice, T.PERMANENT_CODE_BUG),
    ("closed_loop", _closed_loop, T.PERMANENT_CODE_BUG),
    ("shut_executor", _shut_executor, T.PERMANENT_CODE_BUG),
    ("udp_unreachable", _udp, T.TRANSIENT_NETWORK),
    ("data_url", lambda: urllib.request.urlopen("nonsense:abc"), T.PERMANENT_CODE_BUG),
    ("logging", lambda: logging.config.dictConfig({"version": 5}), T.PERMANENT_VALIDATION),
    ("httpx_stream", _unread, T.PERMANENT_CODE_BUG),
    ("httpx_proxy", lambda w: httpx.Client(proxy=f"http://127.0.0.1:{w.closed}").get("http://example.invalid/"),
     T.TRANSIENT_NETWORK),
    ("requests_proxy", lambda w: requests.get("http://example.invalid/", timeout=1,
                                              proxies={"http": f"http://127.0.0.1:{w.closed}"}), T.TRANSIENT_NETWORK),
    ("urllib3_many", lambda w: urllib3.PoolManager().request("GET", f"{w.http}/status/429",
                     retries=urllib3.Retry(1, status_forcelist=[429], backoff_factor=0)), T.TRANSIENT_RATE_LIMIT),
    ("httpx_418", lambda w: httpx.get(f"{w.http}/status/418").raise_for_status(), T.PERMANENT_VALIDATION),
    ("httpx_451", lambda w: httpx.get(f"{w.http}/status/451").raise_for_status(), T.PERMANENT_AUTH),
    ("httpx_302", lambda w: httpx.get(f"{w.http}/status/302").raise_for_status(), T.CONFIG_MISSING_SETTING),
    ("sa_unreachable", lambda w: sa.create_engine(f"postgresql+psycopg://a@127.0.0.1:{w.closed}/x").connect(),
     T.TRANSIENT_DATABASE),
    ("sa_url", lambda: sa.create_engine("not a url"), T.PERMANENT_CODE_BUG),
    ("sa_dialect", lambda: sa.create_engine("foo://x"), T.CONFIG_MISSING_SETTING),
    ("sa_unique", lambda w: _sa(w, "INSERT INTO k VALUES (1), (1)"), T.PERMANENT_CONFLICT),
    ("sa_long", lambda w: _sa(w, "SELECT repeat('x', 9)::varchar(3)::char(2)::int"), T.PERMANENT_VALIDATION),
    ("pg_closed", _closed, T.TRANSIENT_DATABASE),
    ("pg_json", lambda w: _pg(w, "SELECT 'x'::json"), T.PERMANENT_VALIDATION),
    ("pg_lock", lambda w: _pg(w, "SET lock_timeout = 5; SELECT 1; LOCK TABLE nowhere"), T.PERMANENT_CODE_BUG),
    ("pg_password", lambda: asyncpg.connect("postgres://a:b@127.0.0.1:1/x"), T.TRANSIENT_NETWORK),
    ("redis_url", lambda: redis.Redis.from_url("http://x"), T.PERMANENT_VALIDATION),
    ("mongo_url", lambda: pymongo.MongoClient("http://x"), T.CONFIG_MISSING_SETTING),
    ("typer", lambda: (_ for _ in ()).throw(typer.BadParameter("x")), T.PERMANENT_VALIDATION),
    ("pydantic_json", lambda: pydantic.TypeAdapter(int).validate_json("{"), T.PERMANENT_VALIDATION),
    ("jinja_missing", lambda: jinja2.Environment(undefined=jinja2.StrictUndefined,  # noqa: S701 - no HTML here
                                                 ).from_string("{{ a }}").render(), T.PERMANENT_CODE_BUG),
    ("anthropic_413", lambda w: _anthropic(w, 413), T.PERMANENT_VALIDATION),
)  # fmt: skip
for _name, _call, _kind in _CALLS:
    corpus.add(_kind, "what the call means", _call, name=_name)

corpus.errors(
    "its documentation says so",
    (foreign("boto3.exceptions", "S3UploadFailedError")("Failed to upload x: Read timed out"), T.TRANSIENT_TIMEOUT),
    (foreign("celery.exceptions", "TaskRevokedError")("revoked"), T.UNKNOWN),
    (foreign("celery.exceptions", "MaxRetriesExceededError")("Can't retry x"), T.UNKNOWN),
    (foreign("rq.timeouts", "JobTimeoutException")("Task exceeded maximum timeout value (180 seconds)"),
     T.TRANSIENT_TIMEOUT),
    (foreign("dramatiq.middleware.time_limit", "TimeLimitExceeded")(), T.TRANSIENT_TIMEOUT),
    (foreign("aiormq.exceptions", "ChannelNotFoundEntity")("NOT_FOUND"), T.PERMANENT_NOT_FOUND),
    (foreign("aio_pika.exceptions", "ProbableAuthenticationError")("ACCESS_REFUSED"), T.PERMANENT_AUTH),
    (foreign("nats.errors", "NoRespondersError")("nats: no responders available for request"), T.EXTERNAL_API_DOWN),
    (foreign("nats.errors", "TimeoutError", asyncio.TimeoutError)("nats: timeout"), T.TRANSIENT_TIMEOUT),
    (foreign("zmq.error", "Again", errno=11)("Resource temporarily unavailable"), T.TRANSIENT_RESOURCE),
    (foreign("aiokafka.errors", "KafkaConnectionError")("Unable to bootstrap from [('k', 9092)]"), T.TRANSIENT_NETWORK),
    (foreign("aiokafka.errors", "UnknownTopicOrPartitionError", errno=3)("x"), T.PERMANENT_NOT_FOUND),
    (foreign("paramiko.ssh_exception", "BadHostKeyException")("Host key does not match"), T.PERMANENT_AUTH),
    (foreign("asyncssh.misc", "PermissionDenied")("Permission denied"), T.PERMANENT_AUTH),
    (foreign("asyncssh.misc", "ConnectionLost")("Connection lost"), T.TRANSIENT_NETWORK),
    (foreign("ldap", "TIMEOUT")({"desc": "Timed out"}), T.TRANSIENT_TIMEOUT),
    (foreign("ldap", "NO_SUCH_OBJECT")({"desc": "No such object"}), T.PERMANENT_NOT_FOUND),
    (foreign("ldap", "INSUFFICIENT_ACCESS")({"desc": "Insufficient access"}), T.PERMANENT_AUTH),
    (foreign("cassandra.cluster", "NoHostAvailable")("Unable to connect to any servers", {}), T.TRANSIENT_DATABASE),
    (foreign("cassandra", "AlreadyExists")("Table already exists"), T.PERMANENT_CONFLICT),
    (foreign("cassandra", "OperationTimedOut")("errors={}"), T.TRANSIENT_TIMEOUT),
    (foreign("elasticsearch", "AuthenticationException", status_code=401)("x"), T.PERMANENT_AUTH),
    (foreign("elasticsearch", "BadRequestError", status_code=400)("mapper_parsing_exception"), T.PERMANENT_VALIDATION),
    (foreign("elasticsearch.helpers", "BulkIndexError")("2 document(s) failed to index."), T.PERMANENT_VALIDATION),
    (foreign("influxdb_client.rest", "ApiException", status=401)("x"), T.PERMANENT_AUTH),
    (foreign("snowflake.connector.errors", "ProgrammingError", errno=2003, sqlstate="02000")("x"),
     T.PERMANENT_NOT_FOUND),
    (foreign("snowflake.connector.errors", "OperationalError", errno=250001)("Could not connect"),
     T.TRANSIENT_DATABASE),
    (foreign("pymssql", "OperationalError")(1205, b"deadlock victim"), T.TRANSIENT_DATABASE),
    (foreign("MySQLdb", "OperationalError")(2006, "MySQL server has gone away"), T.TRANSIENT_DATABASE),
    (foreign("MySQLdb", "DataError")(1406, "Data too long for column"), T.PERMANENT_VALIDATION),
    (foreign("peewee", "IntegrityError")("UNIQUE constraint failed"), T.PERMANENT_CONFLICT),
    (foreign("tortoise.exceptions", "DoesNotExist")("x"), T.PERMANENT_NOT_FOUND),
    (foreign("minio.error", "S3Error", code="NoSuchKey")("S3 operation failed"), T.PERMANENT_NOT_FOUND),
    (foreign("minio.error", "S3Error", code="AccessDenied")("S3 operation failed"), T.PERMANENT_AUTH),
    (foreign("hvac.exceptions", "VaultDown")("Vault is sealed"), T.EXTERNAL_API_DOWN),
    (foreign("hvac.exceptions", "InvalidPath")("x"), T.PERMANENT_NOT_FOUND),
    (foreign("stripe", "InvalidRequestError", http_status=400)("No such customer: 'cus_1'"), T.PERMANENT_VALIDATION),
    (foreign("stripe", "AuthenticationError", http_status=401)("Invalid API Key"), T.PERMANENT_AUTH),
    (foreign("discord.errors", "RateLimited", retry_after=3.5)("Too many requests"), T.TRANSIENT_RATE_LIMIT),
    (foreign("telegram.error", "Forbidden")("bot was blocked by the user"), T.PERMANENT_AUTH),
    (foreign("telegram.error", "NetworkError")("httpx.ConnectError"), T.TRANSIENT_NETWORK),
    (foreign("selenium.common.exceptions", "TimeoutException")("x"), T.TRANSIENT_TIMEOUT),
    (foreign("selenium.common.exceptions", "NoSuchElementException")("x"), T.PERMANENT_NOT_FOUND),
    (foreign("PyPDF2.errors", "PdfReadError")("EOF marker not found"), T.PERMANENT_VALIDATION),
    (foreign("requests_oauthlib", "TokenUpdated", Warning)("x"), T.PERMANENT_CODE_BUG),
    (foreign("websocket._exceptions", "WebSocketTimeoutException")("Connection timed out"), T.TRANSIENT_TIMEOUT),
    (foreign("zeep.exceptions", "TransportError", status_code=503)("x"), T.EXTERNAL_API_DOWN),
    (foreign("suds", "WebFault")("Server raised fault: 'Invalid credentials'"), T.PERMANENT_AUTH),
    (foreign("shop.errors", "StockReservationExpired")("x"), T.UNKNOWN),
    (foreign("shop.errors", "PaymentProviderDown")("x"), T.EXTERNAL_API_DOWN),
    (foreign("shop.errors", "CustomerBlocked")("x"), T.UNKNOWN),
    (foreign("shop.errors", "UnsupportedCurrency")("x"), T.PERMANENT_CODE_BUG),
    (foreign("shop.errors", "CouldNotAcquireLock")("x"), T.TRANSIENT_DATABASE),
    (Exception("504 Gateway Time-out"), T.EXTERNAL_API_DOWN),
    (Exception("dial tcp 10.0.0.1:443: i/o timeout"), T.TRANSIENT_TIMEOUT),
    (Exception("read: connection reset by peer"), T.TRANSIENT_NETWORK),
    (Exception("x509: certificate signed by unknown authority"), T.CONFIG_MISSING_SETTING),
    (Exception("ENOSPC: no space left on device, write"), T.SYSTEM_DISK_FULL),
    (Exception("Schema mismatch: column 'a' is missing"), T.PERMANENT_VALIDATION),
    (RuntimeError("The server is currently overloaded, please try again later"), T.EXTERNAL_API_DOWN),
    (RuntimeError("Unable to load credentials from any source"), T.CONFIG_MISSING_SETTING),
    (OSError("cannot send after transport endpoint shutdown"), T.TRANSIENT_NETWORK),
    (django.core.exceptions.MultipleObjectsReturned("x"), T.PERMANENT_VALIDATION),
    (django.core.exceptions.DisallowedHost("x"), T.PERMANENT_VALIDATION),
    (django.http.Http404("x"), T.PERMANENT_NOT_FOUND),
    (marshmallow.exceptions.RegistryError("x"), T.PERMANENT_CODE_BUG),
    (kombu.exceptions.ContentDisallowed("pickle"), T.PERMANENT_AUTH),
    (sqlalchemy.exc.NoSuchTableError("orders"), T.PERMANENT_CODE_BUG),
    (pymongo.errors.WriteError("Document failed validation", 121), T.PERMANENT_VALIDATION),
    (pymongo.errors.WTimeoutError("waiting for replication timed out", 64), T.TRANSIENT_TIMEOUT),
)  # fmt: skip
