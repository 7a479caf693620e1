"""Sending mail. A try again is the same mail, and goes to those who have it not yet."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import ConfigDict, Field, validate_call

from ..config import MailSettings
from ..config.delivery import MailServer
from ..config.mailbox import Mailbox, read_mailbox
from ..queue.task import current_job, task
from .mail.handover import Handover, Refused, Reply, hand_over
from .mail.message import Address, Attachments, Headers, Mail, Recipients, Subject, compose
from .missing import SettingMissing
from .origin import name_to_outside


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
    name = await name_to_outside()
    content = compose(mail, name=name, now=datetime.now(UTC))
    done = await hand_over(
        _server(settings), content, sender=mail.sender.address, recipients=mail.recipients, patience=settings.timeout
    )
    return {"message_id": f"<{name}@{mail.sender.domain}>"} | _outcome(done)


def _outcome(done: Handover) -> dict[str, Any]:
    """What became of each recipient.

    Raises:
        Refused: Some may get it at another try; or nobody gets it.
    """
    if done.later or not done.accepted:
        raise Refused(done.later or done.refused, len(done.accepted))
    return {"accepted": list(done.accepted), "refused": {who: _shown(reply) for who, reply in done.refused.items()}}


def _shown(reply: Reply) -> dict[str, Any]:
    code, text = reply
    return {"code": code, "message": text}


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
