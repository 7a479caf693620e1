"""Databases, brokers, mail and gRPC."""

import smtplib
import sqlite3
from collections.abc import Callable
from email.message import EmailMessage
from typing import Any, LiteralString

import aiosmtplib
import amqp
import asyncpg
import billiard
import billiard.exceptions
import grpc
import kombu.connection
import kombu.exceptions
import pika
import pika.exceptions
import psycopg
import psycopg_pool
import pymongo
import pymongo.errors
import redis
import sqlalchemy as sa
import sqlalchemy.exc
import sqlalchemy.orm.exc
from redis.backoff import NoBackoff
from redis.retry import Retry

from app.retry.failure import FailureType as T

from .case import Corpus
from .world import World

corpus = Corpus("services")
case = corpus.case

# --- Postgres: every code raised by a real server -----------------------------------------------------------

_SQLSTATES: tuple[tuple[str, T, bool | None], ...] = (
    ("40001", T.TRANSIENT_DATABASE, None), ("40P01", T.TRANSIENT_DATABASE, None), ("40003", T.TRANSIENT_DATABASE, None),
    ("40002", T.PERMANENT_CONFLICT, None), ("55P03", T.TRANSIENT_DATABASE, None), ("55006", T.TRANSIENT_DATABASE, None),
    ("25006", T.TRANSIENT_DATABASE, None), ("25P03", T.TRANSIENT_DATABASE, None), ("08006", T.TRANSIENT_DATABASE, None),
    ("08P01", T.PERMANENT_CODE_BUG, None), ("53300", T.TRANSIENT_DATABASE, None), ("53100", T.SYSTEM_DISK_FULL, None),
    ("53200", T.SYSTEM_OUT_OF_MEMORY, None), ("53400", T.TRANSIENT_DATABASE, None), ("58030", T.UNKNOWN, False),
    ("XX001", T.UNKNOWN, False), ("XX000", T.UNKNOWN, True), ("22012", T.PERMANENT_VALIDATION, None),
    ("22001", T.PERMANENT_VALIDATION, None), ("23502", T.PERMANENT_VALIDATION, None), ("23514",
     T.PERMANENT_VALIDATION, None),
    ("23505", T.PERMANENT_CONFLICT, None), ("23P01", T.PERMANENT_CONFLICT, None), ("23503", T.PERMANENT_CONFLICT, None),
    ("P0002", T.PERMANENT_NOT_FOUND, None), ("42501", T.PERMANENT_AUTH, None), ("28P01", T.PERMANENT_AUTH, None),
    ("28000", T.PERMANENT_AUTH, None), ("3D000", T.CONFIG_MISSING_SETTING, None), ("42P01", T.PERMANENT_CODE_BUG, None),
    ("42601", T.PERMANENT_CODE_BUG, None), ("42703", T.PERMANENT_CODE_BUG, None), ("54000", T.PERMANENT_CODE_BUG, None),
    ("P0001", T.PERMANENT_VALIDATION, None), ("57P01", T.TRANSIENT_DATABASE, None), ("57P03", T.TRANSIENT_DATABASE,
     None),
    ("0A000", T.PERMANENT_CODE_BUG, None), ("44000", T.PERMANENT_VALIDATION, None), ("57014", T.TRANSIENT_TIMEOUT,
     None),
)  # fmt: skip


def _raise_in_postgres(world: World, code: str) -> None:
    with psycopg.connect(world.postgres, autocommit=True) as conn:
        conn.execute(f"DO $$ BEGIN RAISE EXCEPTION 'no words here' USING ERRCODE = '{code}'; END $$")


for _code, _kind, _retry in _SQLSTATES:
    corpus.add(
        _kind, f"SQLSTATE {_code}", lambda w, c=_code: _raise_in_postgres(w, c), name=f"psycopg_{_code}", retry=_retry
    )


async def _asyncpg(world: World, statement: str) -> None:
    parts = dict(part.split("=") for part in world.postgres.split())
    conn = await asyncpg.connect(host=parts["host"], user=parts["user"], database=parts["dbname"])
    try:
        await conn.execute(statement)
    finally:
        await conn.close()


def _psycopg(world: World, *statements: str) -> None:
    with psycopg.connect(world.postgres, autocommit=True) as conn:
        for statement in statements:
            conn.execute(statement)


def _psycopg_with(world: World, statement: LiteralString, parameters: list[str]) -> None:
    with psycopg.connect(world.postgres) as conn:
        conn.execute(statement, parameters)


def _sqlalchemy(world: World, statement: str) -> None:
    engine = sa.create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(world.postgres))
    try:
        with engine.connect() as conn:
            conn.execute(sa.text(statement))
    finally:
        engine.dispose()


for _client, _run in (("psycopg", _psycopg), ("asyncpg", _asyncpg), ("sqlalchemy", _sqlalchemy)):
    for _statement, _kind in (
        ("SELECT * FROM no_such_table", T.PERMANENT_CODE_BUG), ("SELECT 1/0", T.PERMANENT_VALIDATION),
        ("SELECT 'x'::int", T.PERMANENT_VALIDATION), ("SELEC 1", T.PERMANENT_CODE_BUG),
        ("SET statement_timeout = 5; SELECT pg_sleep(5)", T.TRANSIENT_TIMEOUT),
        ("SELECT pg_terminate_backend(pg_backend_pid())", T.TRANSIENT_DATABASE),
        ("DROP ROLE corpus", T.TRANSIENT_DATABASE),
    ):  # fmt: skip
        corpus.add(_kind, f"the server's code for {_statement}", lambda w, r=_run, s=_statement: r(w, s), name=_client)

corpus.add(T.PERMANENT_CODE_BUG, "the transaction was already broken, and nothing says by what",
           lambda w: _raise_in_postgres(w, "25P02"), name="psycopg_25P02")  # fmt: skip
corpus.add(T.TRANSIENT_DATABASE, "nobody listens", name="psycopg_refused",
           provoke=lambda w: psycopg.connect(f"host=127.0.0.1 port={w.closed} dbname=x connect_timeout=2"))  # fmt: skip
corpus.add(T.CONFIG_MISSING_SETTING, "no such database", name="psycopg_no_database",
           provoke=lambda w: psycopg.connect(w.postgres.replace("dbname=postgres", "dbname=nowhere")))  # fmt: skip
corpus.add(T.PERMANENT_CODE_BUG, "wrong number of parameters", name="psycopg_parameters",
           provoke=lambda w: _psycopg_with(w, "SELECT %s, %s", ["a"]))  # fmt: skip


@case(T.TRANSIENT_DATABASE, "the first error broke the transaction; the second one is its echo")
def echo_of_a_deadlock(world: World) -> None:
    with psycopg.connect(world.postgres) as conn:
        try:
            conn.execute("DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40P01'; END $$")
        except psycopg.Error:
            conn.execute("SELECT 1")


@case(T.TRANSIENT_DATABASE, "the pool had no connection in time")
def psycopg_pool_timeout(world: World) -> None:
    with psycopg_pool.ConnectionPool(world.postgres, min_size=1, max_size=1, timeout=0.05) as pool, pool.connection():
        pool.getconn()


@case(T.TRANSIENT_DATABASE, "SQLAlchemy's own time-out of the pool")
def sqlalchemy_pool_timeout(world: World) -> None:
    engine = sa.create_engine(
        "postgresql+psycopg://",
        creator=lambda: psycopg.connect(world.postgres),
        pool_size=1,
        max_overflow=0,
        pool_timeout=0.05,
    )
    try:
        with engine.connect():
            engine.connect()
    finally:
        engine.dispose()


def _sqlite(*statements: str) -> Callable[[], None]:
    def run() -> None:
        with sqlite3.connect(":memory:") as conn:
            for statement in statements:
                conn.execute(statement)

    return run


corpus.add(T.PERMANENT_CODE_BUG, "no such table", _sqlite("SELECT * FROM x"), name="sqlite_table")
corpus.add(T.PERMANENT_CODE_BUG, "syntax", _sqlite("SELEC"), name="sqlite_syntax")
corpus.add(T.PERMANENT_CONFLICT, "unique", name="sqlite_unique",
           provoke=_sqlite("CREATE TABLE t (a INTEGER PRIMARY KEY)", "INSERT INTO t VALUES (1)",
           "INSERT INTO t VALUES (1)"))  # fmt: skip
corpus.add(T.PERMANENT_VALIDATION, "not null", name="sqlite_not_null",
           provoke=_sqlite("CREATE TABLE t (a TEXT NOT NULL)", "INSERT INTO t VALUES (NULL)"))  # fmt: skip
corpus.add(T.CONFIG_MISSING_SETTING, "the file cannot be opened", name="sqlite_open",
           provoke=lambda: sqlite3.connect("/nowhere/x.db").execute("SELECT 1"))  # fmt: skip


@case(T.TRANSIENT_DATABASE, "another writer holds the lock")
def sqlite_busy() -> None:
    import tempfile

    with tempfile.NamedTemporaryFile() as file:
        first = sqlite3.connect(file.name)
        first.execute("BEGIN EXCLUSIVE")
        try:
            sqlite3.connect(file.name, timeout=0).execute("CREATE TABLE t (a)")
        finally:
            first.close()


corpus.errors("SQLAlchemy's own class",
    (sqlalchemy.exc.NoResultFound("No row was found when one was required"), T.PERMANENT_NOT_FOUND),
    (sqlalchemy.exc.MultipleResultsFound("Multiple rows were found"), T.PERMANENT_VALIDATION),
    (sqlalchemy.orm.exc.StaleDataError("UPDATE statement expected to update 1 row(s); 0 were matched."),
     T.TRANSIENT_DATABASE),
    (sqlalchemy.exc.ArgumentError("x"), T.PERMANENT_CODE_BUG),
    (sqlalchemy.orm.exc.DetachedInstanceError("x"), T.PERMANENT_CODE_BUG),
)  # fmt: skip

_ONCE = Retry(NoBackoff(), 0)

# --- Redis, MongoDB -----------------------------------------------------------------------------------------

corpus.add(T.TRANSIENT_NETWORK, "nobody listens", name="redis_refused",
           provoke=lambda w: redis.Redis(port=w.closed, retry=_ONCE).ping())  # fmt: skip
corpus.add(T.TRANSIENT_TIMEOUT, "no answer in time", name="redis_timeout",
           provoke=lambda w: redis.Redis(port=w.silent, socket_timeout=0.03, retry=Retry(NoBackoff(),
           0)).ping())  # fmt: skip
corpus.errors("Redis' own class or reply",
    (redis.exceptions.BusyLoadingError("Redis is loading the dataset in memory"), T.TRANSIENT_DATABASE),
    (redis.exceptions.ReadOnlyError("You can't write against a read only replica."), T.TRANSIENT_DATABASE),
    (redis.exceptions.ClusterDownError("CLUSTERDOWN Hash slot not served"), T.TRANSIENT_DATABASE),
    (redis.exceptions.TryAgainError("TRYAGAIN Multiple keys request during rehashing of slot"), T.TRANSIENT_DATABASE),
    (redis.exceptions.MaxConnectionsError("Too many connections"), T.TRANSIENT_RESOURCE),
    (redis.exceptions.AuthenticationError("invalid username-password pair or user is disabled."), T.PERMANENT_AUTH),
    (redis.exceptions.NoPermissionError("this user has no permissions to run the 'get' command"), T.PERMANENT_AUTH),
    (redis.exceptions.OutOfMemoryError("command not allowed when used memory > 'maxmemory'."), T.TRANSIENT_RESOURCE),
    (redis.exceptions.ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value"),
     T.PERMANENT_CODE_BUG),
    (redis.exceptions.ResponseError("LOADING Redis is loading the dataset in memory"), T.TRANSIENT_DATABASE),
    (redis.exceptions.DataError("Invalid input of type: 'dict'"), T.PERMANENT_CODE_BUG),
    (redis.exceptions.LockNotOwnedError("Cannot release a lock that's no longer owned"), T.TRANSIENT_DATABASE),
)  # fmt: skip

corpus.add(T.TRANSIENT_DATABASE, "no server to select", name="mongo_selection",
           provoke=lambda w: pymongo.MongoClient(port=w.closed,
           serverSelectionTimeoutMS=30).admin.command("ping"))  # fmt: skip
corpus.errors("MongoDB's code",
    (pymongo.errors.DuplicateKeyError("E11000 duplicate key error", 11000), T.PERMANENT_CONFLICT),
    (pymongo.errors.OperationFailure("not authorized", 13), T.PERMANENT_AUTH),
    (pymongo.errors.OperationFailure("Authentication failed.", 18), T.PERMANENT_AUTH),
    (pymongo.errors.OperationFailure("WriteConflict", 112), T.TRANSIENT_DATABASE),
    (pymongo.errors.NotPrimaryError("not primary", {"code": 10107}), T.TRANSIENT_DATABASE),
    (pymongo.errors.ExecutionTimeout("operation exceeded time limit", 50), T.TRANSIENT_TIMEOUT),
    (pymongo.errors.OperationFailure("Document failed validation", 121), T.PERMANENT_VALIDATION),
    (pymongo.errors.AutoReconnect("connection closed"), T.TRANSIENT_DATABASE),
    (pymongo.errors.InvalidURI("Invalid URI scheme"), T.CONFIG_MISSING_SETTING),
    (pymongo.errors.BulkWriteError({"writeErrors": [{"code": 11000, "errmsg": "dup"}]}), T.PERMANENT_CONFLICT),
    (pymongo.errors.OperationFailure("stepped down", 99999, {"errorLabels": ["RetryableWriteError"]}),
     T.TRANSIENT_DATABASE),
)  # fmt: skip

# --- brokers ------------------------------------------------------------------------------------------------

corpus.add(T.TRANSIENT_NETWORK, "nobody listens", name="kombu_refused",
           provoke=lambda w: kombu.connection.Connection(f"amqp://127.0.0.1:{w.closed}").ensure_connection(max_retries=1,
           interval_start=0))  # fmt: skip
corpus.add(T.TRANSIENT_NETWORK, "nobody listens", name="pika_refused",
           provoke=lambda w: pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", w.closed)))  # fmt: skip
corpus.errors("the broker's code or class",
    (amqp.exceptions.NotFound("no queue 'x' in vhost '/'"), T.PERMANENT_NOT_FOUND),
    (amqp.exceptions.AccessRefused("access to exchange refused"), T.PERMANENT_AUTH),
    (amqp.exceptions.PreconditionFailed("inequivalent arg 'durable'"), T.PERMANENT_CONFLICT),
    (amqp.exceptions.ConnectionForced("broker forced connection closure"), T.TRANSIENT_NETWORK),
    (kombu.exceptions.OperationalError("[Errno 111] Connection refused"), T.TRANSIENT_NETWORK),
    (kombu.exceptions.EncodeError("Object of type set is not JSON serializable"), T.PERMANENT_VALIDATION),
    (pika.exceptions.ChannelClosedByBroker(404, "NOT_FOUND - no queue 'x'"), T.PERMANENT_NOT_FOUND),
    (pika.exceptions.ChannelClosedByBroker(406, "PRECONDITION_FAILED"), T.PERMANENT_CONFLICT),
    (pika.exceptions.ConnectionClosedByBroker(320, "CONNECTION_FORCED"), T.TRANSIENT_NETWORK),
    (pika.exceptions.ProbableAuthenticationError("(403) ACCESS_REFUSED"), T.PERMANENT_AUTH),
    (pika.exceptions.StreamLostError("Stream connection lost"), T.TRANSIENT_NETWORK),
    (pika.exceptions.AMQPHeartbeatTimeout("No activity"), T.TRANSIENT_TIMEOUT),
    (billiard.exceptions.WorkerLostError("Worker exited prematurely: signal 9 (SIGKILL) Job: 0."),
     T.SYSTEM_WORKER_LOST),
    (billiard.exceptions.SoftTimeLimitExceeded(), T.TRANSIENT_TIMEOUT),
    (billiard.exceptions.TimeLimitExceeded(30), T.TRANSIENT_TIMEOUT),
)  # fmt: skip

# --- mail ---------------------------------------------------------------------------------------------------


def _message() -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"] = "a@example.org", "b@example.org"
    message.set_content("hello")
    return message


def _smtplib(world: World, recipients: list[str], answer: str = "250 OK") -> None:
    with smtplib.SMTP("127.0.0.1", world.smtp, timeout=2) as client:
        client.sendmail("a@example.org", recipients, f"Subject: x\r\n\r\n{answer}")


async def _aiosmtplib(world: World, recipients: list[str], answer: str = "250 OK") -> None:
    text = f"Subject: x\r\n\r\n{answer}"
    await aiosmtplib.send(text, sender="a@example.org", recipients=recipients, hostname="127.0.0.1", port=world.smtp)


for _client, _send in (("smtplib", _smtplib), ("aiosmtplib", _aiosmtplib)):
    for _reply, _kind in (
        ("550-5.1.1_no_such_user", T.PERMANENT_NOT_FOUND), ("451-4.7.1_greylisted", T.TRANSIENT_NETWORK),
        ("450-4.2.0_mailbox_busy", T.TRANSIENT_NETWORK), ("452-4.2.2_mailbox_full", T.TRANSIENT_RESOURCE),
        ("554-5.7.1_rejected_by_policy", T.PERMANENT_VALIDATION), ("421-4.3.2_shutting_down", T.TRANSIENT_NETWORK),
        ("450-4.7.0_too_many_messages", T.TRANSIENT_RATE_LIMIT), ("530-5.7.0_authentication_required",
         T.PERMANENT_AUTH),
    ):  # fmt: skip
        corpus.add(_kind, f"SMTP reply {_reply}", lambda w, s=_send, r=_reply: s(w, [f"{r}@example.org"]),
                   name=f"{_client}_{_reply[:3]}")  # fmt: skip
    corpus.add(T.PERMANENT_VALIDATION, "the content is refused", name=f"{_client}_data_554",
               provoke=lambda w, s=_send: s(w, ["ok@example.org"], "554 5.7.1 message is spam"))  # fmt: skip
    corpus.add(T.TRANSIENT_NETWORK, "one of two may be tried again", name=f"{_client}_mixed",
               provoke=lambda w, s=_send: s(w, ["550-5.1.1_x@example.org", "451-4.3.0_y@example.org"]))  # fmt: skip


@case(T.PERMANENT_AUTH, "535: wrong password")
def smtp_login(world: World) -> None:
    with smtplib.SMTP("127.0.0.1", world.smtp, timeout=2) as client:
        client.login("user", "password")


@case(T.TRANSIENT_NETWORK, "421 in the greeting")
def smtp_busy(world: World) -> None:
    smtplib.SMTP("127.0.0.1", world.greeting, timeout=2)


@case(T.TRANSIENT_NETWORK, "nobody listens")
async def aiosmtplib_refused(world: World) -> None:
    await aiosmtplib.send(_message(), hostname="127.0.0.1", port=world.closed, timeout=1)


@case(T.TRANSIENT_TIMEOUT, "no greeting in time")
async def aiosmtplib_timeout(world: World) -> None:
    await aiosmtplib.send(_message(), hostname="127.0.0.1", port=world.silent, timeout=0.05)


# --- gRPC ---------------------------------------------------------------------------------------------------


def _grpc(world: World, code: str, details: str = "") -> None:
    with grpc.insecure_channel(world.grpc) as channel:
        channel.unary_unary("/corpus.Corpus/Call")(f"{code}|{details}".encode(), timeout=5)


async def _grpc_aio(world: World, code: str) -> Any:
    async with grpc.aio.insecure_channel(world.grpc) as channel:
        await channel.unary_unary("/corpus.Corpus/Call")(f"{code}|".encode(), timeout=5)


_GRPC: tuple[tuple[str, T, bool | None], ...] = (
    ("UNAVAILABLE", T.EXTERNAL_API_DOWN, None), ("ABORTED", T.TRANSIENT_DATABASE, None), ("NOT_FOUND",
     T.PERMANENT_NOT_FOUND, None),
    ("RESOURCE_EXHAUSTED", T.TRANSIENT_RATE_LIMIT, None), ("DEADLINE_EXCEEDED", T.TRANSIENT_TIMEOUT, None),
    ("INTERNAL", T.EXTERNAL_API_DOWN, None), ("UNKNOWN", T.EXTERNAL_API_DOWN, None), ("ALREADY_EXISTS",
     T.PERMANENT_CONFLICT, None),
    ("FAILED_PRECONDITION", T.PERMANENT_CONFLICT, None), ("INVALID_ARGUMENT", T.PERMANENT_VALIDATION, None),
    ("OUT_OF_RANGE", T.PERMANENT_VALIDATION, None), ("PERMISSION_DENIED", T.PERMANENT_AUTH, None),
    ("UNAUTHENTICATED", T.PERMANENT_AUTH, None), ("UNIMPLEMENTED", T.PERMANENT_CODE_BUG, None), ("DATA_LOSS",
     T.UNKNOWN, False),
)  # fmt: skip
for _name, _kind, _retry in _GRPC:
    corpus.add(_kind, f"gRPC {_name}", lambda w, n=_name: _grpc(w, n), name=f"grpc_{_name}", retry=_retry)
    if _name in ("UNAVAILABLE", "NOT_FOUND", "UNAUTHENTICATED"):
        corpus.add(_kind, f"gRPC {_name}", lambda w, n=_name: _grpc_aio(w, n), name=f"grpc_aio_{_name}", retry=_retry)
corpus.add(T.EXTERNAL_API_DOWN, "the server forbids a retry", lambda w: _grpc(w, "UNAVAILABLE", "pushback=-1"),
           name="grpc_pushback", retry=False)  # fmt: skip


@case(T.TRANSIENT_NETWORK, "nobody listens: gRPC says UNAVAILABLE, and why")
def grpc_refused(world: World) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{world.closed}") as channel:
        channel.unary_unary("/corpus.Corpus/Call")(b"", timeout=3)
