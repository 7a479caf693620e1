"""Every route, asked by everybody."""

import itertools
import os
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from starlette.routing import Mount

from app.api.main import create_app
from app.queue.app import create
from app.store.keys import Role, create_key, revoke_key
from app.web.auth import ASSETS, SIGN_IN_PATH, Requires
from app.web.origin import PROBES, SAFE_METHODS

from ..application import client_of, settings_for
from ..servers import Server

pytestmark = pytest.mark.anyio

NOWHERE = "postgresql://nobody@127.0.0.1:9/nothing"
BOOTSTRAP = "the-bootstrap-key"
STRANGERS = ("nobody", "wrong", "no key at all", "prefix", "revoked")
HOLDERS = {role.label: role for role in Role} | {"bootstrap": Role.ADMIN}
_numbers = itertools.count(1)

# They take a body and change nothing, or nothing that is anybody else's.
QUESTIONS = {"/retry/simulate", "/retry/classify", "/dashboard/sign-out"}
FOR_ADMINS = {("GET", "/audit"), ("DELETE", "/queues/{name}/jobs")}


def routes() -> list[RouteContext]:
    """Every route there is, those of included routers too."""
    return list(iter_route_contexts(create_app(create(settings_for(NOWHERE))).routes))


def declared(route: RouteContext) -> Role | None:
    """The role that a route names; the highest, where it names several."""
    roles = [each.call.role for each in route.dependant.dependencies if isinstance(each.call, Requires)]
    return max(roles, default=None)


ROUTES = [
    (method, str(route.path), declared(route))
    for route in routes()
    if isinstance(route.original_route, APIRoute)
    for method in sorted(route.methods or ())
]
GUARDED = [(method, path, role) for method, path, role in ROUTES if role is not None]


def test_every_route_names_a_role():
    """No route is without a role, but the two probes and the page where one signs in."""
    assert {path for _, path, role in ROUTES if role is None} == PROBES | {SIGN_IN_PATH}


@pytest.mark.parametrize(("method", "path", "role"), GUARDED)
def test_what_changes_needs_an_operator(method: str, path: str, role: Role):
    """Viewers read; whatever changes something needs an operator; what is for admins is for them alone."""
    least = Role.VIEWER if method in SAFE_METHODS or path in QUESTIONS else Role.OPERATOR
    assert role >= least
    assert (role is Role.ADMIN) or (method, path) not in FOR_ADMINS


def test_the_guide_names_what_an_operator_may_do():
    """The table of roles has every verb of the addresses that an operator's key opens, in the guide's own words."""
    page = (Path(__file__).parents[2] / "docs" / "guide" / "access.md").read_text(encoding="utf-8")
    (row,) = (line for line in page.splitlines() if line.startswith("| operator |"))
    others = {
        "batch": "submit",
        "compare": "submit",
        "translations": "submit",
        "bulk": "by filter",
        "preview": "by filter",
    }
    others |= {"start": "end a maintenance window", "stop": "open and end a maintenance window"}
    ends = {path.rpartition("/")[2] for _, path, role in GUARDED if role is Role.OPERATOR and "dashboard" not in path}
    verbs = {others.get(end, end) for end in ends if end.isalpha()}
    assert {"isolate", "mute", "submit"} < verbs
    assert not [verb for verb in verbs if not re.search(rf"\b{verb}\b", row)]


def test_what_is_no_route_of_ours():
    """Beside them there are static files, the same everywhere, and the description, which needs a key like all else."""
    others = [each.original_route for each in routes() if not isinstance(each.original_route, APIRoute)]
    assert {f"{each.path}/" for each in others if isinstance(each, Mount)} == set(ASSETS)
    assert {each.path for each in others if not isinstance(each, Mount)} == {"/openapi.json"}  # type: ignore[attr-defined]  # A Route.


@dataclass
class Door:
    """A server with keys, and one key of each kind."""

    app: FastAPI
    keys: dict[str, str]

    async def ask(self, method: str, path: str, key: str | None, address: str = "127.0.0.1") -> httpx.Response:
        """Ask as the holder of a key."""
        url = re.sub(r"\{[^}]*\}", "1", path)
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        async with client_of(self.app, address=address) as client:
            if method in SAFE_METHODS:
                return await client.request(method, url, headers=headers)
            return await client.request(method, url, headers=headers, json={})


@pytest.fixture(scope="module")
async def door(anyio_backend: str, server: Server, template: str) -> AsyncIterator[Door]:  # noqa: ARG001 - it makes the fixture async
    """A server with a key of each role, one that was revoked, and one from the environment."""
    name = f"afresh_roles_{os.getpid()}"
    queue = create(settings_for(server.create(name, template=template), admin_key=BOOTSTRAP))
    app = create_app(queue)
    queue.periodic_registry.periodic_tasks.clear()
    async with app.router.lifespan_context(app):
        app.state.liveliness.close()  # The stream for pages then ends at once: what is asked here is who may have it.
        async with queue.connection() as conn:
            keys = {role.label: await create_key(conn, f"the {role.label}", role, actor="test") for role in Role}
            keys["revoked"] = await create_key(conn, "gone", Role.ADMIN, actor="test")
            await revoke_key(conn, "gone", actor="test")
        keys["bootstrap"] = BOOTSTRAP
        wrong = keys["admin"][:-1] + ("a" if keys["admin"][-1] != "a" else "b")
        yield Door(app, keys | {"wrong": wrong, "no key at all": "x", "prefix": keys["admin"].rpartition("_")[0]})
    server.drop(name)


@pytest.mark.parametrize(("method", "path"), [(method, path) for method, path, _ in GUARDED])
async def test_strangers(door: Door, method: str, path: str):
    """Whoever has no key in force is refused everywhere, and told how to sign in."""
    for holder in STRANGERS:
        address = f"10.1.{next(_numbers) // 250}.{next(_numbers) % 250}"  # One each: wrong keys are counted by address.
        response = await door.ask(method, path, door.keys.get(holder), address)
        assert response.status_code == 401, holder
        assert response.headers["www-authenticate"].startswith("Bearer "), holder
        assert response.headers["content-type"] == "application/problem+json", holder
        assert "afresh_" not in response.text, holder


@pytest.mark.parametrize(("method", "path", "role"), GUARDED)
async def test_holders(door: Door, method: str, path: str, role: Role):
    """Whoever has the role that a route names may use it, and nobody below; the refusal names the role."""
    for holder, held in HOLDERS.items():
        response = await door.ask(method, path, door.keys[holder])
        if held >= role:
            allowed = response.status_code in {200, 202, 204, 307, 404, 409, 422}
            # A form's refusal: the role passed, and this is no form.
            assert allowed or response.json()["type"] == "urn:afresh:form-refused", holder
        else:
            assert (response.status_code, response.json()["role"]) == (403, role.label), holder


@pytest.mark.parametrize("path", sorted(PROBES))
async def test_probes(door: Door, path: str):
    """Probes need no key and no host name, and tell nothing."""
    async with client_of(door.app) as client:
        response = await client.get(path, headers={"Host": "10.0.0.7:8000"})
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize("path", ["/openapi.json", "/nothing", "/docs", "/monitoring/live/", "/dashboard/static"])
async def test_all_else_needs_a_key(door: Door, path: str):
    """Also what is not there, so that nobody learns what is."""
    assert (await door.ask("GET", path, None)).status_code == 401


@pytest.mark.parametrize("asset", ["/docs/swagger/swagger-ui.css", "/dashboard/static/style.css"])
async def test_assets(door: Door, asset: str):
    """Static files need no key."""
    assert (await door.ask("GET", asset, None)).status_code == 200


async def test_description(door: Door):
    """The description says that a bearer key is needed, and where not."""
    described = (await door.ask("GET", "/openapi.json", door.keys["viewer"])).json()
    (scheme,) = described["components"]["securitySchemes"].values()
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    open_paths = {
        path
        for path, operations in described["paths"].items()
        for each in operations.values()
        if "security" not in each
    }
    assert open_paths == PROBES


async def test_own_tasks_need_an_admin(door: Door):
    """The server's own tasks are for admins; an operator is told so."""
    operator = await door.ask("POST", "/tasks/internal", door.keys["operator"])
    admin = await door.ask("POST", "/tasks/internal", door.keys["admin"])
    assert (operator.status_code, operator.json()["role"], admin.status_code) == (403, "admin", 202)


async def test_a_job_names_who_submitted_it(door: Door):
    """A job carries the name of the key that asked for it, and the audit has it as the actor."""
    made = await door.ask("POST", "/tasks/fetch-joke", door.keys["operator"])
    job = await door.ask("GET", f"/jobs/{made.json()['job_id']}", door.keys["viewer"])
    assert job.json()["submitted_by"] == "the operator"
    audit = await door.ask("GET", f"/audit?action=job.submit&target={made.json()['job_id']}", door.keys["admin"])
    assert [entry["actor"] for entry in audit.json()["items"]] == ["the operator"]
