"""The settings of what leaves this house: mail, and requests to other people's hosts."""

import base64
import binascii
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal, get_args
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import BeforeValidator, Field, InstanceOf, StringConstraints

from . import values
from .environment import Group, setting
from .mailbox import Mailbox, read_mailbox

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

Encryption = Literal["always", "offered", "never"]
"""When STARTTLS is used."""

SECRET_PREFIX = "whsec_"  # noqa: S105  The mark of a secret in Standard Webhooks, and none itself.

MOST_READERS = 100
"""Of one mail: as many recipients as every mail server has to take at once."""

_SHORTEST_SECRET, _LONGEST_SECRET = 24, 64  # Bytes, by Standard Webhooks.
_PORTS = {"smtps": 465, "smtp": 25}
_SUBMISSION_PORT = 587
_HOST = re.compile(r"(?:\*|(?:\*\.)?[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?|\[?[0-9a-f:.]+\]?)")


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where mail is handed over.

    Attributes:
        encrypted: From the first byte on; else `starttls` says when.
    """

    host: str
    port: int
    encrypted: bool
    starttls: Encryption
    user: str | None = None
    password: str | None = field(default=None, repr=False)


def _mail_server(value: object) -> object:
    """Read ``smtp://user:password@host:587?starttls=always``; a password is never sent in the clear unasked."""
    if not isinstance(value, str):
        return value
    parts = urlsplit(value.strip())
    if parts.scheme not in _PORTS or not parts.hostname or parts.path.strip("/") or parts.fragment:
        raise ValueError("not the address of a mail server")
    user = unquote(parts.username) if parts.username else None
    wanted = parse_qs(parts.query, strict_parsing=True) if parts.query else {}
    safe = "never" if parts.scheme == "smtps" or not user or _is_loopback(parts.hostname) else "always"
    (starttls,) = wanted.pop("starttls", [safe if safe == "always" else "offered"])
    if wanted or starttls not in get_args(Encryption):
        raise ValueError("starttls is always, offered or never")
    return MailServer(
        host=parts.hostname,
        port=parts.port or (_SUBMISSION_PORT if parts.scheme == "smtp" and user else _PORTS[parts.scheme]),
        encrypted=parts.scheme == "smtps",
        starttls=starttls,  # type: ignore[arg-type]  # It is one of them: looked up three lines above.
        user=user,
        password=unquote(parts.password) if parts.password else None,
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _mailbox(value: object) -> object:
    return read_mailbox(value) if isinstance(value, str) else value


def _mailboxes(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(read_mailbox(item) for item in value.split(",") if item.strip())


def _hosts(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(_host(item) for item in value.split(",") if item.strip())


def _host(text: str) -> str:
    """A host, or a pattern of hosts, as requests name it."""
    host = text.strip().lower().rstrip(".")
    if not _HOST.fullmatch(host):
        raise ValueError("not a host name")
    return host.strip("[]")


def _networks(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(ipaddress.ip_network(item.strip()) for item in value.split(",") if item.strip())


def _secrets(value: object) -> object:
    """Read ``whsec_…`` for every host, or ``host=whsec_…`` pairs; several for one host are parted by blanks."""
    if not isinstance(value, str):
        return value
    found: dict[str, tuple[bytes, ...]] = {}
    for item in filter(None, map(str.strip, value.split(","))):
        host, _, secrets = ("*", "", item) if item.startswith(SECRET_PREFIX) else item.partition("=")
        host = _host(host)
        if host in found or not secrets.strip():
            raise ValueError("not secrets by host")
        found[host] = tuple(map(_secret, secrets.split()))
    return found


def _secret(text: str) -> bytes:
    try:
        secret = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error
    if not (text.startswith(SECRET_PREFIX) and _SHORTEST_SECRET <= len(secret) <= _LONGEST_SECRET):
        raise ValueError("not a secret")
    return secret


SmtpAddress = Annotated[
    InstanceOf[MailServer],
    BeforeValidator(_mail_server),
    values.Expects(
        "an address such as smtp://user:password@mail.example.com:587, or smtps://… where all is encrypted; it may end "
        "with ?starttls=always, offered or never"
    ),
]
Sender = Annotated[
    InstanceOf[Mailbox],
    BeforeValidator(_mailbox),
    values.Expects("a mail address such as shop@example.com or Shop <shop@example.com>"),
]
Readers = Annotated[
    tuple[InstanceOf[Mailbox], ...],
    BeforeValidator(_mailboxes),
    Field(max_length=MOST_READERS),
    values.Expects(f"at most {MOST_READERS} mail addresses separated by commas, such as boss@example.com"),
]
Hosts = Annotated[
    tuple[str, ...],
    BeforeValidator(_hosts),
    values.Expects("host names separated by commas, such as api.example.com,*.partner.example; * is every public host"),
]
Networks = Annotated[
    tuple[InstanceOf[ipaddress.IPv4Network] | InstanceOf[ipaddress.IPv6Network], ...],
    BeforeValidator(_networks),
    values.Expects("networks separated by commas, such as 10.1.0.0/16,127.0.0.1/32"),
]
Secrets = Annotated[
    Mapping[str, tuple[bytes, ...]],
    BeforeValidator(_secrets),
    values.Expects(
        "a secret of whsec_ and 24 to 64 bytes in base64, for every host, or host=whsec_… pairs separated by commas; "
        "two for one host, while they change, are parted by a blank"
    ),
]

Token = Annotated[str, StringConstraints(pattern=r"^[!-~]+$"), values.Expects("printable ASCII characters, no blank")]


class MailSettings(Group):
    """How mail is sent."""

    server: SmtpAddress | None = setting(
        "SMTP_URL",
        None,
        "The mail server that send-email hands its mail to. With a password STARTTLS is demanded, but on loopback.",
        secret=True,
    )
    sender: Sender | None = setting("MAIL_FROM", None, "Whose mail it is where a job does not say.")
    report_to: Readers = setting("REPORT_MAIL_TO", "", "Who gets the report of each day by mail. Unset: nobody.")
    timeout: values.PositiveDuration = setting(
        "SMTP_TIMEOUT", "30s", "How long the mail server may take for each of its answers."
    )


class HttpSettings(Group):
    """Which hosts http-request may call."""

    allowed_hosts: Hosts = setting("HTTP_ALLOWED_HOSTS", "", "The hosts that http-request may call. Unset: none.")
    private_networks: Networks = setting(
        "HTTP_PRIVATE_NETWORKS",
        "",
        "Networks that are not public, and that it may reach all the same where a host is there.",
    )
    secrets: Secrets = setting(
        "HTTP_SIGNING_SECRET", "", "What its requests are signed with, by host. Unset: not at all.", secret=True
    )


class LlmSettings(Group):
    """The language models that translate works with."""

    base_url: values.HttpAddress | None = setting(
        "LLM_BASE_URL", None, "A server that speaks OpenAI's chat completions, with the path before /chat/completions."
    )
    api_key: Token | None = setting("LLM_API_KEY", None, "Its key, where it demands one.", secret=True)
    reasoning: Token | None = setting("LLM_MODEL_REASONING", None, "The model that thinks before it writes.")
    non_reasoning: Token | None = setting("LLM_MODEL_NON_REASONING", None, "The model that writes at once.")
