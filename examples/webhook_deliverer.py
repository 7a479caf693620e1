"""Delivers a webhook to a receiver that is not well, until it is taken, signed so that the receiver knows who sent it.

    python -m examples.webhook_deliverer

It brings its own receiver, on loopback, which refuses twice and says when to come back. The same with curl, and
without any Python, is in the README.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from app.config import read_settings
from app.queue.app import Afresh, create
from app.queue.submit import Submission, submit

SECRET = b"what only we and the receiver know"
STATE = "SELECT state, result FROM afresh.jobs WHERE id = %s"
ATTEMPTS = "SELECT attempt, outcome, reason FROM afresh.attempts WHERE job_id = %s ORDER BY started_at"


class Receiver(BaseHTTPRequestHandler):
    """The other side: takes the third try, if its signature is right."""

    asked = 0

    def do_POST(self) -> None:
        """Refuse twice, then look at the signature as any library of Standard Webhooks does."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        Receiver.asked += 1
        if Receiver.asked <= 2:  # noqa: PLR2004  Twice.
            self.send_response(503)
            self.send_header("Retry-After", "1")
        else:
            signed = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}.".encode() + body
            right = "v1," + base64.b64encode(hmac.digest(SECRET, signed, hashlib.sha256)).decode()
            self.send_response(200 if hmac.compare_digest(right, self.headers["webhook-signature"]) else 401)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  The standard library's name.
        """Keep quiet."""


async def deliver(queue: Afresh, url: str, event: dict[str, Any]) -> None:
    """Hand the webhook in, have a worker deliver it, and tell how that went."""
    args = {"url": url, "json": event}
    wanted = Submission(task_name="app.tasks.http_request.http_request", queue="http", args=args, max_retries=12)
    async with queue.open_async(), queue.connection() as conn:
        worker = asyncio.create_task(queue.run_worker_async(queues=["http"], install_signal_handlers=False))
        job_id = await submit(conn, wanted)
        state, result = "ready", None
        while state not in {"succeeded", "failed"}:
            await asyncio.sleep(0.2)
            cursor = await conn.execute(STATE, [job_id])
            state, result = await cursor.fetchone() or ("failed", None)
        async for attempt, outcome, reason in await conn.execute(ATTEMPTS, [job_id]):
            print(f"attempt {attempt} {outcome}. {reason or ''}")
        print(f"job {job_id} {state}: {json.dumps(result)}")
        worker.cancel()
        await asyncio.wait({worker})


def main() -> None:
    """Start the receiver, name it in the settings as `.env` would, and deliver."""
    server = HTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    os.environ |= {
        "HTTP_ALLOWED_HOSTS": "127.0.0.1",
        "HTTP_PRIVATE_NETWORKS": "127.0.0.1/32",
        "HTTP_SIGNING_SECRET": f"whsec_{base64.b64encode(SECRET).decode()}",
        "POLICY__EXTERNAL_API_DOWN__INITIAL_DELAY": "1s",  # A quarter of an hour would be long for an example.
        "LOG_LEVEL": "ERROR",
    }
    asyncio.run(deliver(create(read_settings()), f"http://127.0.0.1:{server.server_port}/", {"order": 7, "paid": True}))
    server.shutdown()


if __name__ == "__main__":
    main()
