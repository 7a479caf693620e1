"""Handing a mail over to the mail server, and what it says about each recipient."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import aiosmtplib

from ...config.delivery import MailServer
from ...queue.storable import storable
from ...store.mail import Reply

PARTING_SECONDS = 1.0
"""For the answer to a goodbye: whoever dies while waiting for it would send the mail once more."""

_TAKEN = Reply(250, "taken")
_FINAL = 500
_STARTTLS = {"always": True, "offered": None, "never": False}


class Refused(aiosmtplib.SMTPRecipientsRefused):
    """The mail server took the mail for some, or for nobody. The engine reads its codes from `recipients`."""

    def __init__(self, refusals: Mapping[str, Reply], accepted: int) -> None:
        super().__init__([aiosmtplib.SMTPRecipientRefused(*reply, who) for who, reply in refusals.items()])
        self.accepted = accepted

    def __str__(self) -> str:
        """Who was refused, and why."""
        refused = "; ".join(f"{each.recipient}: {each.code} {each.message}" for each in self.recipients[:5])
        more = len(self.recipients) - 5
        return f"{self.accepted} taken, refused: {refused}" + (f"; and {more} more" if more > 0 else "")


@dataclass(frozen=True, slots=True)
class Handover:
    """What the mail server said, by recipient.

    Attributes:
        settled: Who gets it, and who does not for good.
        later: Who may get it at another try.
    """

    settled: Mapping[str, Reply]
    later: Mapping[str, Reply]


async def hand_over(
    server: MailServer, content: bytes, *, sender: str, recipients: Sequence[str], patience: timedelta
) -> Handover:
    """Hand a mail over for all `recipients`, in one transaction; `patience`: for each answer.

    Raises:
        aiosmtplib.SMTPException: The server cannot be reached, lets us not in, is too slow, or refuses the mail itself.
    """
    client = aiosmtplib.SMTP(
        hostname=server.host,
        port=server.port,
        username=server.user,
        password=server.password,
        use_tls=server.encrypted,
        start_tls=False if server.encrypted else _STARTTLS[server.starttls],
        timeout=patience.total_seconds(),
    )
    try:
        await client.connect()
        try:
            refusals, _ = await client.sendmail(sender, list(recipients), content)
        except aiosmtplib.SMTPRecipientsRefused as error:
            refusals = {each.recipient: aiosmtplib.SMTPResponse(each.code, each.message) for each in error.recipients}
        await _part(client)
    finally:
        client.close()
    replies = {who: Reply(code, storable(" ".join(text.split())[:500])) for who, (code, text) in refusals.items()}
    later = {who: reply for who, reply in replies.items() if reply.code < _FINAL}
    return Handover({who: replies.get(who, _TAKEN) for who in recipients if who not in later}, later)


async def _part(client: aiosmtplib.SMTP) -> None:
    """Say goodbye. The mail is taken, whatever the answer to that is."""
    with contextlib.suppress(aiosmtplib.SMTPException, OSError, asyncio.TimeoutError):
        await client.quit(timeout=PARTING_SECONDS)
