"""The examples for Kubernetes and KEDA, against what we answer, and against what KEDA takes.

keda.schema.json is a part of KEDA's schema, written by hand: the fields that we use, closed, and the parameters of our
two scalers, which KEDA's own definitions do not describe. It finds what is misspelt or missing, as
kubernetes.schema.json does in Kubernetes' own kinds. That KEDA itself takes the documents is only checked where
KEDA_CRDS names a folder with its definitions, which are in the folder config/crd/bases of github.com/kedacore/keda.
"""

import copy
import json
import os
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import psycopg
import pytest
import yaml
from psycopg import AsyncConnection
from psycopg.errors import InsufficientPrivilege

from app.config import GROUPS, default_settings, values
from app.postgres.cluster import SUPERUSER
from app.queue.app import Afresh

from ..application import serving, settings_for
from ..servers import Server

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
SCHEMA = json.loads(Path(__file__).with_name("keda.schema.json").read_text(encoding="utf-8"))
KEDA = [
    document
    for path in sorted(FOLDER.glob("autoscaling-*.yaml"))
    for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))
]
OBJECTS = {each["spec"]["triggers"][0]["type"]: each for each in KEDA if each["kind"] == "ScaledObject"}
AUTHENTICATIONS = {each["metadata"]["name"]: each for each in KEDA if each["kind"] == "TriggerAuthentication"}
WORKER = yaml.safe_load((FOLDER / "worker.yaml").read_text(encoding="utf-8"))
API, SERVICE = yaml.safe_load_all((FOLDER / "api.yaml").read_text(encoding="utf-8"))
MIGRATION = yaml.safe_load((FOLDER / "migrate.yaml").read_text(encoding="utf-8"))
BUDGETS = list(yaml.safe_load_all((FOLDER / "disruption.yaml").read_text(encoding="utf-8")))
EVERYWHERE = "0.0.0.0"  # noqa: S104 - of a pod, whose port is guarded by a token.
POD = WORKER["spec"]["template"]["spec"]
KUBERNETES = [WORKER, API, SERVICE, MIGRATION, *BUDGETS]
KUBERNETES_SCHEMA = json.loads(Path(__file__).with_name("kubernetes.schema.json").read_text(encoding="utf-8"))


def trigger(kind: str) -> dict[str, str]:
    """What KEDA is told of a scaler."""
    (only,) = OBJECTS[kind]["spec"]["triggers"]
    metadata: dict[str, str] = only["metadata"]
    return metadata


@pytest.mark.parametrize("document", KEDA, ids=lambda each: each["metadata"]["name"])
def test_schema(document: Any):
    """Each document is what KEDA takes."""
    jsonschema.validate(document, SCHEMA)


@pytest.mark.parametrize("document", KUBERNETES, ids=lambda each: f"{each['kind']}-{each['metadata']['name']}")
def test_kubernetes_own_kinds(document: Any):
    """Each document is what Kubernetes takes, and with any of its fields misspelt it is not."""
    jsonschema.validate(document, KUBERNETES_SCHEMA)
    paths = list(_fields(document))
    assert paths
    for *path, name in paths:
        spoilt = copy.deepcopy(document)
        inner: Any = spoilt
        for step in path:
            inner = inner[step]
        inner[f"{name}s"] = inner.pop(name)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(spoilt, KUBERNETES_SCHEMA)


def _fields(document: Any, *path: Any) -> Iterator[tuple[Any, ...]]:
    """Where each field of a document stands; labels have names of our own."""
    if isinstance(document, list):
        for index, each in enumerate(document):
            yield from _fields(each, *path, index)
    elif isinstance(document, dict) and not any("/" in name for name in document):
        for name, each in document.items():
            yield (*path, name)
            yield from _fields(each, *path, name)


@pytest.mark.skipif("KEDA_CRDS" not in os.environ, reason="KEDA_CRDS names no folder with KEDA's own definitions")
@pytest.mark.parametrize("document", KEDA, ids=lambda each: each["metadata"]["name"])
def test_keda_s_own_definitions(document: Any):
    """Each document is what KEDA's own definitions take, with no field that they do not know."""
    plural = {"ScaledObject": "scaledobjects", "TriggerAuthentication": "triggerauthentications"}[document["kind"]]
    path = Path(os.environ["KEDA_CRDS"]) / f"keda.sh_{plural}.yaml"
    (version,) = yaml.safe_load(path.read_text(encoding="utf-8"))["spec"]["versions"]
    schema = version["schema"]["openAPIV3Schema"]
    schema["properties"].pop("metadata")  # Kubernetes' own: it is not described there.
    _close(schema["properties"]["spec"])
    jsonschema.Draft7Validator(schema).validate(document)


def _close(schema: Any) -> None:
    """Let an object have no fields but those that are described."""
    if isinstance(schema, dict):
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
        for each in schema.values():
            _close(each)


@pytest.mark.parametrize(("kind", "needed"), [("metrics-api", "url"), ("postgresql", "query")])
def test_the_schema_finds_faults(kind: str, needed: str):
    """A missing reference or parameter, a number where KEDA wants text, and a misspelt field are found."""
    spoils: list[Callable[[Any], object]] = [
        lambda spec: spec.pop("scaleTargetRef"),
        lambda spec: spec["triggers"][0]["metadata"].pop(needed),
        lambda spec: spec["triggers"][0]["metadata"].update({needed: 1}),
        lambda spec: spec.update(minReplicas=1),
    ]
    for spoil in spoils:
        spoilt = copy.deepcopy(OBJECTS[kind])
        spoil(spoilt["spec"])
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(spoilt, SCHEMA)


@pytest.mark.parametrize("kind", OBJECTS)
def test_what_is_named_exists(kind: str):
    """What is scaled is our deployment, what authenticates stands in the same file, and there is always a worker."""
    spec = OBJECTS[kind]["spec"]
    assert spec["scaleTargetRef"]["name"] == WORKER["metadata"]["name"]
    assert spec["triggers"][0]["authenticationRef"]["name"] in AUTHENTICATIONS
    assert spec["minReplicaCount"] >= 1


@pytest.mark.anyio
async def test_the_address_answers(database_url: str):
    """The address in the example answers with a whole number where the example looks for it."""
    told = trigger("metrics-api")
    async with serving(settings_for(database_url)) as (queue, client):
        await _wait_for_workers(queue)
        answer = await client.get(urlsplit(told["url"]).path)
        assert answer.status_code == 200
        assert answer.json()[told["valueLocation"]] == 3


@pytest.mark.anyio
async def test_the_query_answers(database_url: str, conn: AsyncConnection):
    """The query in the example answers with one whole number, the same."""
    async with serving(settings_for(database_url)) as (queue, _):
        await _wait_for_workers(queue)
    query: Any = trigger("postgresql")["query"]
    assert await (await conn.execute(query)).fetchall() == [(3,)]


def test_the_rights_suffice(server: Server, database_url: str):
    """A role with the rights that the example names, and no others, is answered."""
    comment = (FOLDER / "autoscaling-postgresql.yaml").read_text(encoding="utf-8").partition("\napiVersion")[0]
    (rights,) = re.findall(r"`(GRANT [^`]+)`", comment.replace("\n# ", " "))
    query: Any = trigger("postgresql")["query"]
    if server.embedded is None:
        pytest.skip("roles are made by the embedded server's superuser")
    with psycopg.connect(database_url, user=SUPERUSER, autocommit=True) as conn:
        conn.execute("CREATE ROLE keda")
        try:
            conn.execute("SET ROLE keda")
            with pytest.raises(InsufficientPrivilege):
                conn.execute(query)
            conn.execute("RESET ROLE")
            conn.execute(rights)
            conn.execute("SET ROLE keda")
            (wanted,) = conn.execute(query).fetchall()
            assert wanted >= (0,)
        finally:  # A role is the whole server's, which outlives this test's database.
            conn.execute("RESET ROLE")
            conn.execute("DROP OWNED BY keda")
            conn.execute("DROP ROLE keda")


async def _wait_for_workers(queue: Afresh) -> None:
    """As many jobs of a second as three workers of ten do in a minute."""
    async with queue.connection() as conn:
        await conn.execute(
            "INSERT INTO procrastinate_jobs (queue_name, task_name) SELECT 'q', 't' FROM generate_series(1, 1800)"
        )


@pytest.mark.parametrize(("manifest", "command"), [(WORKER, "worker"), (API, "api"), (MIGRATION, "migrate")])
def test_environment_names_exist(manifest: Any, command: str):
    """Each program is run by its command, and told nothing that we do not read."""
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    known = {field.title for group in GROUPS.values() for field in group.model_fields.values()}
    assert {each["name"] for each in container["env"]} <= known
    assert container["args"] == ["python", "-m", "app", command]


def test_the_number_of_workers_is_keda_s():
    """The deployment says no number of workers, which would undo what KEDA has set."""
    assert "replicas" not in WORKER["spec"]


@pytest.mark.anyio
async def test_the_probes_of_the_api_answer(database_url: str):
    """Its probes, which bring no key and a name of the cluster's, are answered at its port, through the service."""
    (container,) = API["spec"]["template"]["spec"]["containers"]
    (port,) = container["ports"]
    (served,) = SERVICE["spec"]["ports"]
    env = {each["name"]: each.get("value") for each in container["env"]}
    assert (str(port["containerPort"]), served["targetPort"], env["API_HOST"]) == (env["API_PORT"], "http", EVERYWHERE)
    async with serving(settings_for(database_url, admin_key="long-enough-to-be-a-key")) as (_, client):
        for probe in ("livenessProbe", "readinessProbe"):
            asked = container[probe]["httpGet"]
            answer = await client.get(asked["path"], headers={"Host": "10.1.2.3:8000"})
            assert (asked["port"], answer.status_code) == ("http", 200)


def test_keda_asks_a_name_that_is_served():
    """KEDA asks from a namespace of its own, and so the service by its name with ours, to which the API answers."""
    url = urlsplit(trigger("metrics-api")["url"])
    (container,) = API["spec"]["template"]["spec"]["containers"]
    (names,) = [each["value"] for each in container["env"] if each["name"] == "ALLOWED_HOSTS"]
    name, namespace, domain = (url.hostname or "").split(".")
    assert (name, bool(namespace), domain) == (SERVICE["metadata"]["name"], True, "svc")
    assert {name, url.hostname} <= set(names.split(","))
    assert SERVICE["spec"]["ports"][0]["port"] == url.port


@pytest.mark.parametrize("manifest", [WORKER, API], ids=["worker", "api"])
def test_one_pod_goes_at_a_time(manifest: Any):
    """Whoever empties nodes takes one pod of a kind at a time; budgets and service choose by the labels of the pods."""
    labels = manifest["spec"]["template"]["metadata"]["labels"]
    chosen = [each for each in BUDGETS if each["spec"]["selector"]["matchLabels"] == labels]
    assert [each["spec"]["maxUnavailable"] for each in chosen] == [1]
    assert manifest["spec"]["selector"]["matchLabels"] == labels
    assert manifest is WORKER or SERVICE["spec"]["selector"] == labels


def test_the_grace_is_long_enough():
    """A worker has longer for its jobs than one may take, and Kubernetes waits for all that a stopping worker does."""
    (container,) = POD["containers"]
    (given,) = [each["value"] for each in container["env"] if each["name"] == "SHUTDOWN_GRACE"]
    grace: Any = values.parse_duration(given)
    assert grace > default_settings().retry.job_timeout
    assert timedelta(seconds=POD["terminationGracePeriodSeconds"]) >= 2 * grace + timedelta(seconds=30)


def test_the_probe_asks_where_the_worker_answers():
    """The probe of a worker knocks at the port of its metrics, which is open to others who know the token."""
    (container,) = POD["containers"]
    env = {each["name"]: each.get("value") or each["valueFrom"]["secretKeyRef"]["key"] for each in container["env"]}
    (port,) = container["ports"]
    assert container["readinessProbe"]["tcpSocket"]["port"] == port["name"]
    assert (str(port["containerPort"]), env["METRICS_HOST"]) == (env["WORKER_METRICS_PORT"], EVERYWHERE)
    assert env["METRICS_TOKEN"] == "METRICS_TOKEN"  # noqa: S105 - the name of the secret's key.
    assert "livenessProbe" not in container
