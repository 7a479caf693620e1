"""Sending mail. A try again is the same mail, and goes to those who have it not yet."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import ConfigDict, Field, validate_call

from ..config import MailSettings
from ..config.delivery import MailServer
from ..config.mailbox import Mailbox, read_mailbox
from ..queue.task import connection, current_job, task
from ..store.mail import Reply, keep_replies, read_replies
from .mail.handover import Refused, hand_over
from .mail.message import Address, Attachments, Headers, Mail, Recipients, Subject, compose
from .missing import SettingMissing
from .origin import Origin, origin


@task(
    name="app.tasks.email.send_email",
    queue="email",
    priority=3,
    task_type="email",
    depends_on="mail-server",
    http=True,
    outbound=True,
    timeout=timedelta(minutes=5),
)
@validate_call(config=ConfigDict(strict=True, hide_input_in_errors=True))  # Only HTTP checks them before the job is.
async def send_email(  # noqa: PLR0913, PLR0917  The parts of a mail.
    to: Recipients,
    subject: Subject,
    text: Annotated[str, Field(description="What is read where HTML is not shown.")],
    html: str | None = None,
    cc: Recipients | None = None,
    bcc: Recipients | None = None,
    reply_to: Address | None = None,
    sender: Annotated[Address | None, Field(description="Whose mail it is; else MAIL_FROM.")] = None,
    headers: Headers | None = None,
    attachments: Attachments | None = None,
) -> dict[str, Any]:
    """Send a mail to all its recipients.

    Returns:
        The Message-ID, who gets it, and who was refused for good, with the mail server's answer.

    Raises:
        Refused: Nobody gets it, or some do not yet: then the next attempt is for these alone.
        aiosmtplib.SMTPException: The mail server cannot be reached, or refuses the mail itself.
        SettingMissing: Nobody has said which server that is, or whose mail it would be.
    """
    settings = current_job().app.settings.mail
    mail = Mail(
        to=_mailboxes(to),
        subject=subject,
        text=text,
        html=html,
        cc=_mailboxes(cc),
        bcc=_mailboxes(bcc),
        reply_to=None if reply_to is None else read_mailbox(reply_to),
        sender=_sender(settings, sender),
        headers=headers or {},
        attachments=attachments or (),
    )
    of = await origin()
    replies = await _deliver(mail, of, settings)
    return {
        "message_id": f"<{of.name}@{mail.sender.domain}>",
        "accepted": [who for who, reply in replies.items() if reply.accepted],
        "refused": {who: reply._asdict() for who, reply in replies.items() if not reply.accepted},
    }


async def _deliver(mail: Mail, of: Origin, settings: MailSettings) -> dict[str, Reply]:
    """Hand the mail over for whoever has it not yet, and return what was said of each recipient.

    Raises:
        Refused: Some may get it at another try; or nobody gets it.
    """
    server, job_id = _server(settings), current_job().job_id
    async with connection() as conn:
        known = await read_replies(conn, of.job_id, job_id)
    left = [who for who in mail.recipients if who not in known]
    later: Mapping[str, Reply] = {}
    if left:
        content = compose(mail, name=of.name, now=datetime.now(UTC))
        sender = mail.sender.address
        done = await hand_over(server, content, sender=sender, recipients=left, patience=settings.timeout)
        async with connection() as conn:  # At once: if this worker dies now, nobody gets the mail a second time.
            await keep_replies(conn, of.job_id, job_id, done.settled)
        known |= done.settled
        later = done.later
    replies = {who: known[who] for who in mail.recipients if who in known}
    accepted = sum(reply.accepted for reply in replies.values())
    if later or not accepted:
        raise Refused(later or replies, accepted)
    return replies


def _server(settings: MailSettings) -> MailServer:
    if settings.server is None:
        raise SettingMissing("SMTP_URL", "smtp://user:password@mail.example.com:587")
    return settings.server


def _sender(settings: MailSettings, said: str | None) -> Mailbox:
    if said is not None:
        return read_mailbox(said)
    if settings.sender is None:
        raise SettingMissing("MAIL_FROM", "shop@example.com")
    return settings.sender


def _mailboxes(addresses: Sequence[str] | None) -> list[Mailbox]:
    return [read_mailbox(each) for each in addresses or ()]
