"""A proxy between clients and Postgres that cuts, swallows, holds and refuses, at the very message where it should.

It reads the wire protocol: the statement that a client has just sent is known, also where it was prepared before.
"""

import asyncio
import struct
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Self

from psycopg.conninfo import conninfo_to_dict, make_conninfo

_NOT_ENCRYPTED = {80877103, 80877104}  # Requests for TLS and for GSS.
_CANCEL = 80877102


class Trap:
    """What happens to the next statement that contains `text`; `caught` is set when it has happened.

    Attributes:
        answer: False: the connection is cut before the server sees the statement. True: the server runs it, and its
            answer is withheld; then the connection is cut, or held until `release`.
    """

    def __init__(self, text: str, *, answer: bool, hold: bool) -> None:
        self.text = text.encode()
        self.answer = answer
        self.hold = hold
        self.caught = threading.Event()
        self.released = threading.Event()

    def release(self) -> None:
        """Let a withheld answer through."""
        self.released.set()


class Proxy:
    """Listens on a socket of its own in `folder` and passes on to the server of `target`, a libpq address."""

    def __init__(self, target: str, folder: Path) -> None:
        self._target = conninfo_to_dict(target)
        self._folder = folder
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._links: set[_Link] = set()
        self._clients: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._server: asyncio.Server | None = None
        self.traps: list[Trap] = []
        self.going = asyncio.Event()

    @property
    def url(self) -> str:
        """How to connect through the proxy."""
        kept: dict[str, Any] = {
            name: self._target[name] for name in ("user", "password", "dbname") if name in self._target
        }
        return make_conninfo(host=str(self._folder), port=5432, **kept)

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._open)
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def cut(self) -> None:
        """Cut every connection, whatever is under way."""
        self._do(self._cut)

    def refuse(self) -> None:
        """Cut every connection and take no more."""
        self._do(self._refuse)

    def allow(self) -> None:
        """Take connections again."""
        self._do(self._listen)

    def stall(self) -> None:
        """Pass nothing on, in either direction, as a peer that vanished without a word."""
        self._loop.call_soon_threadsafe(self.going.clear)

    def go_on(self) -> None:
        """Pass on what was stalled."""
        self._loop.call_soon_threadsafe(self.going.set)

    def cut_before(self, text: str) -> Trap:
        """Cut the connection that next sends a statement with `text`, before the server sees it."""
        return self._trap(Trap(text, answer=False, hold=False))

    def cut_after(self, text: str) -> Trap:
        """Let the server run and commit the next statement with `text`, and cut the connection instead of answering."""
        return self._trap(Trap(text, answer=True, hold=False))

    def hold_answer(self, text: str) -> Trap:
        """Let the server run and commit the next statement with `text`, and withhold the answer until released."""
        return self._trap(Trap(text, answer=True, hold=True))

    def _trap(self, trap: Trap) -> Trap:
        self.traps.append(trap)
        return trap

    def spring(self, statement: bytes) -> Trap | None:
        """The trap for a statement, which is used up."""
        for trap in self.traps:
            if trap.text in statement:
                self.traps.remove(trap)
                return trap
        return None

    def _do(self, action: Callable[[], Coroutine[Any, Any, None]]) -> None:
        asyncio.run_coroutine_threadsafe(action(), self._loop).result(10)

    async def _open(self) -> None:
        self.going.set()
        await self._listen()

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_unix_server(self._accept, self._folder / ".s.PGSQL.5432")

    async def _refuse(self) -> None:
        (self._folder / ".s.PGSQL.5432").unlink(missing_ok=True)
        # asyncio leaves a connection that it is just taking to nobody where the server is closed meanwhile.
        while taking := {each for each in asyncio.all_tasks() if "_accept_connection" in repr(each.get_coro())}:
            await asyncio.gather(*taking, return_exceptions=True)
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._cut()

    async def _cut(self) -> None:
        for link in tuple(self._links):
            link.cut()

    async def _close(self) -> None:
        await self._refuse()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        left = list(self._clients.values())
        await asyncio.gather(*others, return_exceptions=True)
        for writer in left:  # Of those too that were cancelled before they had begun.
            writer.transport.abort()
        await asyncio.sleep(0)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._serve(reader, writer))
        self._clients[task] = writer
        task.add_done_callback(self._clients.pop)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server = await self._connect()
        except OSError:
            writer.transport.abort()
            return
        link = _Link(self, (reader, writer), server)
        if self._server is None:  # Refused meanwhile, when nobody knew of this link yet.
            link.cut()
            return
        self._links.add(link)
        try:
            await link.run()
        finally:
            self._links.discard(link)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, port = str(self._target.get("host", "localhost")), int(self._target.get("port") or 5432)
        if host.startswith("/"):
            return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        return await asyncio.open_connection(host, port)


_Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Link:
    """One client's connection and its counterpart at the server."""

    def __init__(self, proxy: Proxy, client: _Ends, server: _Ends) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._prepared: dict[bytes, bytes] = {}
        self._trap: Trap | None = None

    def cut(self) -> None:
        for _, writer in (self._client, self._server):
            writer.transport.abort()

    async def run(self) -> None:
        try:
            await self._greet()
            ways = [asyncio.create_task(each) for each in (self._ask(), self._answer())]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            self.cut()

    async def _greet(self) -> None:
        """Pass the first message on; it has no type. The client is told that nothing is encrypted here."""
        reader, writer = self._client
        while True:
            size = await reader.readexactly(4)
            rest = await reader.readexactly(struct.unpack("!i", size)[0] - 4)
            if struct.unpack("!i", rest[:4])[0] not in _NOT_ENCRYPTED:
                break
            writer.write(b"N")
        self._server[1].write(size + rest)

    async def _ask(self) -> None:
        while True:
            kind, body = await _read(self._client[0])
            await self._proxy.going.wait()
            statement = self._statement(kind, body)
            trap = self._proxy.spring(statement) if statement else None
            if trap and not trap.answer:
                trap.caught.set()
                return
            self._trap = trap or self._trap
            _write(self._server[1], kind + struct.pack("!i", len(body) + 4) + body)

    def _statement(self, kind: bytes, body: bytes) -> bytes | None:
        """What is about to be executed: a simple query, or the statement that a Bind names."""
        if kind == b"Q":
            return body
        if kind == b"P":
            name, text, _ = body.split(b"\0", 2)
            self._prepared[name] = text
        if kind == b"B":
            _, name, _ = body.split(b"\0", 2)
            return self._prepared.get(name)
        return None

    async def _answer(self) -> None:
        held: list[bytes] = []
        while True:
            kind, body = await _read(self._server[0])
            await self._proxy.going.wait()
            held.append(kind + struct.pack("!i", len(body) + 4) + body)
            if self._trap and kind != b"Z":
                continue
            if self._trap:
                trap, self._trap = self._trap, None
                trap.caught.set()
                if not trap.hold:
                    return
                await asyncio.to_thread(trap.released.wait, 30)
            _write(self._client[1], b"".join(held))
            held.clear()


def _write(writer: asyncio.StreamWriter, message: bytes) -> None:
    if not writer.is_closing():
        writer.write(message)


async def _read(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readexactly(5)
    return head[:1], await reader.readexactly(struct.unpack("!i", head[1:])[0] - 4)
