"""The API explains itself, and its pages need nothing from another host."""

import json
import re
from typing import Any

import httpx
import pytest

from app.web.headers import CONTENT_SECURITY_POLICY

from ..application import Served

pytestmark = pytest.mark.anyio


@pytest.fixture
def client(shared: Served) -> httpx.AsyncClient:
    """A client of the module's server."""
    return shared[1]


@pytest.fixture
async def description(client: httpx.AsyncClient) -> dict[str, Any]:
    """The OpenAPI description."""
    found: dict[str, Any] = (await client.get("/openapi.json")).json()
    return found


def test_every_operation_is_explained(description: dict[str, Any]):
    """Every operation says in words what it does."""
    operations = [each for path in description["paths"].values() for each in path.values()]
    assert len(operations) >= 7
    assert all(each["summary"] and each["description"] for each in operations)


def test_references_resolve(description: dict[str, Any]):
    """Whatever the description refers to is in it."""
    schemas = description["components"]["schemas"]
    referred = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(description)))
    assert referred <= set(schemas)
    assert "HTTPValidationError" not in referred


def test_errors_are_problems(description: dict[str, Any]):
    """Every error of a submission is described as a problem."""
    responses = description["paths"]["/tasks/{task}"]["post"]["responses"]
    assert set(responses) == {"202", "400", "401", "403", "404", "409", "410", "413", "415", "422", "429", "503"}
    for status in set(responses) - {"202"}:
        problem = description["components"]["responses"][responses[status]["$ref"].rpartition("/")[2]]
        assert problem["content"]["application/problem+json"]["schema"]["$ref"].endswith("/Problem")


@pytest.mark.parametrize("path", ["/docs", "/dashboard", "/dashboard/jobs"])
async def test_pages_are_self_sufficient(client: httpx.AsyncClient, path: str):
    """A page has no inline code or style, and each of its assets is here."""
    page = await client.get(path)
    assert page.status_code == 200
    assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son\w+=|javascript:", page.text)
    assets = re.findall(r'<(?:script|link)[^>]*(?:src|href)="([^"]+)"', page.text)
    for asset in assets:
        assert asset.startswith(("/", "data:"))
        if asset.startswith("/"):
            assert (await client.get(asset)).status_code == 200


@pytest.mark.parametrize("path", ["/docs", "/dashboard", "/jobs", "/nothing"])
async def test_security_headers(client: httpx.AsyncClient, path: str):
    """Every answer tells the browser what it must not do, errors too."""
    headers = (await client.get(path)).headers
    assert headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert not re.search(r"unsafe|\*|//", headers["content-security-policy"])  # No inline code, no other host.
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/docs", "/dashboard", "/jobs", "/monitoring/live", "/docs/swagger/swagger-ui.css"])
async def test_head(client: httpx.AsyncClient, path: str):
    """Wherever GET answers, HEAD does with the same headers, and no body."""
    whole, head = await client.get(path), await client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers == whole.headers


async def test_front_door(client: httpx.AsyncClient):
    """Who comes without a path is led to the dashboard."""
    response = await client.get("/")
    assert (response.status_code, response.headers["location"]) == (307, "/dashboard")
