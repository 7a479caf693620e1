"""Who may speak to us, rule by rule."""

import pytest
from starlette.datastructures import Headers

from app.web.errors import ForeignHost, ForeignOrigin, NotJson, RemoteAddress
from app.web.origin import check_address, check_host, check_media_type, check_origin, is_loopback


def headers(*pairs: tuple[str, str]) -> Headers:
    """Headers as they came in, repeated ones too."""
    return Headers(raw=[(name.encode(), value.encode("latin-1")) for name, value in pairs])


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST", "localhost:8000", "127.0.0.1", "127.0.0.1:8000", "127.8.8.8", "[::1]", "[::1]:8000",
     "app.localhost:1", "jobs.example.com", "Jobs.Example.com:443"],
)  # fmt: skip
def test_own_hosts(host: str):
    """The loopback names and those that are allowed are ours, with any port."""
    assert check_host(headers(("host", host)), {"jobs.example.com"}).netloc == host


@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "192.168.1.7", "10.0.0.0", "[::]", "",
     "localhost/", "localhost/@evil.example", "user@localhost", "localhost:port", "localhost:99999", "[::1", "a b",
     "notlocalhost", "localhost#x", "localhost?x", "2130706433", "0x7f.1", "[::ffff:10.0.0.1]"],
)  # fmt: skip
def test_foreign_hosts(host: str):
    """Every other name is refused, and so is what is no name."""
    with pytest.raises(ForeignHost):
        check_host(headers(("host", host)), {"jobs.example.com"})


def test_no_host_and_two_hosts():
    """Without a Host header, or with two, nobody can tell whom a request is for."""
    for given in (headers(), headers(("host", "localhost"), ("host", "localhost"))):
        with pytest.raises(ForeignHost):
            check_host(given, ())


@pytest.mark.parametrize(
    ("host", "given"),
    [
        ("localhost:8000", []),
        ("localhost:8000", [("origin", "http://localhost:8000")]),
        ("localhost", [("origin", "http://localhost:80")]),
        ("localhost:80", [("origin", "http://localhost")]),
        ("jobs.example.com", [("origin", "https://jobs.example.com")]),
        ("jobs.example.com:443", [("origin", "https://Jobs.Example.com")]),
        ("[::1]:8000", [("origin", "http://[::1]:8000")]),
        ("localhost", [("sec-fetch-site", "same-origin")]),
        ("localhost", [("sec-fetch-site", "none")]),
        ("localhost", [("sec-fetch-site", "same-origin"), ("origin", "http://localhost")]),
    ],
)
def test_own_origins(host: str, given: list[tuple[str, str]]):
    """Our own pages may change things, and so may what is no browser."""
    check_origin(headers(*given), check_host(headers(("host", host)), {"jobs.example.com"}))


@pytest.mark.parametrize(
    ("host", "given"),
    [
        ("localhost:8000", [("origin", "http://localhost:8001")]),
        ("localhost:8000", [("origin", "http://localhost")]),
        ("localhost:8000", [("origin", "http://127.0.0.1:8000")]),
        ("localhost", [("origin", "https://evil.example")]),
        ("localhost", [("origin", "null")]),
        ("localhost", [("origin", "")]),
        ("localhost", [("origin", "file://")]),
        ("localhost", [("origin", "http://[::1")]),
        ("localhost", [("origin", "http://localhost:x")]),
        ("localhost", [("origin", "chrome-extension://localhost")]),
        ("localhost", [("origin", "http://localhost"), ("origin", "https://evil.example")]),
        ("localhost", [("sec-fetch-site", "cross-site")]),
        ("localhost", [("sec-fetch-site", "same-site")]),
        ("localhost", [("sec-fetch-site", "")]),
        ("localhost", [("sec-fetch-site", "Something-New")]),
        ("localhost", [("sec-fetch-site", "none"), ("sec-fetch-site", "cross-site")]),
        ("localhost", [("sec-fetch-site", "cross-site"), ("origin", "http://localhost")]),
    ],
)
def test_foreign_origins(host: str, given: list[tuple[str, str]]):
    """Pages of other sites may change nothing, nor may what cannot be told."""
    with pytest.raises(ForeignOrigin):
        check_origin(headers(*given), check_host(headers(("host", host)), ()))


@pytest.mark.parametrize(
    "given",
    [
        [],
        [("content-length", "0"), ("content-type", "text/plain")],
        [("content-length", "2"), ("content-type", "application/json")],
        [("content-length", "2"), ("content-type", "Application/JSON; charset=utf-8")],
        [("transfer-encoding", "chunked"), ("content-type", "application/json")],
    ],
)
def test_json_bodies(given: list[tuple[str, str]]):
    """A body is JSON, or there is none."""
    check_media_type(headers(*given), form=False)


def test_forms():
    """A form is taken on the pages, where it carries a token, and nowhere else."""
    given = headers(("content-length", "2"), ("content-type", "application/x-www-form-urlencoded"))
    check_media_type(given, form=True)
    with pytest.raises(NotJson):
        check_media_type(given, form=False)


@pytest.mark.parametrize(
    "given",
    [
        [("content-length", "2")],
        [("content-length", "2"), ("content-type", "text/plain")],
        [("content-length", "2"), ("content-type", "text/plain; application/json")],
        [("content-length", "2"), ("content-type", "application/jsonp")],
        [("transfer-encoding", "chunked")],
    ],
)
def test_other_bodies(given: list[tuple[str, str]]):
    """What a page can send to another site without asking is refused."""
    with pytest.raises(NotJson):
        check_media_type(headers(*given), form=True)


@pytest.mark.parametrize("server", [None, ("/run/afresh.sock", None), ("127.0.0.1", 8000), ("::1", 8000)])
def test_local_connections(server: tuple[str, int | None] | None):
    """A connection to the loopback address or to a socket file is served."""
    check_address(server)


@pytest.mark.parametrize("server", [("192.168.1.7", 8000), ("10.0.0.1", 80), ("2001:db8::1", 8000)])
def test_remote_connections(server: tuple[str, int]):
    """One to any other address is refused, whatever Host it names."""
    with pytest.raises(RemoteAddress):
        check_address(server)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
def test_loopback(host: str):
    """The loopback addresses are this machine's own."""
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "example.com", ""])  # noqa: S104 - none of them is bound.
def test_not_loopback(host: str):
    """Every other address can be reached from elsewhere."""
    assert not is_loopback(host)
