"""The misbehaving joke API does as it is told."""

import httpx
import pytest

from app.cli.joke_server import OK, JokeServer, Reply


def get(server: JokeServer, path: str = "/random_joke", **options: float) -> httpx.Response:
    """Ask for a page."""
    return httpx.get(server.url + path, trust_env=False, **options)  # type: ignore[arg-type]  # Numbers are time-outs.


def test_jokes():
    """It tells the joke that is asked for, or any, and nothing else."""
    with JokeServer() as server:
        assert get(server, "/jokes/42").json()["id"] == 42
        assert set(get(server).json()) == {"id", "type", "setup", "punchline"}
        assert get(server, "/cats").status_code == 404
        assert server.visits == ("/jokes/42", "/random_joke", "/cats")


def test_queued_replies():
    """What is queued is answered first, in order, each once."""
    with JokeServer() as server:
        server.will(Reply(status=503, headers={"Retry-After": "7"}), Reply(body=b"<html>"))
        first = get(server)
        assert (first.status_code, first.headers["retry-after"]) == (503, "7")
        assert get(server).text == "<html>"
        assert get(server).status_code == 200


def test_hang_up():
    """It can end a connection without a word, and serves the next."""
    with JokeServer() as server:
        server.will(Reply(hang_up=True))
        with pytest.raises(httpx.RemoteProtocolError):
            get(server)
        assert get(server).status_code == 200


def test_delay():
    """It can keep its callers waiting, and ends without waiting for that."""
    with JokeServer() as server:
        server.will(Reply(delay=60))
        with pytest.raises(httpx.ReadTimeout):
            get(server, timeout=0.1)


def test_behaviour():
    """What is not queued is answered as it is told, by the path that is asked for."""
    with JokeServer() as server:
        server.behave(lambda path: OK if path == "/jokes/1" else Reply(status=500))
        server.will(Reply(status=429))
        assert [get(server, path).status_code for path in ("/jokes/1", "/jokes/1", "/jokes/2")] == [429, 200, 500]
