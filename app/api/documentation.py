"""`/docs` and `/openapi.json`: the API for people who have never seen it, with every asset from here."""

from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter, FastAPI
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

from ..web.auth import VIEWER

router = APIRouter(include_in_schema=False, dependencies=[VIEWER])

# Swagger UI starts from a file of ours, because no page may carry inline code.
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Afresh API</title>
<link rel="stylesheet" href="/docs/swagger/swagger-ui.css">
<link rel="icon" href="data:,">
</head>
<body>
<div id="swagger-ui"></div>
<noscript>This page needs JavaScript; <a href="/openapi.json">openapi.json</a> says the same.</noscript>
<script src="/docs/swagger/swagger-ui-bundle.js"></script>
<script src="/docs/start/start.js"></script>
</body>
</html>
"""


@router.get("/docs")
async def show_documentation() -> HTMLResponse:
    """Swagger UI, on the API's own description."""
    return HTMLResponse(_PAGE)


def mount_assets(app: FastAPI) -> None:
    """Serve Swagger UI's files, which the package fastapi-offline carries."""
    app.mount("/docs/swagger", StaticFiles(directory=Path(str(files("fastapi_offline"))) / "static"))
    app.mount("/docs/start", StaticFiles(directory=Path(__file__).parent / "static"))
