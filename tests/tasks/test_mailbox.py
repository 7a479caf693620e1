"""What counts as a mail address."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.config.mailbox import read_mailbox


@pytest.mark.parametrize(
    ("typed", "name", "address"),
    [
        ("zoe@example.com", "", "zoe@example.com"),
        (" zoe.b+tag@mail.example.com ", "", "zoe.b+tag@mail.example.com"),
        ("<zoe@example.com>", "", "zoe@example.com"),
        ("Zoë B. <zoe@example.com>", "Zoë B.", "zoe@example.com"),
        ('"B, Zoë" <zoe@example.com>', "B, Zoë", "zoe@example.com"),
        ("zoe@exämple.test", "", "zoe@xn--exmple-cua.test"),
        ("root@localhost", "", "root@localhost"),
        ("o'brien@example.com", "", "o'brien@example.com"),
    ],
)
def test_addresses(typed: str, name: str, address: str):
    """An address is read alone or behind a name; its domain is turned into ASCII."""
    found = read_mailbox(typed)
    assert (found.name, found.address) == (name, address)


@pytest.mark.parametrize(
    "typed",
    [
        "", "zoe", "@example.com", "zoe@", "zoe@@example.com", "zoe@example.com, bob@example.com", "a b@example.com",
        "zoe@example.com\r\nBcc: all@example.com", "Zoë\r\nBcc: all@example.com <zoe@example.com>", "zoe@exam\nple.com",
        "zoe@example.com\0", "<zoe@example.com", "zoe@example.com>", "Zoë <zoe@example.com> <bob@example.com>",
        ".zoe@example.com", "zoe..b@example.com", "zoë@example.com", '"zoe b"@example.com', "zoe@[127.0.0.1]",
        "zoe@-example.com", "zoe@example..com", "zoe@example.com\u2028", "a" * 65 + "@example.com",
        "zoe@" + "a" * 64 + ".com", 'Zoë "x" <zoe@example.com>', "zoe@example.com SIZE=1", "zoe@exa_mple.com",
    ],
)  # fmt: skip
def test_no_addresses(typed: str):
    """Two addresses, a second header, a quoted one, or an IP address is none."""
    with pytest.raises(ValueError, match=r"address|domain"):
        read_mailbox(typed)


@given(st.text())
def test_whatever_is_read_is_one_line(typed: str):
    """Whatever is taken for an address stays one word for a mail server, and one line in a header."""
    try:
        found = read_mailbox(typed)
    except ValueError:
        return
    assert found.address.isascii()
    assert len(found.address.split()) == 1
    assert not {"<", ">", ","} & set(found.address)
    assert len(str(found.header).splitlines()) == 1
