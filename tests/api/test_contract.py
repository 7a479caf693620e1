"""docs/openapi.json is what clients are promised, and the code keeps to it."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from app.api.contract import render
from app.api.main import create_app
from app.queue.app import create
from app.web.origin import PROBES

from ..application import NOWHERE, settings_for

FILE = Path(__file__).parents[2] / "docs" / "openapi.json"
BEFORE_ALL = {"400", "401", "403", "413", "429", "503"}

PROMISED: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
OPERATIONS: dict[str, dict[str, Any]] = {
    f"{method.upper()} {path}": operation
    for path, operations in PROMISED["paths"].items()
    for method, operation in operations.items()
}


@pytest.fixture(scope="module")
def rendered() -> str:
    """What the code would have the file say."""
    return render(create_app(create(settings_for(NOWHERE))))


def moved(promised: Any, kept: Any, where: str = "") -> Iterator[str]:
    """Yield where two descriptions differ: the path into them, and what each says there."""
    if isinstance(promised, dict) and isinstance(kept, dict):
        for key in [*promised, *(key for key in kept if key not in promised)]:
            here = f"{where} > {key}" if where else key
            if key not in kept:
                yield f"{here}: only in the file"
            elif key not in promised:
                yield f"{here}: only in the code"
            else:
                yield from moved(promised[key], kept[key], here)
    elif isinstance(promised, list) and isinstance(kept, list) and len(promised) == len(kept):
        for index, pair in enumerate(zip(promised, kept, strict=True)):
            yield from moved(*pair, f"{where} > {index}")
    elif promised != kept:
        yield f"{where}: the file says {promised!r:.80}, the code {kept!r:.80}"


def test_the_names_of_shapes_are_words():
    """No two shapes have one name: they would be told apart by our modules, which clients have nothing to do with."""
    assert not [name for name in PROMISED["components"]["schemas"] if "__" in name]


def test_the_code_keeps_the_contract(rendered: str):
    """When this fails, look at what has moved; where that is meant, run `make schema` and commit the file."""
    if rendered != FILE.read_text(encoding="utf-8"):
        differences = list(moved(PROMISED, json.loads(rendered))) or ["the order of what is in it"]
        shown = "\n  ".join(differences[:20])
        rest = f"\n  … and {len(differences) - 20} more" if len(differences) > 20 else ""
        pytest.fail(f"docs/openapi.json and the code differ:\n  {shown}{rest}\nTo keep the code's: make schema")


def test_what_moved_is_named():
    """A difference is told by its path, and by what each side says."""
    promised = {"paths": {"/jobs": {"get": {"limit": 100, "tags": ["a"]}}, "/old": {}}}
    kept = {"paths": {"/jobs": {"get": {"limit": 50, "tags": ["b"]}}, "/new": {}}}
    assert list(moved(promised, kept)) == [
        "paths > /jobs > get > limit: the file says 100, the code 50",
        "paths > /jobs > get > tags > 0: the file says 'a', the code 'b'",
        "paths > /old: only in the file",
        "paths > /new: only in the code",
    ]


def test_operations_have_names():
    """Each operation has a name of its own, from which clients name their functions."""
    assert [
        name for name, count in Counter(each["operationId"] for each in OPERATIONS.values()).items() if count > 1
    ] == []


@pytest.mark.parametrize("name", OPERATIONS)
def test_refusals_are_declared(name: str):
    """Whatever needs a key declares how it is refused before it is reached; a change, also for its body's type."""
    operation = OPERATIONS[name]
    if name.partition(" ")[2] in PROBES:
        assert "security" not in operation
    else:
        assert operation["security"] == [{"HTTPBearer": []}]
        expected = BEFORE_ALL if name.startswith("GET ") else BEFORE_ALL | {"415"}
        assert expected <= operation["responses"].keys()


@pytest.mark.parametrize("name", [name for name, each in OPERATIONS.items() if "requestBody" in each])
def test_bodies_have_examples(name: str):
    """Whatever takes a body shows one, and it is one that it would take."""
    schema = OPERATIONS[name]["requestBody"]["content"]["application/json"]["schema"]
    if "$ref" in schema:
        schema = PROMISED["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    assert schema["examples"]


def examples(node: Any, where: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield every example, with its place and the schema that it is to fit."""
    if isinstance(node, dict):
        if isinstance(node.get("examples"), list):
            for each in node["examples"]:
                yield where, each, {key: value for key, value in node.items() if key != "examples"}
        if "example" in node and "schema" in node:
            yield where, node["example"], node["schema"]
        for key, child in node.items():
            yield from examples(child, f"{where} > {key}")
    elif isinstance(node, list):
        for index, child in enumerate(node):
            yield from examples(child, f"{where} > {index}")


def test_examples_are_valid():
    """Every example is what its schema says."""
    found = list(examples(PROMISED))
    assert len(found) > 100
    wrong = [
        f"{where}: {example!r:.60}"
        for where, example, schema in found
        if "text/event-stream" not in where  # Its example is a piece of the stream, its schema one event.
        and not fits(example, schema)
    ]
    assert not wrong


def fits(example: Any, schema: Any) -> bool:
    """Whether an example is valid."""
    whole = schema | {"components": PROMISED["components"]}
    return bool(jsonschema.Draft202012Validator(whole).is_valid(example))
