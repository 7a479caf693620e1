"""A dependency on loopback that bears so many calls a second, and is down when it is told: a process of its own.

``GET /`` is a call; ``POST /down``, ``POST /up`` and ``GET /counts`` are for whoever measures.
"""

import asyncio
import json
import sys
import time
from collections import Counter

BURST_SECONDS = 0.25
"""What it takes at once, as time at its capacity; as the simulation's does."""

CALL_SECONDS = 0.05
REFUSAL_SECONDS = 0.02


class Loopback:
    """Answers calls as far as it bears them, and counts all."""

    def __init__(self, capacity: float) -> None:
        self._capacity = capacity
        self._tokens = capacity * BURST_SECONDS
        self._at = time.time()
        self._down = False
        self._calls: Counter[int] = Counter()
        self._told: dict[str, float] = {}

    async def serve(self) -> None:
        """Listen on a free port, print it, and answer until the process is ended."""
        server = await asyncio.start_server(self._talk, "127.0.0.1", 0, backlog=1024)
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                status, body = await self._answer(head.split(b" ", 2)[1].decode())
                writer.write(f"HTTP/1.1 {status} .\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):  # Whoever called has hung up.
            writer.close()

    async def _answer(self, path: str) -> tuple[int, str]:
        match path:
            case "/down" | "/up":
                self._down = path == "/down"
                self._told[path] = time.time()
                return 200, ""
            case "/counts":
                return 200, json.dumps({"calls": sorted(self._calls.items()), "told": self._told})
            case _:
                return await self._call()

    async def _call(self) -> tuple[int, str]:
        now = time.time()
        self._calls[int(now)] += 1
        if self._down or not self._bears(now):
            await asyncio.sleep(REFUSAL_SECONDS)
            return 503, ""
        await asyncio.sleep(CALL_SECONDS)
        return self._status(), ""

    def _status(self) -> int:
        """Of a call that it bears; it may have gone down meanwhile."""
        return 503 if self._down else 200

    def _bears(self, now: float) -> bool:
        full = self._capacity * BURST_SECONDS
        self._tokens = min(full, self._tokens + self._capacity * (now - self._at))
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


if __name__ == "__main__":
    asyncio.run(Loopback(float(sys.argv[1])).serve())
