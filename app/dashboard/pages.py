"""Pages for people, rendered here, one module each. What they change, they change as the API does."""

from fastapi import APIRouter, FastAPI
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

from ..queue.app import Afresh
from ..web.auth import VIEWER
from . import (
    alerts,
    audit,
    bulk,
    dependencies,
    failures,
    group,
    job,
    jobs,
    letter,
    letters,
    live,
    many,
    overview,
    policies,
    queue_actions,
    queues,
    sign_in,
    simulation,
    system,
    workers,
)
from .frame import HERE
from .live import Liveliness
from .problems import ProblemPages

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse, dependencies=[VIEWER])
for page in (  # In this order: what is done to a queue has an address below that of its page, which takes any.
    alerts,
    audit,
    bulk,
    dependencies,
    failures,
    group,
    many,  # Before `job`: its address would be taken for a number.
    job,
    jobs,
    letter,
    letters,
    live,
    overview,
    policies,
    queue_actions,
    queues,
    sign_in,
    simulation,
    system,
    workers,
):
    router.include_router(page.router)


def mount_pages(app: FastAPI, queue: Afresh) -> None:
    """Serve the pages and their own files; nothing comes from another host."""
    app.state.liveliness = Liveliness(queue)
    app.include_router(router)
    app.include_router(sign_in.entrance, include_in_schema=False)
    app.mount("/dashboard/static", StaticFiles(directory=HERE / "static"))


def show_problems(app: FastAPI) -> None:
    """Show a person who looks at a page what went wrong as a page, whoever refused it."""
    app.add_middleware(ProblemPages)
