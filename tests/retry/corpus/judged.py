"""Errors of libraries the engine had not been tuned on, and what blind sets got wrong."""

import asyncio
import csv
import ftplib
import gzip
import http.client
import imaplib
import multiprocessing
import os
import poplib
import queue
import shutil
import socket
import struct
import subprocess
import tempfile
import zlib
from pathlib import Path
from types import SimpleNamespace

import botocore.exceptions
import pymysql.err
import redis.exceptions
import sqlalchemy as sa
import urllib3.exceptions
import websockets.exceptions
import websockets.sync.client

from app.retry.failure import FailureType as T

from .case import Corpus
from .held_out import foreign
from .world import World

corpus = Corpus("judged")
case = corpus.case


def _mysql(code: int, state: str, text: str) -> BaseException:
    """The error PyMySQL makes of the server's packet."""
    try:
        pymysql.err.raise_mysql_exception(b"\xff" + struct.pack("<H", code) + b"#" + f"{state}{text}".encode())
    except pymysql.err.MySQLError as exc:
        made: BaseException = exc
        return made
    raise AssertionError(code)


corpus.errors(
    "MySQL's number is finer than its SQLSTATE",
    (_mysql(1062, "23000", "Duplicate entry '1' for key 'PRIMARY'"), T.PERMANENT_CONFLICT),
    (_mysql(1048, "23000", "Column 'a' cannot be null"), T.PERMANENT_VALIDATION),
    (_mysql(1452, "23000", "Cannot add or update a child row"), T.PERMANENT_CONFLICT),
    (_mysql(1213, "40001", "Deadlock found when trying to get lock"), T.TRANSIENT_DATABASE),
    (_mysql(1205, "HY000", "Lock wait timeout exceeded"), T.TRANSIENT_DATABASE),
    (_mysql(1049, "42000", "Unknown database 'd'"), T.CONFIG_MISSING_SETTING),
    (_mysql(1044, "42000", "Access denied for user 'u'@'%' to database 'd'"), T.PERMANENT_AUTH),
    (_mysql(1064, "42000", "You have an error in your SQL syntax"), T.PERMANENT_CODE_BUG),
    (_mysql(1290, "HY000", "The MySQL server is running with the --read-only option"), T.TRANSIENT_DATABASE),
    (_mysql(3024, "HY000", "Query execution was interrupted"), T.TRANSIENT_TIMEOUT),
    (_mysql(1021, "HY000", "Disk full (/tmp/x)"), T.SYSTEM_DISK_FULL),
    (pymysql.err.OperationalError(2013, "Lost connection to MySQL server during query"), T.TRANSIENT_DATABASE),
)


def _kafka(code: int, name: str) -> BaseException:
    """The error kafka-python makes of a broker's code."""
    error: BaseException = foreign("kafka.errors", name, errno=code)("x")
    return error


corpus.errors(
    "a broker's code",
    (_kafka(3, "UnknownTopicOrPartitionError"), T.PERMANENT_NOT_FOUND),
    (_kafka(5, "LeaderNotAvailableError"), T.TRANSIENT_NETWORK),
    (_kafka(6, "NotLeaderForPartitionError"), T.TRANSIENT_NETWORK),
    (_kafka(7, "RequestTimedOutError"), T.TRANSIENT_TIMEOUT),
    (_kafka(10, "MessageSizeTooLargeError"), T.PERMANENT_VALIDATION),
    (_kafka(15, "CoordinatorNotAvailableError"), T.TRANSIENT_NETWORK),
    (_kafka(30, "GroupAuthorizationFailedError"), T.PERMANENT_AUTH),
    (_kafka(36, "TopicAlreadyExistsError"), T.PERMANENT_CONFLICT),
    (_kafka(58, "SaslAuthenticationFailedError"), T.PERMANENT_AUTH),
    (_kafka(89, "ThrottlingQuotaExceededError"), T.TRANSIENT_RATE_LIMIT),
)


def _pg8000(code: str) -> BaseException:
    """What pg8000 raises: the fields of the wire's error message."""
    error: BaseException = foreign("pg8000.exceptions", "DatabaseError")({"S": "ERROR", "C": code, "M": "x"})
    return error


corpus.errors(
    "the SQLSTATE among the wire's fields",
    (_pg8000("42P01"), T.PERMANENT_CODE_BUG),
    (_pg8000("57014"), T.TRANSIENT_TIMEOUT),
    (_pg8000("22012"), T.PERMANENT_VALIDATION),
    (_pg8000("23505"), T.PERMANENT_CONFLICT),
)


def _upgrade(status: int) -> object:
    def run(world: World) -> None:
        websockets.sync.client.connect(f"{world.http.replace('http', 'ws')}/status/{status}", open_timeout=5)

    return run


for _kind, _status in (
    (T.PERMANENT_AUTH, 401), (T.PERMANENT_NOT_FOUND, 404), (T.TRANSIENT_RATE_LIMIT, 429), (T.EXTERNAL_API_DOWN, 503),
):  # fmt: skip
    corpus.add(_kind, "the status that refused the upgrade", _upgrade(_status), name="websockets")  # type: ignore[arg-type]  # As above.

corpus.errors(
    "its class, or what it says",
    (websockets.exceptions.InvalidURI("http://x", "scheme isn't ws or wss"), T.PERMANENT_CODE_BUG),
    (websockets.exceptions.ConnectionClosedError(None, None), T.TRANSIENT_NETWORK),
    (redis.exceptions.LockError("Unable to acquire lock within the time specified"), T.TRANSIENT_DATABASE),
    (botocore.exceptions.WaiterError("ObjectExists", "Max attempts exceeded", {}), T.TRANSIENT_TIMEOUT),
    (urllib3.exceptions.HTTPError("api.example.com answered with 404"), T.PERMANENT_NOT_FOUND),
)
corpus.errors(
    "one base class for the road and for all else: its message knows",
    (foreign("paramiko.ssh_exception", "SSHException")("Error reading SSH protocol banner"), T.TRANSIENT_NETWORK),
    (foreign("paramiko.ssh_exception", "SSHException")("Server 'h' not found in known_hosts"),
     T.CONFIG_MISSING_SETTING),
    (foreign("paramiko.ssh_exception", "SSHException")("not a valid RSA private key file"), T.CONFIG_MISSING_SETTING),
    (poplib.error_proto(b"-ERR [AUTH] invalid password"), T.PERMANENT_AUTH),
    (imaplib.IMAP4.error("select failed: [NONEXISTENT] Unknown Mailbox: nope"), T.PERMANENT_NOT_FOUND),
    (imaplib.IMAP4.abort("socket error: EOF"), T.TRANSIENT_NETWORK),
)  # fmt: skip
corpus.errors(
    "FTP's reply",
    (ftplib.error_temp("421 Too many users, try later."), T.TRANSIENT_NETWORK),
    (ftplib.error_temp("452 Insufficient storage space."), T.SYSTEM_DISK_FULL),
    (ftplib.error_perm("530 Login incorrect."), T.PERMANENT_AUTH),
    (ftplib.error_perm("550 a.txt: No such file or directory"), T.PERMANENT_NOT_FOUND),
    (ftplib.error_perm("500 Unknown command."), T.PERMANENT_CODE_BUG),
    (foreign("aioftp.errors", "StatusCodeError", received_codes=("530",))("got 530"), T.PERMANENT_AUTH),
)
corpus.errors(
    "libcurl's number",
    (foreign("pycurl", "error")(7, "Could not connect to server"), T.TRANSIENT_NETWORK),
    (foreign("pycurl", "error")(28, "Operation timed out after 200 milliseconds"), T.TRANSIENT_TIMEOUT),
    (foreign("pycurl", "error")(22, "The requested URL returned error: 404"), T.PERMANENT_NOT_FOUND),
    (foreign("pycurl", "error")(52, "Empty reply from server"), T.TRANSIENT_NETWORK),
    (foreign("pycurl", "error")(60, "unable to get local issuer certificate"), T.CONFIG_MISSING_SETTING),
)
corpus.errors(
    "a message that relays another's words",
    (foreign("nats.errors", "Error")("nats: 'Authorization Violation'"), T.PERMANENT_AUTH),
    (foreign("web3.exceptions", "Web3RPCError")("{'code': -32000, 'message': 'insufficient funds for gas'}"),
     T.PERMANENT_VALIDATION),
    (foreign("dropbox.exceptions", "ApiError")("ApiError('r', GetMetadataError('path', LookupError('not_found')))"),
     T.PERMANENT_NOT_FOUND),
    (foreign("googlemaps.exceptions", "ApiError")("REQUEST_DENIED (The provided API key is invalid.)"),
     T.PERMANENT_AUTH),
    (foreign("trino.exceptions", "HttpError")("error 401: b'oops'"), T.PERMANENT_AUTH),
    (RuntimeError("customer 'connection refused' is odd"), T.UNKNOWN),
)  # fmt: skip
corpus.errors(
    "the kernel's number on an error of another family",
    (foreign("zmq.error", "ZMQError", errno=98, strerror="Address already in use")("Address already in use"),
     T.TRANSIENT_RESOURCE),
)  # fmt: skip
corpus.errors(
    "the words of its name",
    (foreign("kazoo.exceptions", "NoNodeError")(), T.PERMANENT_NOT_FOUND),
    (foreign("kazoo.exceptions", "BadVersionError")(), T.PERMANENT_CONFLICT),
    (foreign("dramatiq.errors", "ActorNotFound")("nope"), T.PERMANENT_CODE_BUG),
    (foreign("distributed.scheduler", "KilledWorker")("t"), T.SYSTEM_WORKER_LOST),
    (foreign("plumbum.commands", "CommandNotFound")("x"), T.CONFIG_MISSING_SETTING),
    (foreign("apsw", "ConstraintError")("UNIQUE constraint failed: t.a"), T.PERMANENT_CONFLICT),
    (foreign("apscheduler.jobstores.base", "JobLookupError", KeyError)("No job by the id of x was found"),
     T.PERMANENT_NOT_FOUND),
    (foreign("pdfminer.pdfparser", "PDFSyntaxError")("No /Root object!"), T.PERMANENT_VALIDATION),
    (foreign("sklearn.exceptions", "NotFittedError", ValueError)("This instance is not fitted yet"),
     T.PERMANENT_CODE_BUG),
    (foreign("httplib2.error", "ServerNotFoundError")("Unable to find the server at x"), T.TRANSIENT_NETWORK),
    (foreign("anyio", "EndOfStream")(), T.TRANSIENT_NETWORK),
)  # fmt: skip
corpus.errors(
    "a package that only works on data",
    (foreign("shapely.errors", "GEOSException")("ParseException: Expected number"), T.PERMANENT_VALIDATION),
    (foreign("pikepdf._core", "PdfError")("unable to find trailer dictionary"), T.PERMANENT_VALIDATION),
    (foreign("polars.exceptions", "ComputeError")("found more fields than defined"), T.PERMANENT_VALIDATION),
    (foreign("pyarrow.lib", "ArrowException")("no space left on device"), T.SYSTEM_DISK_FULL),
)
corpus.errors(
    "a ValueError about a setting",
    (ValueError("No API key was provided."), T.CONFIG_MISSING_SETTING),
    (ValueError("name must be set"), T.PERMANENT_VALIDATION),
)
corpus.errors(
    "the exit of a child",
    (foreign("asyncssh.process", "ProcessError", exit_status=77, returncode=77)("exited"), T.PERMANENT_AUTH),
    (foreign("invoke.exceptions", "UnexpectedExit", result=SimpleNamespace(exited=127))("exit"),
     T.CONFIG_MISSING_SETTING),
)  # fmt: skip


@case(T.PERMANENT_CONFLICT, "below another error a cancellation is that library's own way of ending a wait")
def cancelled_below() -> None:
    locked = foreign("aiormq.exceptions", "ChannelLockedResource")("RESOURCE_LOCKED - cannot obtain exclusive access")
    raise locked from asyncio.CancelledError()


@case(T.PERMANENT_VALIDATION, "a bind parameter of the wrong type is the job's data")
def bound_wrongly() -> None:
    table = sa.Table("t", sa.MetaData(), sa.Column("at", sa.DateTime))
    engine = sa.create_engine("sqlite://")
    table.create(engine)
    with engine.connect() as connection:
        connection.execute(table.insert(), {"at": "soon"})


@case(T.TRANSIENT_NETWORK, "the other end of the pipe is gone")
def pipe_closed() -> None:
    reader, writer = multiprocessing.Pipe()
    writer.close()
    with reader:
        reader.recv()


@case(T.TRANSIENT_NETWORK, "hung up without an answer")
def hung_up(world: World) -> None:
    connection = http.client.HTTPConnection(world.http.removeprefix("http://"), timeout=5)
    connection.request("GET", "/drop")
    connection.getresponse()


@case(T.TRANSIENT_RESOURCE, "the port is taken")
def port_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.socket() as other:
        other.bind(taken.getsockname())


@case(T.TRANSIENT_RESOURCE, "our own queue is full")
def queue_full() -> None:
    waiting: queue.Queue[int] = queue.Queue(1)
    waiting.put(1)
    waiting.put_nowait(2)


@case(T.PERMANENT_VALIDATION, "copied onto itself")
def same_file() -> None:
    with tempfile.NamedTemporaryFile() as file:
        shutil.copy(file.name, file.name)


@case(T.PERMANENT_VALIDATION, "a field longer than the reader takes")
def long_field() -> None:
    list(csv.reader(["a" * 200_000]))


@case(T.PERMANENT_CONFLICT, "it is there already")
def folder_there() -> None:
    Path(tempfile.gettempdir()).mkdir()


@case(T.SYSTEM_DISK_FULL, "the device that is always full")
def device_full() -> None:
    with Path("/dev/full").open("w") as full:
        full.write("x")


@case(T.SYSTEM_OUT_OF_MEMORY, "killed from outside")
def killed_child() -> None:
    subprocess.run(["/bin/sh", "-c", "kill -9 $$"], check=True, timeout=10)


corpus.add(T.PERMANENT_VALIDATION, "not compressed", lambda: zlib.decompress(b"nope"), name="zlib")
corpus.add(T.PERMANENT_VALIDATION, "not compressed", lambda: gzip.decompress(b"nope"), name="gzip")
corpus.add(T.PERMANENT_VALIDATION, "too short", lambda: struct.unpack("<I", b"a"), name="struct")
corpus.add(T.CONFIG_MISSING_SETTING, "not set", lambda: os.environ["AFRESH_NO_SUCH_VARIABLE"], name="environ")
