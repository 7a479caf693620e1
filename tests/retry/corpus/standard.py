"""The standard library: files, sockets, TLS, subprocesses, parsers, and plain bugs."""

import asyncio
import concurrent.futures
import errno
import json
import os
import queue
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from datetime import datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from app.retry.failure import FailureType as T

from .case import Corpus, throw
from .world import World

corpus = Corpus("standard")
case = corpus.case


def _os_error(number: int) -> Callable[[], None]:
    return throw(OSError(number, os.strerror(number)))


for _name, _kind in {
    "ECONNREFUSED": T.TRANSIENT_NETWORK, "ECONNRESET": T.TRANSIENT_NETWORK, "EPIPE": T.TRANSIENT_NETWORK,
    "EHOSTUNREACH": T.TRANSIENT_NETWORK, "ENETUNREACH": T.TRANSIENT_NETWORK, "ETIMEDOUT": T.TRANSIENT_TIMEOUT,
    "EMFILE": T.TRANSIENT_RESOURCE, "ENFILE": T.TRANSIENT_RESOURCE, "EAGAIN": T.TRANSIENT_RESOURCE,
    "EBUSY": T.TRANSIENT_RESOURCE, "ESTALE": T.TRANSIENT_RESOURCE, "ENOMEM": T.SYSTEM_OUT_OF_MEMORY,
    "ENOSPC": T.SYSTEM_DISK_FULL, "EDQUOT": T.SYSTEM_DISK_FULL, "EROFS": T.SYSTEM_DISK_FULL,
    "EACCES": T.PERMANENT_AUTH, "EPERM": T.PERMANENT_AUTH, "ENOENT": T.PERMANENT_NOT_FOUND,
    "EISDIR": T.PERMANENT_VALIDATION, "EADDRNOTAVAIL": T.TRANSIENT_RESOURCE,
}.items():  # fmt: skip
    corpus.add(_kind, f"errno {_name} says so", _os_error(getattr(errno, _name)), name=_name)
corpus.add(T.UNKNOWN, "EIO: a device is failing, a human must look", _os_error(errno.EIO), name="EIO")


@case(T.TRANSIENT_NETWORK, "nobody listens there now")
def connect_refused(world: World) -> None:
    socket.create_connection(("127.0.0.1", world.closed), timeout=1)


@case(T.TRANSIENT_TIMEOUT, "the peer accepted and said nothing")
def socket_timeout(world: World) -> None:
    with socket.create_connection(("127.0.0.1", world.silent), timeout=0.02) as connection:
        connection.recv(1)


@case(T.TRANSIENT_NETWORK, "a name that cannot be resolved: first taken for an outage")
def unresolvable() -> None:
    socket.getaddrinfo("nowhere.invalid", 80)


@case(T.CONFIG_MISSING_SETTING, "a service name that does not exist is a wrong setting")
def unknown_service() -> None:
    socket.getaddrinfo("127.0.0.1", "no-such-service-at-all")


@case(T.TRANSIENT_NETWORK, "EAI_AGAIN asks for another try")
def resolver_again() -> None:
    raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")


@case(T.TRANSIENT_NETWORK, "the other end closed in mid-sentence")
def broken_pipe() -> None:
    left, right = socket.socketpair()
    right.close()
    with left:
        left.send(b"x")
        left.send(b"x")


@case(T.CONFIG_MISSING_SETTING, "plain text where TLS was expected: the port or scheme is wrong")
def tls_on_plain_port(world: World) -> None:
    context = ssl.create_default_context()
    with socket.create_connection(("127.0.0.1", world.greeting), timeout=1) as connection:
        context.wrap_socket(connection, server_hostname="localhost")


def _certificate_error(code: int, message: str) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, f"[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: {message}")
    error.verify_code = code
    error.verify_message = message
    return error


corpus.add(T.CONFIG_MISSING_SETTING, "the trust store does not know the issuer",
           throw(_certificate_error(18, "self-signed certificate")), name="self_signed")  # fmt: skip
corpus.add(T.EXTERNAL_API_DOWN, "their certificate has expired, they must renew it",
           throw(_certificate_error(10, "certificate has expired")), name="expired")  # fmt: skip
corpus.add(T.TRANSIENT_NETWORK, "the connection ended inside TLS",
           throw(ssl.SSLEOFError(8,
           "[SSL: UNEXPECTED_EOF_WHILE_READING] EOF occurred in violation of protocol")))  # fmt: skip
corpus.add(
    T.TRANSIENT_NETWORK, "closed by the peer", throw(ssl.SSLZeroReturnError(6, "TLS/SSL connection has been closed"))
)


@case(T.TRANSIENT_NETWORK, "urllib wraps the refused connection in reason")
def urllib_refused(world: World) -> None:
    urllib.request.urlopen(f"http://127.0.0.1:{world.closed}/", timeout=1)


@case(T.TRANSIENT_TIMEOUT, "no answer in time")
def urllib_timeout(world: World) -> None:
    urllib.request.urlopen(f"http://127.0.0.1:{world.silent}/", timeout=0.02)


for _status, _kind, _retry in ((503, T.EXTERNAL_API_DOWN, True), (500, T.EXTERNAL_API_DOWN, False),
                               (404, T.PERMANENT_NOT_FOUND, False), (429, T.TRANSIENT_RATE_LIMIT, True)):  # fmt: skip
    corpus.add(_kind, f"urllib's HTTPError carries {_status} as code", name=f"urllib_{_status}", retry=_retry,
               provoke=lambda world, status=_status: urllib.request.urlopen(f"{world.http}/status/{status}",
               timeout=2))  # fmt: skip


@case(T.TRANSIENT_NETWORK, "the server hung up before answering")
def remote_disconnected(world: World) -> None:
    urllib.request.urlopen(f"{world.http}/drop", timeout=2)


@case(T.TRANSIENT_NETWORK, "the body ended early")
def incomplete_read(world: World) -> None:
    with urllib.request.urlopen(f"{world.http}/short", timeout=2) as answer:
        answer.read()


@case(T.PERMANENT_NOT_FOUND, "the file is not there")
def missing_file() -> None:
    Path("/nowhere/at/all").read_text()


@case(T.PERMANENT_CONFLICT, "the folder exists already")
def folder_exists() -> None:
    Path("/").mkdir()


@case(T.PERMANENT_VALIDATION, "a folder where a file is expected")
def is_a_folder() -> None:
    Path("/").read_text()


@case(T.PERMANENT_NOT_FOUND, "the program is not there: errno ENOENT")
def program_missing() -> None:
    subprocess.run(["/nowhere/program"], check=True)


@case(T.TRANSIENT_TIMEOUT, "the program took too long")
def program_timeout() -> None:
    subprocess.run([sys.executable, "-S", "-c", "import time; time.sleep(9)"], timeout=0.05, check=True)


def _exits(code: int) -> None:
    subprocess.run([sys.executable, "-S", "-c", f"import os; os._exit({code})"], check=True)


corpus.add(T.CONFIG_MISSING_SETTING, "127: the shell did not find the command", lambda: _exits(127), name="exit_127")
corpus.add(T.TRANSIENT_RESOURCE, "EX_TEMPFAIL asks for another try", lambda: _exits(75), name="exit_75")
corpus.add(
    T.SYSTEM_WORKER_LOST, "137: killed from outside, most often for its memory", lambda: _exits(137), name="exit_137"
)
corpus.add(T.UNKNOWN, "exit code 1 says nothing", lambda: _exits(1), name="exit_1")


@case(T.SYSTEM_OUT_OF_MEMORY, "SIGKILL: nearly always the kernel, short of memory")
def killed_child() -> None:
    subprocess.run([sys.executable, "-S", "-c", "import os; os.kill(os.getpid(), 9)"], check=True)


@case(T.SYSTEM_DISK_FULL, "the child's stderr says it")
def child_says_disk_full() -> None:
    script = "import sys; sys.exit('tar: write error: No space left on device')"
    subprocess.run([sys.executable, "-S", "-c", script], check=True, capture_output=True)


@case(T.TRANSIENT_TIMEOUT, "asyncio's time-out is the builtin")
async def asyncio_timeout() -> None:
    async with asyncio.timeout(0.001):
        await asyncio.Event().wait()


@case(T.TRANSIENT_NETWORK, "the stream ended before the message did")
async def incomplete_stream() -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(b"ab")
    reader.feed_eof()
    await reader.readexactly(10)


@case(T.UNKNOWN, "cancelled: a shutdown or an abort, no verdict on the work")
async def cancelled() -> None:
    task = asyncio.get_running_loop().create_task(asyncio.Event().wait())
    task.cancel()
    await task


@case(T.TRANSIENT_NETWORK, "two refused addresses become one OSError without errno")
async def all_addresses_refused(world: World) -> None:
    await asyncio.open_connection("localhost", world.closed)


@case(T.TRANSIENT_NETWORK, "a group of one refused connection")
async def task_group(world: World) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.open_connection("127.0.0.1", world.closed))
        group.create_task(asyncio.Event().wait())


@case(T.TRANSIENT_TIMEOUT, "a future that did not come in time")
def future_timeout() -> None:
    concurrent.futures.Future[None]().result(timeout=0.001)


corpus.add(T.SYSTEM_WORKER_LOST, "a process of the pool died",
           throw(BrokenProcessPool("A process in the process pool was terminated abruptly")))  # fmt: skip


@case(T.TRANSIENT_RESOURCE, "the queue is full for now")
def queue_full() -> None:
    waiting: queue.Queue[int] = queue.Queue(1)
    waiting.put(1)
    waiting.put_nowait(2)


@case(T.SYSTEM_OUT_OF_MEMORY, "no machine has that much")
def out_of_memory() -> None:
    bytearray(1 << 60)


@case(T.CONFIG_MISSING_SETTING, "os.environ lacks the variable: the frame tells it from a bug")
def environment() -> None:
    os.environ["AFRESH_NO_SUCH_VARIABLE"]


@case(T.PERMANENT_VALIDATION, "the payload has no such key: the argument was looked into")
def missing_key_of_argument() -> None:
    def task(payload: dict[str, int]) -> int:
        return payload["customer"]

    task({"order": 1})


@case(T.PERMANENT_CODE_BUG, "a look-up in a local table is the code's own mistake")
def missing_key_of_table() -> None:
    table = {"a": 1}
    table["b"]


_BUGS: tuple[tuple[str, Callable[[], Any]], ...] = (
    ("type_error", lambda: len(5)),  # type: ignore[arg-type]  # the bug
    ("attribute_error", lambda: json.loads("null").upper()),
    ("name_error", lambda: eval("undefined_name")),  # noqa: S307 - the bug
    ("zero_division", lambda: 1 // 0),
    ("index_error", lambda: list[int]()[0]),
    ("module_not_found", lambda: __import__("no_such_module_anywhere")),
    ("syntax_error", lambda: compile("def", "x", "exec")),
    ("missing_argument", partial(json.loads)),
    ("unpack", lambda: json.loads("{}").nothing),
)
for _label, _bug in _BUGS:
    corpus.add(T.PERMANENT_CODE_BUG, "the code is wrong", _bug, name=_label)


corpus.add(T.PERMANENT_CODE_BUG, "not written yet", throw(NotImplementedError("refunds in other currencies")))


@case(T.PERMANENT_CODE_BUG, "a broken invariant")
def assertion() -> None:
    raise AssertionError("total must equal the sum of lines")


@case(T.PERMANENT_CODE_BUG, "it calls itself for ever")
def recursion() -> None:
    recursion()


_DATA: tuple[tuple[str, Callable[[], Any]], ...] = (
    ("int", lambda: int("connection refused")),
    ("uuid", lambda: UUID("timed out")),
    ("date", lambda: datetime.fromisoformat("429 Too Many Requests")),
    ("decimal", lambda: Decimal("no space left on device")),
    ("json", lambda: json.loads("{connection reset}")),
    ("xml", lambda: ET.fromstring("<a>")),  # noqa: S314 - the corpus's own text
    ("unicode", lambda: b"\xff".decode("utf-8")),
    ("value", throw(ValueError("customer 'could not connect to server' is invalid"))),
    ("zip", lambda: zipfile.ZipFile(Path(__file__))),
)
for _label, _data in _DATA:
    corpus.add(T.PERMANENT_VALIDATION, "bad data, whatever words it is made of", _data, name=f"data_{_label}")
corpus.add(T.PERMANENT_NOT_FOUND, "no such time zone", lambda: ZoneInfo("Nowhere/Land"), name="zone")
corpus.add(
    T.PERMANENT_NOT_FOUND,
    "copying what is not there",
    lambda: shutil.copy("/nowhere/x", tempfile.gettempdir()),
    name="copy",
)
