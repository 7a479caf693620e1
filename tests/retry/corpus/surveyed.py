"""What a walk through the exceptions of some two hundred libraries found wrong: names, ladders and wrappers."""

import errno
import smtplib
import sqlite3

import aiohttp
import anyio
import asyncpg
import fastapi
import psycopg
import pydantic.v1
import pymysql.err
import requests.exceptions
import sqlalchemy as sa
import sqlalchemy.exc
import urllib3.exceptions

from app.retry.failure import FailureType as T

from .case import Corpus
from .held_out import foreign

corpus = Corpus("surveyed")


def _sqlite(statement: str) -> None:
    with sa.create_engine("sqlite://").connect() as connection:
        connection.execute(sa.text("CREATE TABLE t (a INTEGER)"))
        connection.execute(sa.text(statement))


for _name, _statement, _kind in (
    ("table", "SELECT * FROM nowhere", T.PERMANENT_CODE_BUG),
    ("column", "SELECT b FROM t", T.PERMANENT_CODE_BUG),
    ("function", "SELECT nothing(1)", T.PERMANENT_CODE_BUG),
    ("insert", "INSERT INTO t (b) VALUES (1)", T.PERMANENT_CODE_BUG),
    ("there", "CREATE TABLE t (a INTEGER)", T.PERMANENT_CODE_BUG),
):
    corpus.add(_kind, "the schema is not what the code expects", lambda s=_statement: _sqlite(s), name=f"sa_{_name}")


def _operational(text: str) -> BaseException:
    """As another process tells it: the driver's class and words, without its code."""
    return sa.exc.OperationalError("SELECT timeout FROM t", {}, sqlite3.OperationalError(text))


corpus.errors(
    "OperationalError says nothing; the driver's words do, and not the statement's",
    (_operational("no such table: orders"), T.PERMANENT_CODE_BUG),
    (_operational("no such column: orders.total"), T.PERMANENT_CODE_BUG),
    (_operational("table orders has no column named total"), T.PERMANENT_CODE_BUG),
    (_operational("database is locked"), T.TRANSIENT_DATABASE),
    (_operational("database or disk is full"), T.SYSTEM_DISK_FULL),
    (_operational("unable to open database file"), T.CONFIG_MISSING_SETTING),
    (_operational("attempt to write a readonly database"), T.PERMANENT_AUTH),
    (_operational("disk I/O error"), T.UNKNOWN, False),
    (_operational("database disk image is malformed"), T.UNKNOWN, False),
    (_operational("odd"), T.TRANSIENT_DATABASE),
    (foreign("django.db.utils", "OperationalError")("no such table: orders"), T.PERMANENT_CODE_BUG),
    (foreign("peewee", "OperationalError")("no such table: orders"), T.PERMANENT_CODE_BUG),
    (foreign("tortoise.exceptions", "OperationalError")('relation "orders" does not exist'), T.PERMANENT_CODE_BUG),
    (sa.exc.DBAPIError("SELECT 1", {}, Exception("connection was closed")), T.TRANSIENT_DATABASE),
)

_Error = foreign("exasol.driver", "Error")
_DatabaseError = foreign("exasol.driver", "DatabaseError", _Error)
_OperationalError = foreign("exasol.driver", "OperationalError", _DatabaseError)
corpus.errors(
    "the ladder of PEP 249, in a driver nobody has heard of",
    (_OperationalError("closed"), T.TRANSIENT_DATABASE),
    (_OperationalError("password authentication failed"), T.PERMANENT_AUTH),
    (foreign("exasol.driver", "ProgrammingError", _DatabaseError)("x"), T.PERMANENT_CODE_BUG),
    (foreign("exasol.driver", "DataError", _DatabaseError)("timeout"), T.PERMANENT_VALIDATION),
    (foreign("exasol.driver", "IntegrityError", _DatabaseError)("x"), T.PERMANENT_CONFLICT),
    (foreign("_duckdb", "OutOfMemoryException", foreign("_duckdb", "OperationalError"))("x"), T.SYSTEM_OUT_OF_MEMORY),
    (foreign("_duckdb", "PermissionException", foreign("_duckdb", "OperationalError"))("x"), T.PERMANENT_AUTH),
    (foreign("_duckdb", "CatalogException", foreign("_duckdb", "ProgrammingError"))("x"), T.PERMANENT_CODE_BUG),
)


def _missing_bind() -> None:
    with sa.create_engine("sqlite://").connect() as connection:
        connection.execute(sa.text("SELECT :a"), [{"b": 1}])


corpus.add(T.PERMANENT_CODE_BUG, "SQLAlchemy's wrapper of its own complaint", _missing_bind)
corpus.errors(
    "a copy of a library inside another one",
    (foreign("botocore.vendored.requests.exceptions", "ReadTimeout",
             foreign("botocore.vendored.requests.exceptions", "Timeout"))("x"), T.TRANSIENT_TIMEOUT),
    (foreign("pip._vendor.urllib3.exceptions", "ClosedPoolError")("x"), T.PERMANENT_CODE_BUG),
    (foreign("niquests.exceptions", "MissingSchema", ValueError)("x"), T.PERMANENT_CODE_BUG),
)  # fmt: skip
corpus.errors(
    "a base class that says what the library is for",
    (requests.exceptions.RequestException(), T.TRANSIENT_NETWORK),
    (requests.exceptions.RequestException("403 Client Error: Forbidden for url"), T.PERMANENT_AUTH),
    (aiohttp.ClientError(), T.TRANSIENT_NETWORK),
    (urllib3.exceptions.HTTPError(), T.TRANSIENT_NETWORK),
    (foreign("azure.core.exceptions", "ServiceRequestError")("x"), T.TRANSIENT_NETWORK),
    (foreign("azure.core.exceptions", "ServiceResponseError")("x"), T.TRANSIENT_NETWORK),
    (foreign("azure.core.exceptions", "ResourceModifiedError")("x"), T.PERMANENT_CONFLICT),
)
corpus.errors(
    "the words of its name",
    (anyio.BrokenWorkerProcess(), T.SYSTEM_WORKER_LOST),
    (anyio.WouldBlock(), T.TRANSIENT_RESOURCE),
    (anyio.IncompleteRead(), T.TRANSIENT_NETWORK),
    (foreign("authlib.integrations.base_client.errors", "OAuthError")("x"), T.PERMANENT_AUTH),
    (foreign("dns.exception", "DNSException")(), T.UNKNOWN),
    (foreign("confluent_kafka.avro.serializer", "SerializerError")(), T.PERMANENT_VALIDATION),
    (foreign("arq.jobs", "SerializationError", RuntimeError)(), T.PERMANENT_VALIDATION),
    (foreign("azure.core.exceptions", "TooManyRedirectsError")(), T.CONFIG_MISSING_SETTING),
    (foreign("h2.exceptions", "TooManyStreamsError")(), T.TRANSIENT_RESOURCE),
    (foreign("shop.errors", "TooManyItemsError")(), T.PERMANENT_VALIDATION),
    (foreign("dbus_fast.errors", "AuthTimeoutError")(), T.TRANSIENT_TIMEOUT),
    (foreign("discord.app_commands.errors", "CommandOnCooldown")(), T.TRANSIENT_RATE_LIMIT),
    (foreign("kazoo.exceptions", "SessionExpiredError")(), T.TRANSIENT_NETWORK),
    (foreign("kombu.transport.redis", "MutexHeld")(), T.TRANSIENT_DATABASE),
    (foreign("apscheduler.schedulers", "SchedulerNotRunningError")(), T.PERMANENT_CODE_BUG),
    (foreign("firebase_admin._token_gen", "ExpiredSessionCookieError")(), T.PERMANENT_AUTH),
    (foreign("distributed.shuffle", "P2POutOfDiskError", OSError)(), T.SYSTEM_DISK_FULL),
    (foreign("litellm", "BudgetExceededError")("Budget has been exceeded"), T.PERMANENT_AUTH),
    (foreign("langchain_core.exceptions", "ContextOverflowError")(), T.PERMANENT_VALIDATION),
    (foreign("git.exc", "RepositoryDirtyError")(), T.PERMANENT_CONFLICT),
    (foreign("firebase_admin.exceptions", "ResourceExhaustedError")(), T.TRANSIENT_RATE_LIMIT),
    (foreign("nats.errors", "SlowConsumerError")(), T.TRANSIENT_RESOURCE),
    (foreign("twisted.internet.error", "CannotListenError")(), T.TRANSIENT_RESOURCE),
    (foreign("jwcrypto.jwt", "JWTExpired")(), T.PERMANENT_AUTH),
    (foreign("rsa.pkcs1", "VerificationError")(), T.PERMANENT_AUTH),
    (foreign("pony.orm.core", "OptimisticCheckError")(), T.TRANSIENT_DATABASE),
    (foreign("OpenSSL.SSL", "SysCallError")(-1, "Unexpected EOF"), T.TRANSIENT_NETWORK),
    (foreign("boto3.exceptions", "S3UploadFailedError")("Failed to upload x"), T.TRANSIENT_NETWORK),
    (foreign("gcsfs.retry", "NonRetryableError", foreign("gcsfs.retry", "HttpError"))(), T.UNKNOWN, False),
    (foreign("shop.errors", "PaymentGatewayTimeout")("the gateway did not answer in 30 s"), T.TRANSIENT_TIMEOUT),
    (foreign("shop.errors", "GatewayTimeoutError")("x"), T.EXTERNAL_API_DOWN),
)
corpus.errors(
    "the words of the message, where the class says little",
    (foreign("psycopg", "OperationalError", psycopg.DatabaseError)(
        'connection to server at "127.0.0.1", port 5432 failed: FATAL:  pg_hba.conf rejects connection for host'),
     T.PERMANENT_AUTH),
    (asyncpg.InterfaceError("cannot perform operation: another operation is in progress"), T.PERMANENT_CODE_BUG),
    (smtplib.SMTPNotSupportedError("STARTTLS extension not supported by server."), T.CONFIG_MISSING_SETTING),
    (smtplib.SMTPNotSupportedError("SMTPUTF8 not supported by server"), T.PERMANENT_VALIDATION),
    (foreign("shop.errors", "EmptyFileError")("the uploaded file contains no rows"), T.PERMANENT_VALIDATION),
)  # fmt: skip


def _old_settings() -> None:
    class AppSettings(pydantic.v1.BaseModel):
        database_url: str

    AppSettings()  # type: ignore[call-arg]  # That is the case.


def _gave_up() -> None:
    raise foreign("shop.errors", "RetriesExhausted")("gave up after 5 attempts") from fastapi.HTTPException(503)


corpus.add(T.CONFIG_MISSING_SETTING, "pydantic 1 names the model, not a title", _old_settings)
corpus.add(T.EXTERNAL_API_DOWN, "who gave up says nothing; what it met does", _gave_up)
corpus.errors(
    "what a third blind set got wrong",
    (psycopg.errors.DuplicateTable('relation "t" already exists'), T.PERMANENT_CODE_BUG),
    (pymysql.err.OperationalError(1050, "Table 't' already exists"), T.PERMANENT_CODE_BUG),
    (asyncpg.InterfaceError("pool is closed"), T.PERMANENT_CODE_BUG),
    (foreign("azure.identity", "CredentialUnavailableError")("Environment variables are not fully configured."),
     T.CONFIG_MISSING_SETTING),
    (foreign("lxml.etree", "XPathEvalError")("Invalid expression"), T.PERMANENT_CODE_BUG),
    (OSError(errno.EIO, "Input/output error"), T.UNKNOWN),
    (foreign("shop.errors", "MaxRetriesExceeded")("Read timed out"), T.TRANSIENT_TIMEOUT),
)  # fmt: skip
