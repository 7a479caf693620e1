"""What the demo's joke API does to each joke, in words and in replies. No chance in it: each run tells one story."""

from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from itertools import chain, repeat

from .joke_server import OK, Reply

SLOW = 6.0
"""Seconds that a slow answer takes; the demo gives an attempt two."""


@dataclass(frozen=True, slots=True)
class Act:
    """One joke's fate.

    Attributes:
        story: What the joke API does, in a few words.
        replies: Its answers, in order.
        then: Its answer ever after.
    """

    story: str
    replies: tuple[Reply, ...] = ()
    then: Reply = OK


DOWN = Reply(503)
RESET = Reply(hang_up=True)

ACTS: dict[int, Act] = {
    1: Act("answers"),
    2: Act("answers"),
    3: Act("503 once: come back in 3 s", (Reply(503, headers={"Retry-After": "3"}),)),
    4: Act("503 twice", (DOWN, DOWN)),
    5: Act("hangs up once", (RESET,)),
    6: Act("hangs up three times", (RESET, RESET, RESET)),
    7: Act("too slow once", (Reply(delay=SLOW),)),
    8: Act("429 once: slow down for 4 s", (Reply(429, headers={"Retry-After": "4"}),)),
    9: Act("no JSON once", (Reply(body=b"<html>Oops</html>"),)),
    10: Act("404", then=Reply(404)),
    11: Act("500 until it is mended", then=Reply(500)),
    12: Act("503 until it is mended", then=DOWN),
}


class Misbehaviour:
    """Answers each joke as its act says, until it is mended. The requests for one joke come one after the other.

    While it is down it refuses everything.
    """

    def __init__(self) -> None:
        self.mended = False
        self.down = False
        self._refused: list[str] = []
        self._scripts: dict[str, Iterator[Reply]] = {
            f"/jokes/{number}": chain(act.replies, repeat(act.then)) for number, act in ACTS.items()
        }

    @property
    def refused(self) -> int:
        """Requests that came while it was down."""
        return len(self._refused)

    def __call__(self, path: str) -> Reply:
        """The next answer. A joke that does not exist is not there after mending either."""
        if self.down:
            self._refused.append(path)
            return DOWN
        reply = next(self._scripts.get(path, repeat(OK)))
        return OK if self.mended and reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR else reply
