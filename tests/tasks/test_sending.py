"""What one request does on its way: where it goes, what it carries, and what is kept of the answer."""

import ipaddress
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from app.retry.classify import classify
from app.retry.failure import FailureType
from app.tasks.http.addresses import AddressNotAllowed, HostNotAllowed
from app.tasks.http.sending import LARGEST_BODY, Outgoing, RedirectRefused, Terms, send
from app.tasks.no_answer import naming

from .mail_host import write_certificate
from .receiver import Receiver, Reply, receiver

pytestmark = pytest.mark.anyio

HERE = ipaddress.ip_network("127.0.0.1/32")
SECRET = b"0123456789abcdef0123456789abcdef"


@pytest.fixture
def other() -> Iterator[Receiver]:
    """Another host."""
    with receiver("127.0.0.2") as server:
        yield server


@pytest.fixture
def host() -> Iterator[Receiver]:
    """The host that is called."""
    with receiver() as server:
        yield server


def terms(**changes: object) -> Terms:
    """Everything on 127.0.0.1 may be called."""
    return replace(Terms(allowed=("127.0.0.1", "*.test"), private=(HERE,)), **changes)  # type: ignore[arg-type]  # What a test wants to be otherwise.


def to(url: str, **changes: object) -> Outgoing:
    """A POST with a body."""
    made = Outgoing(
        method="POST",
        url=httpx.URL(url),
        headers={"Content-Type": "application/json"},
        body=b'{"order": 7}',
        name="job-1-abc",
        key="job-1-abc",
        seconds=20,
        redirects=5,
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # As above.


class Names:
    """A resolver whose answers change from one time to the next."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """The next answer, and the last one for ever."""
        self.asked.append((host, port))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


async def test_delivery(host: Receiver):
    """A request arrives as it was given, and the answer comes back."""
    host.will(Reply(201, {"X-Request-Id": "r1"}, b"thanks"))
    answer = await send(to(f"{host.url}/hooks?a=1"), terms())
    (seen,) = host.requests
    assert (seen.method, seen.path, seen.body) == ("POST", "/hooks?a=1", b'{"order": 7}')
    assert seen.headers["Content-Type"] == "application/json"
    assert seen.headers["Host"] == f"127.0.0.1:{host.port}"
    assert (answer.status, answer.body, answer.is_whole, answer.headers["x-request-id"]) == (201, b"thanks", True, "r1")


async def test_key_goes_with_what_changes_something(host: Receiver):
    """Whatever may change something over there carries the key of its job; a job's own header wins."""
    await send(to(host.url), terms())
    await send(to(host.url, headers={"idempotency-key": "mine"}), terms())
    await send(to(host.url, method="GET", body=b""), terms())
    assert [seen.headers.get_all("Idempotency-Key") for seen in host.requests] == [["job-1-abc"], ["mine"], None]


async def test_host_not_allowed(host: Receiver):
    """A host that the setting does not name is not called, and the failure says which setting that is."""
    with pytest.raises(HostNotAllowed, match="HTTP_ALLOWED_HOSTS") as caught:
        await send(to(host.url), terms(allowed=("api.example.com",)))
    assert not host.requests
    assert classify(caught.value).type is FailureType.CONFIG_MISSING_SETTING


async def test_private_address(host: Receiver):
    """An allowed host at a private address is not called."""
    with pytest.raises(AddressNotAllowed) as caught:
        await send(to(host.url), terms(private=()))
    assert not host.requests
    assert not classify(caught.value).retryable


async def test_name_that_moves_after_the_check(host: Receiver, other: Receiver):
    """The address that was judged is the one that is connected to, whatever the name says a moment later."""
    names = Names(["127.0.0.1"], ["127.0.0.2"])
    answer = await send(to(f"http://moving.test:{host.port}/"), terms(resolve=names))
    assert answer.status == 200
    assert names.asked == [("moving.test", host.port)]
    assert (len(host.requests), len(other.requests)) == (1, 0)
    assert host.requests[0].headers["Host"] == f"moving.test:{host.port}"


async def test_name_that_moves_before_the_check(other: Receiver):
    """A name that now leads to an address inside is refused, however it was before."""
    with pytest.raises(AddressNotAllowed, match=r"127\.0\.0\.2"):
        await send(to(f"http://moving.test:{other.port}/"), terms(resolve=Names(["127.0.0.2"])))
    assert not other.requests


async def test_every_redirect_is_resolved_anew(host: Receiver, other: Receiver):
    """A name is judged again at each redirect, also at one to itself."""
    host.will(Reply(307, {"Location": f"http://moving.test:{other.port}/again"}))
    names = Names(["127.0.0.1"], ["127.0.0.2"])
    with pytest.raises(AddressNotAllowed):
        await send(to(f"http://moving.test:{host.port}/"), terms(resolve=names))
    assert not other.requests


async def test_second_address(host: Receiver):
    """Where the first address of a host does not answer, the next one is tried: one of those that were judged."""
    names = Names(["127.0.0.3", "127.0.0.1"])
    network = ipaddress.ip_network("127.0.0.0/8")
    assert (await send(to(f"http://two.test:{host.port}/"), terms(resolve=names, private=(network,)))).status == 200


async def test_redirect_inside(host: Receiver, other: Receiver):
    """A redirect to a host that is not allowed is not followed, and is the other side's fault, not a setting's."""
    host.will(Reply(307, {"Location": f"{other.url}/admin"}))
    with pytest.raises(HostNotAllowed, match=r"redirected to 127\.0\.0\.2") as caught:
        await send(to(host.url), terms())
    assert not other.requests
    assert classify(caught.value).type is FailureType.PERMANENT_VALIDATION


@pytest.mark.parametrize("location", ["http://169.254.169.254/latest/meta-data", "http://[::ffff:169.254.169.254]/"])
async def test_redirect_to_metadata(host: Receiver, location: str):
    """Where every host is allowed, a redirect to a cloud's metadata is still refused by its address."""
    host.will(Reply(302, {"Location": location}))
    with pytest.raises(AddressNotAllowed):
        await send(to(host.url), terms(allowed=("*",)))


@pytest.mark.parametrize("location", ["file:///etc/passwd", "gopher://127.0.0.1/", "http://u:p@127.0.0.1/"])
async def test_redirect_to_no_address(host: Receiver, location: str):
    """A redirect to anything but a plain address of http or https is refused."""
    host.will(Reply(302, {"Location": location}))
    with pytest.raises(RedirectRefused):
        await send(to(host.url), terms())


async def test_redirects_end(host: Receiver):
    """Redirects are followed a limited number of times."""
    host.will(*[Reply(307, {"Location": "/again"})] * 10)
    with pytest.raises(RedirectRefused, match="more than 3"):
        await send(to(host.url, redirects=3), terms())
    assert len(host.requests) == 4


async def test_no_redirects(host: Receiver):
    """A job that wants none gets the redirect itself as the answer."""
    host.will(Reply(307, {"Location": "/again"}))
    assert (await send(to(host.url, redirects=0), terms())).status == 307
    assert len(host.requests) == 1


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_redirect_keeps_the_message(host: Receiver, status: int):
    """What has moved is delivered there, with its method and its body."""
    host.will(Reply(status, {"Location": "/new"}))
    answer = await send(to(f"{host.url}/old"), terms())
    assert [(seen.method, seen.path, seen.body) for seen in host.requests] == [
        ("POST", "/old", b'{"order": 7}'),
        ("POST", "/new", b'{"order": 7}'),
    ]
    assert answer.redirects == 1


async def test_see_other(host: Receiver):
    """A 303 says that the message is taken, and what came of it can be fetched."""
    host.will(Reply(303, {"Location": "/result"}))
    await send(to(host.url), terms())
    assert (host.requests[1].method, host.requests[1].body) == ("GET", b"")
    assert "Content-Type" not in host.requests[1].headers


async def test_credentials_stay(host: Receiver, other: Receiver):
    """What opens one host is not told to another, nor to another port; what is no secret goes along."""
    secret = {"Authorization": "Bearer t", "Cookie": "c=1", "X-Api-Key": "k", "X-Auth-Token": "t"}
    host.will(Reply(307, {"Location": "/same"}), Reply(307, {"Location": other.url}))
    everywhere = terms(allowed=("*",), private=(ipaddress.ip_network("127.0.0.0/8"),))
    await send(to(host.url, headers={**secret, "X-Tenant": "7"}), everywhere)
    assert all(host.requests[1].headers[name] == value for name, value in secret.items())
    (seen,) = other.requests
    assert not [name for name in secret if name in seen.headers]
    assert seen.headers["X-Tenant"] == "7"


async def test_environment_proxy(host: Receiver, other: Receiver, monkeypatch: pytest.MonkeyPatch):
    """A proxy of the environment is not used: it would resolve names by itself, and connect to what it likes."""
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, other.url)
    assert (await send(to(host.url), terms())).status == 200
    assert not other.requests


async def test_signature_is_for_its_host(host: Receiver, other: Receiver):
    """Only a host with a secret gets a signature, and after a redirect another one's is made with its own."""
    second = b"another secret of at least 24 bytes"
    everywhere = terms(allowed=("*",), private=(ipaddress.ip_network("127.0.0.0/8"),))
    host.will(Reply(307, {"Location": other.url}), Reply(307, {"Location": other.url}))
    await send(to(host.url), replace(everywhere, secrets={"127.0.0.1": (SECRET,), "127.0.0.2": (second,)}))
    first, moved = host.requests[0].headers["webhook-signature"], other.requests[0].headers["webhook-signature"]
    assert first.startswith("v1,")
    assert moved != first
    await send(to(host.url), replace(everywhere, secrets={"127.0.0.1": (SECRET,)}))
    assert "webhook-signature" not in other.requests[1].headers


async def test_large_answer(host: Receiver):
    """Of a large answer the beginning is kept, and it is said that there is more."""
    host.will(Reply(body=b"x" * (LARGEST_BODY + 1)), Reply(body=b"y" * LARGEST_BODY))
    answer = await send(to(host.url), terms())
    assert (len(answer.body), answer.is_whole) == (LARGEST_BODY, False)
    answer = await send(to(host.url), terms())
    assert (len(answer.body), answer.is_whole) == (LARGEST_BODY, True)


@pytest.mark.parametrize("reply", [Reply(seconds=2), Reply(body=b"x" * 100, drip=0.05)])
async def test_slow(host: Receiver, reply: Reply):
    """An answer that does not come in time, or only drop by drop, is a time-out."""
    host.will(reply)
    with pytest.raises((TimeoutError, httpx.TimeoutException)) as caught:
        await send(to(f"{host.url}/hook?token=abc", seconds=0.5), terms())
    assert classify(caught.value).type is FailureType.TRANSIENT_TIMEOUT
    assert str(caught.value).startswith(f"POST {host.url}/hook")
    assert "token" not in str(caught.value)


async def test_nobody_there():
    """A host that does not answer is a failure of the network, and the failure says which."""
    with receiver() as gone:
        url = gone.url
    with pytest.raises(httpx.ConnectError) as caught:
        await send(to(url), terms())
    assert classify(caught.value).type is FailureType.TRANSIENT_NETWORK
    assert str(caught.value).startswith(f"POST {url}/: All connection attempts failed")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (TimeoutError(), "GET http://a/ was not answered within 2.5 s"),
        (httpx.ConnectTimeout(""), "GET http://a/: no connection in time"),
        (httpx.ReadTimeout(""), "GET http://a/: no answer in time"),
        (httpx.ReadError(""), "GET http://a/: the connection broke"),
        (httpx.RemoteProtocolError("Server disconnected"), "GET http://a/: Server disconnected"),
    ],
)
def test_no_answer(error: Exception, said: str):
    """Where no answer came the failure has words, and is judged as it would be without them."""
    with pytest.raises(type(error)) as caught, naming("GET http://a/", seconds=2.5):
        raise error
    assert (type(caught.value), str(caught.value)) == (type(error), said)
    bare, worded = classify(error), classify(caught.value)
    assert (worded.type, worded.retryable, worded.confidence) == (bare.type, bare.retryable, bare.confidence)


async def test_unknown_name():
    """A name that nobody knows is tried again: it may be the resolver that is down."""

    async def unknown(host: str, port: int) -> Sequence[str]:
        raise OSError(f"no {host} for {port}")

    with pytest.raises(httpx.ConnectError, match="cannot be resolved") as caught:
        await send(to("http://nowhere.test/"), terms(resolve=unknown))
    assert classify(caught.value).retryable


@pytest.mark.parametrize(
    ("reply", "kind", "seconds"),
    [
        (Reply(503, {"Retry-After": "120"}), FailureType.EXTERNAL_API_DOWN, 120),
        (Reply(429, {"Retry-After": "7"}), FailureType.TRANSIENT_RATE_LIMIT, 7),
        (Reply(404), FailureType.PERMANENT_NOT_FOUND, None),
        (Reply(401), FailureType.PERMANENT_AUTH, None),
        (Reply(503, {"Content-Encoding": "gzip"}, b"not gzip"), FailureType.EXTERNAL_API_DOWN, None),
    ],
)
async def test_refusals(host: Receiver, reply: Reply, kind: FailureType, seconds: float | None):
    """What an answer means follows from its status, and how long to wait from its Retry-After."""
    host.will(reply)
    request = to(f"{host.url}/hook?token=abc")
    refusal = (await send(request, terms())).refusal(request)
    failure = classify(refusal)
    assert (failure.type, failure.hint and failure.hint.seconds) == (kind, seconds)
    assert "token" not in str(refusal)


async def test_retry_after_date(host: Receiver):
    """A Retry-After that is a date counts from the answer's own clock."""
    host.will(Reply(503, {"Retry-After": "Fri, 31 Dec 2100 23:59:59 GMT"}))
    refusal = (await send(to(host.url), terms())).refusal(to(host.url))
    assert (classify(refusal).hint or pytest.fail("no hint")).seconds > 1e9


async def test_unwanted_success(host: Receiver):
    """A 200 where the job wants a 201 is no failure of the host, and another try would bring another 200."""
    refusal = (await send(to(host.url), terms())).refusal(to(host.url))
    failure = classify(refusal)
    assert (failure.type, failure.retryable) == (FailureType.PERMANENT_VALIDATION, False)


async def test_certificate_is_for_the_name(tmp_path: Path):
    """A certificate has to be of somebody we trust, and for the name that was called, not for the address behind it."""
    certificate = write_certificate(tmp_path)
    trusted = ssl.create_default_context(cafile=certificate)
    here = terms(allowed=("*",), resolve=Names(["127.0.0.1"]))
    with receiver(certificate=certificate) as host:
        assert (await send(to(f"https://localhost:{host.port}/"), replace(here, trusted=trusted))).status == 200
        for url, context in (
            (f"https://localhost:{host.port}/", here.trusted),
            (f"https://x.test:{host.port}/", trusted),
        ):
            with pytest.raises(httpx.ConnectError) as caught:
                await send(to(url), replace(here, trusted=context))
            assert classify(caught.value).type is FailureType.CONFIG_MISSING_SETTING
    assert len(host.requests) == 1


async def test_time_of_the_signature(host: Receiver):
    """The time that is signed is that of the attempt."""
    at = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
    await send(to(host.url), terms(secrets={"*": (SECRET,)}, now=lambda: at))
    assert host.requests[0].headers["webhook-timestamp"] == str(int(at.timestamp()))
    assert host.requests[0].headers["webhook-id"] == "job-1-abc"
