"""/metrics of a worker, over a real socket."""

import logging
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from app.config import MetricsSettings
from app.monitoring.exporter import exporting
from app.queue.app import create
from app.telemetry import Attempt, AttemptSucceeded, emit

from ..application import NOWHERE, settings_for

TOKEN = "a-token-for-metrics"  # noqa: S105 - of these tests alone.


@contextmanager
def exporter(caplog: pytest.LogCaptureFixture, **metrics: object) -> Iterator[str]:
    """A running exporter on any free port; its address."""
    settings = settings_for(NOWHERE, metrics=MetricsSettings(**{"worker_port": 0, **metrics}))  # type: ignore[arg-type]  # Of the group.
    with caplog.at_level(logging.INFO), exporting(create(settings)):
        (address,) = re.findall(r"served on (http://\S+)/metrics", caplog.text)
        yield address


def ask(url: str, method: str = "GET", **headers: str) -> httpx.Response:
    """An answer, past any proxy."""
    return httpx.request(method, url, headers=headers, trust_env=False, timeout=10)


def test_what_is_served(caplog: pytest.LogCaptureFixture):
    """What happens in the process is served at /metrics of the loopback address, and nothing else is there."""
    with exporter(caplog) as address:
        emit(AttemptSucceeded(Attempt("sample.add", 1, job_id=1), 0.1))
        found, head, elsewhere = ask(f"{address}/metrics"), ask(f"{address}/metrics", "HEAD"), ask(f"{address}/")
        changed = ask(f"{address}/metrics", "POST")
    assert address.startswith("http://127.0.0.1:")
    assert 'background_tasks_success_total{operation_type="untyped",task_name="sample.add"} 1.0' in found.text
    assert (head.status_code, head.content) == (200, b"")
    assert (elsewhere.status_code, changed.status_code) == (404, 405)


def test_ipv6(caplog: pytest.LogCaptureFixture):
    """METRICS_HOST may be an IPv6 address; a cluster may have no others."""
    with exporter(caplog, host="::1") as address:
        assert ask(f"{address}/metrics").status_code == 200
    assert address.startswith("http://[::1]:")


def test_token(caplog: pytest.LogCaptureFixture):
    """With METRICS_TOKEN whoever asks has to show it."""
    with exporter(caplog, token=TOKEN) as address:
        shown = ask(f"{address}/metrics", Authorization=f"Bearer {TOKEN}")
        others = [ask(f"{address}/metrics"), ask(f"{address}/metrics", Authorization="Bearer wrong")]
    assert shown.status_code == 200
    assert [(each.status_code, "background" in each.text) for each in others] == [(401, False)] * 2


@pytest.mark.parametrize("host", ["evil.example", "evil.example:9100", "[", ""])
def test_foreign_host(caplog: pytest.LogCaptureFixture, host: str):
    """Without a token, a page that has pointed its own name at this machine is refused."""
    with exporter(caplog) as address:
        foreign, own = ask(f"{address}/metrics", Host=host), ask(f"{address}/metrics", Host="localhost:9100")
    assert (foreign.status_code, own.status_code) == (400, 200)


def test_port_taken(caplog: pytest.LogCaptureFixture):
    """Where the port is taken the worker works on, and a line says that nobody can watch it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = settings_for(NOWHERE, metrics=MetricsSettings(worker_port=port))
        with caplog.at_level(logging.WARNING), exporting(create(settings)):
            worked = True
    assert worked
    assert f"Metrics cannot be served on 127.0.0.1:{port}" in caplog.text


def test_off(caplog: pytest.LogCaptureFixture):
    """Without WORKER_METRICS_PORT nothing is served, and nothing counted."""
    with caplog.at_level(logging.INFO), exporting(create(settings_for(NOWHERE))):
        emit(AttemptSucceeded(Attempt("sample.add", 1, job_id=1), 0.1))
    assert "Metrics" not in caplog.text


def test_the_port_is_given_back(caplog: pytest.LogCaptureFixture):
    """When the worker ends, nobody answers any more."""
    with exporter(caplog) as address:
        assert ask(f"{address}/metrics").status_code == 200
    with pytest.raises(httpx.ConnectError):
        ask(f"{address}/metrics")
