"""Renders `docs/openapi.json`, what clients are promised: `python -m app.api.contract > docs/openapi.json`."""

import json
import sys

from fastapi import FastAPI

from ..config import load_settings
from ..queue.app import create
from .main import create_app


def render(app: FastAPI) -> str:
    """The text of docs/openapi.json: in the order of the routes, one fact a line, so that a difference reads well."""
    return json.dumps(app.openapi(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(render(create_app(create(load_settings()))))
