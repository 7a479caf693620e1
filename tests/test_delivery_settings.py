"""What a person may type for mail servers, hosts, networks and secrets."""

import base64
import ipaddress
from typing import Any

import pytest
from pydantic import ValidationError

from app.config import HttpSettings, MailSettings, SettingsError, read_settings
from app.config.delivery import MailServer

LONG = base64.b64encode(b"0123456789abcdef01234567").decode()
SHORT = base64.b64encode(b"0123456789").decode()


def mail(**given: Any) -> MailSettings:
    """Settings of mail, as a person types them."""
    return MailSettings(**given)


def http(**given: Any) -> HttpSettings:
    """The same of requests."""
    return HttpSettings(**given)


@pytest.mark.parametrize(
    ("typed", "server"),
    [
        ("smtp://mail.test", ("mail.test", 25, False, "offered", None, None)),
        (
            "smtp://a:b@mail.test",
            ("mail.test", 587, False, "always", "a", "b"),
        ),
        (
            "smtp://a:b@127.0.0.1:25",
            ("127.0.0.1", 25, False, "offered", "a", "b"),
        ),
        ("smtps://mail.test", ("mail.test", 465, True, "offered", None, None)),
        (
            "smtps://a%40b:p%3A%2F@mail.test:99",
            ("mail.test", 99, True, "offered", "a@b", "p:/"),
        ),
        ("smtp://mail.test?starttls=always", ("mail.test", 25, False, "always", None, None)),
        (
            "smtp://a:b@mail.test?starttls=never",
            ("mail.test", 587, False, "never", "a", "b"),
        ),
    ],
)
def test_mail_servers(typed: str, server: tuple[Any, ...]):
    """With a password STARTTLS is demanded, on loopback and elsewhere it is used where it is offered."""
    assert mail(server=typed).server == MailServer(*server)


@pytest.mark.parametrize(
    "typed",
    [
        "mail.test", "http://mail.test", "smtp://", "smtp://mail.test/path", "smtp://mail.test?tls=1",
        "smtp://mail.test?starttls=maybe", "smtp://mail.test:port", "smtp://mail.test?starttls",
    ],
)  # fmt: skip
def test_no_mail_servers(typed: str, monkeypatch: pytest.MonkeyPatch):
    """Anything else stops the start with a line that names the setting, and does not show what may be a password."""
    monkeypatch.setenv("SMTP_URL", typed)
    with pytest.raises(SettingsError) as caught:
        read_settings()
    (line,) = caught.value.lines
    assert line.startswith("SMTP_URL: expected an address such as smtp://")


def test_passwords_are_not_shown():
    """A password and a signing secret are in no repr."""
    shown = repr((mail(server="smtp://a:open-sesame@mail.test"), http(secrets=f"whsec_{LONG}")))
    assert "sesame" not in shown
    assert "0123456789" not in shown
    assert "sesame" not in repr(mail(server="smtp://a:open-sesame@mail.test").server)


def test_sender():
    """MAIL_FROM may have a name before its address."""
    found = mail(sender="Shop <shop@example.com>").sender
    assert found is not None
    assert (found.name, found.address) == ("Shop", "shop@example.com")
    with pytest.raises(ValidationError):
        mail(sender="Shop")


def test_who_gets_the_report(monkeypatch: pytest.MonkeyPatch):
    """REPORT_MAIL_TO has several addresses, with or without a name; one that is none stops the start."""
    found = mail(report_to="boss@example.com, Ops <ops@example.com>,").report_to
    assert [(each.name, each.address) for each in found] == [("", "boss@example.com"), ("Ops", "ops@example.com")]
    assert mail(report_to="").report_to == ()
    for wrong in ("boss@example.com,ops", ",".join(["boss@example.com"] * 101)):
        monkeypatch.setenv("REPORT_MAIL_TO", wrong)
        with pytest.raises(SettingsError, match="REPORT_MAIL_TO"):
            read_settings()


def test_hosts():
    """Hosts are names, patterns below a domain, addresses, or a star for all."""
    typed = "API.example.com, *.partner.test,10.0.0.1,[::1],*"
    assert http(allowed_hosts=typed).allowed_hosts == ("api.example.com", "*.partner.test", "10.0.0.1", "::1", "*")
    for wrong in ("https://api.example.com", "api.example.com:443", "a*.test", "*.*.test", "a b"):
        with pytest.raises(ValidationError):
            http(allowed_hosts=wrong)


def test_networks():
    """Networks are those of either family; an address with bits beyond its network is a mistake."""
    found = http(private_networks="10.0.0.0/8, ::1/128").private_networks
    assert found == (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("::1/128"))
    for wrong in ("10.0.0.1/8", "intranet", "10.0.0.0/33"):
        with pytest.raises(ValidationError):
            http(private_networks=wrong)


def test_secrets():
    """A secret is for every host or for one; while it changes, a host has two."""
    secret, other = base64.b64decode(LONG), b"x" * 30
    second = base64.b64encode(other).decode()
    assert http(secrets=f"whsec_{LONG}").secrets == {"*": (secret,)}
    assert http(secrets=f"[::1]=whsec_{LONG},API.example.com.=whsec_{LONG}").secrets.keys() == {
        "::1",
        "api.example.com",
    }
    typed = f"api.example.com=whsec_{LONG} whsec_{second}, *.partner.test=whsec_{second}"
    assert http(secrets=typed).secrets == {"api.example.com": (secret, other), "*.partner.test": (other,)}


@pytest.mark.parametrize(
    "typed",
    [LONG, f"whsec_{SHORT}", "whsec_???", "api.example.com=", f"api.example.com={LONG}", f"whsec_{LONG},whsec_{LONG}"],
)
def test_no_secrets(typed: str):
    """A secret without its mark, too short, not in base64 or twice is refused."""
    with pytest.raises(ValidationError):
        http(secrets=typed)
