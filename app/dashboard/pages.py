"""Pages for people, rendered here, one module each. They read, and change nothing."""

from fastapi import APIRouter, FastAPI
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

from ..web.auth import VIEWER
from . import dependencies, job, jobs, letter, letters, overview
from .frame import HERE

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse, dependencies=[VIEWER])
for page in (overview, jobs, job, dependencies, letters, letter):
    router.include_router(page.router)


def mount_assets(app: FastAPI) -> None:
    """Serve the pages' own files; nothing comes from another host."""
    app.mount("/dashboard/static", StaticFiles(directory=HERE / "static"))
