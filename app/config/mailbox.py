"""Mail addresses as people type them, alone or behind a name. Whatever could become a second header is none."""

import re
from dataclasses import dataclass
from email.headerregistry import Address

LONGEST = 320
"""Characters of an address: 64 before the @, 255 behind it (RFC 5321, 4.5.3.1)."""

_NAMED = re.compile(r'(?:"([^"<>\\]*)"|([^"<>]*?))\s*<([^<>]*)>')
_LOCAL = re.compile(r"[\w!#$%&'*+/=?^`{|}~-]+(?:\.[\w!#$%&'*+/=?^`{|}~-]+)*", re.ASCII)
_DOMAIN = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*")
_LONGEST_LOCAL, _LONGEST_DOMAIN = 64, 255


@dataclass(frozen=True, slots=True)
class Mailbox:
    """Somebody who sends or receives mail.

    Attributes:
        name: What stands before the address; empty: nothing.
        local: Before the @.
        domain: Behind it, in ASCII: ``xn--…`` where it was typed otherwise.
    """

    name: str
    local: str
    domain: str

    @property
    def address(self) -> str:
        """As a mail server takes it."""
        return f"{self.local}@{self.domain}"

    @property
    def header(self) -> Address:
        """As a header takes it."""
        return Address(self.name, self.local, self.domain)


def read_mailbox(text: str) -> Mailbox:
    """Read ``zoe@example.com`` or ``Zoë <zoe@example.com>``.

    Raises:
        ValueError: It is none; or one that not every mail server takes: quoted, an IP address behind the @, letters
            beyond ASCII before it.
    """
    if not text.isprintable():
        raise ValueError("a mail address has no line breaks and no control characters")
    named = _NAMED.fullmatch(text.strip())
    name, address = (named[1] or named[2] or "", named[3]) if named else ("", text.strip())
    local, at, domain = address.rpartition("@")
    if not at or len(local) > _LONGEST_LOCAL or not _LOCAL.fullmatch(local):
        raise ValueError("not a mail address, such as zoe@example.com or Zoë <zoe@example.com>")
    return Mailbox(name.strip(), local, _ascii(domain))


def _ascii(domain: str) -> str:
    try:
        found = domain.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise ValueError("what stands behind the @ is no domain") from error
    if len(found) > _LONGEST_DOMAIN or not _DOMAIN.fullmatch(found):
        raise ValueError("what stands behind the @ is no domain")
    return found
