"""The parts of a mail as a job's arguments have them, and the message that is made of them."""

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Annotated, NotRequired

from pydantic import AfterValidator, ConfigDict, Field, with_config
from typing_extensions import TypedDict

from ...config.mailbox import LONGEST, Mailbox, read_mailbox

MOST_ATTACHED = 600_000
"""Bytes of all attachments of one mail. In base64 they fit into a request, whose body may have 1 000 000."""

MOST_RECIPIENTS = 100
"""In each of to, cc and bcc: the number that every mail server has to take at once (RFC 5321, 4.5.3.1.8)."""

LONGEST_LINE = 900
"""Characters of a subject or a header of one's own: with its name it stays below the 998 of RFC 5322, 2.1.1."""

# Seven bits, whatever the server offers; and one way to end a line.
_POLICY = SMTP.clone(cte_type="7bit")
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_CONTENT_TYPE = re.compile(r"(?!multipart/|message/)[a-z0-9][a-z0-9!#$&^_.+-]{0,99}/[a-z0-9][a-z0-9!#$&^_.+-]{0,99}")
_OURS = frozenset({
    "from", "to", "cc", "bcc", "reply-to", "sender", "subject", "date", "message-id", "mime-version", "received",
    "return-path",
})  # fmt: skip
_OUR_FAMILIES = ("content-", "resent-", "arc-", "dkim-")


def _address(text: str) -> str:
    read_mailbox(text)
    return text


def _line(text: str) -> str:
    """A header's text. A line break would begin another header."""
    if not text.isprintable():
        raise ValueError("line breaks and control characters are not allowed")
    return text


def _file_name(text: str) -> str:
    if not text.isprintable() or "/" in text or "\\" in text:
        raise ValueError("a file name has no line breaks and no slashes")
    return text


def _content_type(text: str) -> str:
    if not _CONTENT_TYPE.fullmatch(text):
        raise ValueError("not the type of one file, such as application/pdf")
    return text


def _headers(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name[:100]!r} is no name of a header")
        if name.lower() in _OURS or name.lower().startswith(_OUR_FAMILIES):
            raise ValueError(f"{name} is made of the other arguments")
        if not value.isprintable() or len(value) > LONGEST_LINE:
            raise ValueError(f"{name} has line breaks or control characters, or more than {LONGEST_LINE} characters")
    return headers


def _decoded(content: str) -> bytes:
    try:
        return base64.b64decode(content, validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error


def _base64(content: str) -> str:
    _decoded(content)
    return content


def _small(attachments: "list[Attachment]") -> "list[Attachment]":
    size = sum(len(_decoded(each["content"])) for each in attachments)
    if size > MOST_ATTACHED:
        raise ValueError(f"the attachments have {size:,} bytes together; at most {MOST_ATTACHED:,} are sent")
    return attachments


Address = Annotated[
    str, AfterValidator(_address), Field(max_length=LONGEST, examples=["zoe@example.com", "Zoë <zoe@example.com>"])
]
Recipients = Annotated[list[Address], Field(min_length=1, max_length=MOST_RECIPIENTS)]
Subject = Annotated[str, AfterValidator(_line), Field(max_length=LONGEST_LINE)]
Headers = Annotated[
    dict[str, str],
    AfterValidator(_headers),
    Field(description="Further headers.", examples=[{"List-Unsubscribe": "<https://example.com/bye>"}]),
]


@with_config(ConfigDict(extra="forbid"))
class Attachment(TypedDict):
    """A file that goes with a mail."""

    name: Annotated[str, AfterValidator(_file_name), Field(min_length=1, max_length=200, examples=["invoice.pdf"])]
    content: Annotated[str, AfterValidator(_base64), Field(description="In base64.", examples=["JVBERi0xLjQK"])]
    content_type: NotRequired[Annotated[str, AfterValidator(_content_type), Field(examples=["application/pdf"])]]


Attachments = Annotated[
    list[Attachment],
    AfterValidator(_small),
    Field(max_length=50, description=f"Together at most {MOST_ATTACHED:,} bytes."),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """A mail, checked: what is wrong in it is told by field before anything is sent.

    Attributes:
        text: What is read where HTML is not shown.
    """

    to: Sequence[Mailbox]
    subject: str
    text: str
    html: str | None = None
    cc: Sequence[Mailbox] = ()
    bcc: Sequence[Mailbox] = ()
    reply_to: Mailbox | None = None
    sender: Mailbox
    headers: dict[str, str]
    attachments: Sequence[Attachment] = ()

    @property
    def recipients(self) -> list[str]:
        """The addresses of all who get it, each once."""
        return list(dict.fromkeys(each.address for each in (*self.to, *self.cc, *self.bcc)))


def compose(mail: Mail, *, name: str, now: datetime) -> bytes:
    """Make the message. Its Message-ID and its boundaries come from `name`: with one name it is the same mail again."""
    message = EmailMessage(policy=_POLICY)
    message["From"] = mail.sender.header
    message["To"] = [each.header for each in mail.to]
    if mail.cc:
        message["Cc"] = [each.header for each in mail.cc]
    if mail.reply_to:
        message["Reply-To"] = mail.reply_to.header
    message["Subject"] = mail.subject
    message["Date"] = format_datetime(now)
    message["Message-ID"] = f"<{name}@{mail.sender.domain}>"
    for header, value in mail.headers.items():
        message[header] = value
    message.set_content(mail.text)
    if mail.html is not None:
        message.add_alternative(mail.html, subtype="html")
    for each in mail.attachments:
        main, _, sub = each.get("content_type", "application/octet-stream").partition("/")
        message.add_attachment(_decoded(each["content"]), maintype=main, subtype=sub, filename=each["name"])
    for number, part in enumerate(part for part in message.walk() if part.is_multipart()):
        part.set_boundary(f"={name}-{number}=")
    return message.as_bytes()
