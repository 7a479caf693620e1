import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.config import GROUPS, default_settings

ROOT = Path(__file__).parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if service["image"] == "afresh"]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
SETTINGS = {field.title for group in GROUPS.values() for field in group.model_fields.values()}


def test_compose_takes_the_file():
    """Compose itself finds no fault in it, nor in the services that are asked for."""
    if compose_version() < (2, 24):
        pytest.skip("there is no compose here that is of 2.24 or later, as the guide demands")
    environment = os.environ | {"ADMIN_API_KEY": "long-enough-to-be-a-key"}
    for profile in ((), ("--profile=monitoring",)):
        done = compose(*profile, "config", "--quiet", environment=environment)
        assert done.returncode == 0, done.stderr


def compose_version() -> tuple[int, ...]:
    """Of the compose that is here; of none, and of one that is not Docker's, nothing."""
    if shutil.which("docker") is None:
        return ()
    said = re.match(r"v?(\d+)\.(\d+)", compose("version", "--short", environment=os.environ).stdout)
    return tuple(map(int, said.groups())) if said else ()


def compose(*arguments: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Ask compose about our file."""
    command = ["docker", "compose", "--file", str(ROOT / "docker-compose.yml"), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("name", OURS)
def test_environment_names_exist(name: str):
    """Compose sets nothing that we do not read."""
    assert set(SERVICES[name]["environment"]) <= SETTINGS


@pytest.mark.parametrize("name", OURS)
def test_commands_are_ours(name: str):
    """Each of our services runs the command of its own name."""
    assert SERVICES[name]["command"] == ["python", "-m", "app", name]


def test_services_wait_for_the_schema():
    """The API and the workers start after the migration succeeded, which starts when Postgres answers."""
    assert SERVICES["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    for name in ("api", "worker"):
        assert SERVICES[name]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}


def test_what_runs_for_long_is_watched():
    """Whatever does not end by itself has a health check and comes back."""
    for name in SERVICES.keys() - {"migrate"}:
        assert SERVICES[name]["restart"] == "unless-stopped"
        assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"


def test_workers_scale():
    """Nothing of a worker is there once only, so that `--scale worker=4` works."""
    assert not {"container_name", "ports", "network_mode"} & SERVICES["worker"].keys()


def test_nothing_is_reachable_from_outside():
    """Only the machine itself reaches the API and what watches it, and nothing but our services reaches Postgres."""
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    watching = {"prometheus": ["127.0.0.1:9090:9090"], "grafana": ["127.0.0.1:3000:3000"]}
    assert published == {"api": ["127.0.0.1:8000:8000"], **watching}
    assert SERVICES["postgres"]["command"][-1] == "listen_addresses="
    assert not any("network_mode" in service for service in SERVICES.values())


def test_watching_is_optional():
    """Prometheus and Grafana start only where they are asked for, and read what lies in deploy/."""
    asked_for = {name for name, service in SERVICES.items() if "profiles" in service}
    assert asked_for == {"prometheus", "grafana"}
    mounted = [volume for name in asked_for for volume in SERVICES[name]["volumes"] if volume.startswith("./")]
    assert mounted
    assert all((ROOT / volume.partition(":")[0]).is_dir() for volume in mounted)


def test_a_key_is_demanded():
    """Compose refuses to start without ADMIN_API_KEY, because its API serves more than the loopback address."""
    environment = SERVICES["api"]["environment"]
    assert environment["API_HOST"] == "0.0.0.0"  # noqa: S104 - of a container, behind a key.
    assert environment["ADMIN_API_KEY"].startswith("${ADMIN_API_KEY:?")


def test_stopping_leaves_time():
    """Compose waits for all that a stopping worker does without Postgres: for its jobs, and to store how they end."""
    grace = default_settings().worker.shutdown_grace.total_seconds()
    assert int(SERVICES["worker"]["stop_grace_period"].removesuffix("s")) >= 2 * grace + 30


def test_image():
    """The image is built from the lock, knows every path it copies, and runs as nobody special."""
    for sources in re.findall(r"^COPY (.+) \S+$", DOCKERFILE, re.MULTILINE):
        assert all((ROOT / source).exists() for source in sources.split())
    assert "RUN python scripts/sync.py run" in DOCKERFILE
    assert re.findall(r"^USER (.+)$", DOCKERFILE, re.MULTILINE)[-1] != "root"


def test_image_copies_what_the_context_has():
    """What the Dockerfile copies is let through by .dockerignore, and .env is not."""
    let_through = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = re.findall(r"^COPY (\S+) (\S+)$", DOCKERFILE, re.MULTILINE)
    assert {source for source, _ in copied} == let_through


def test_make_lists_its_targets():
    """`make` alone lists every target there is, and does nothing."""
    listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True)  # noqa: S607 - PATH knows where make is.
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (phony,) = re.findall(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    targets = [name for name in phony.split() if not name.startswith("sync-")]
    assert [line.split()[1] for line in listed.stdout.splitlines()] == targets


@pytest.mark.parametrize("script", [".ci/run"])
def test_scripts_parse(script: str):
    """Shell scripts are executable and parse."""
    path = ROOT / script
    assert path.stat().st_mode & 0o111
    subprocess.run(shlex.split(f"bash -n {path}"), check=True, timeout=30)
