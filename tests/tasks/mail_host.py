"""A real mail server on loopback: it keeps what it takes, and refuses what it was told to."""

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass
class MailHost:
    """The server, as a test sees it.

    Attributes:
        taken: The mails, each with its recipients.
        answers: What is said to each recipient, one after the other; then 250.
        data_answers: What is said to a mail as a whole.
        asked: How often somebody began a mail.
        seconds: How long an answer to a recipient takes.
        parting_seconds: How long the answer to a goodbye takes.
        logins: Names and passwords, as they came in.
    """

    port: int = 0
    taken: list[tuple[list[str], EmailMessage]] = field(default_factory=list)
    answers: dict[str, deque[str]] = field(default_factory=dict)
    data_answers: deque[str] = field(default_factory=deque)
    asked: int = 0
    seconds: float = 0.0
    parting_seconds: float = 0.0
    logins: list[tuple[str, str]] = field(default_factory=list)
    was_encrypted: list[bool] = field(default_factory=list)

    def will(self, recipient: str, *answers: str) -> None:
        """Answer like this where it is for this recipient."""
        self.answers[recipient] = deque(answers)

    async def handle_MAIL(self, _: SMTP, session: Session, envelope: Envelope, address: str, options: Any) -> str:  # noqa: N802,  aiosmtpd's.
        """Begin a mail."""
        self.asked += 1
        self.was_encrypted.append(session.ssl is not None)
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(self, _: SMTP, __: Session, envelope: Envelope, address: str, ___: Any) -> str:  # noqa: N802  As above.
        """Take a recipient, or not."""
        await asyncio.sleep(self.seconds)
        if answers := self.answers.get(address):
            return answers.popleft()
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _: SMTP, __: Session, envelope: Envelope) -> str:  # noqa: N802  As above.
        """Take the mail, or not."""
        if self.data_answers:
            return self.data_answers.popleft()
        content = envelope.content
        assert isinstance(content, bytes)
        message = message_from_bytes(content, EmailMessage, policy=default)
        self.taken.append((list(envelope.rcpt_tos), message))
        return "250 taken"

    async def handle_QUIT(self, _: SMTP, __: Session, ___: Envelope) -> str:  # noqa: N802  As above.
        """Part."""
        await asyncio.sleep(self.parting_seconds)
        return "221 Bye"

    def authenticate(self, *given: Any) -> AuthResult:
        """Look at a password, the last of what is given."""
        data = given[-1]
        assert isinstance(data, LoginPassword)
        self.logins.append((data.login.decode(), data.password.decode()))
        return AuthResult(success=data.password == b"s:e/c@ret", handled=False)


@asynccontextmanager
async def mail_host(
    *, certificate: Path | None = None, implicit: bool = False, **options: Any
) -> AsyncIterator[MailHost]:
    """A mail server that listens meanwhile; with a certificate it encrypts, from the first byte on if `implicit`."""
    state = MailHost()
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    loop = asyncio.get_running_loop()
    starttls = None if implicit else context

    def made() -> SMTP:
        return SMTP(
            state, hostname="mail.test", tls_context=starttls, authenticator=state.authenticate, loop=loop, **options
        )

    server = await loop.create_server(made, "127.0.0.1", 0, ssl=context if implicit else None)
    state.port = server.sockets[0].getsockname()[1]
    try:
        yield state
    finally:
        server.close()
        await server.wait_closed()


def write_certificate(folder: Path) -> Path:
    """Write a certificate for localhost that its own key has signed, with that key, as one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, *form) + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path
