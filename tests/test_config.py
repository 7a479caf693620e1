import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.config import GROUPS, PolicyOverride, RetrySettings, Settings, SettingsError, load_settings, read_settings
from app.config.example import render
from app.config.values import LONGEST, TaskType, parse_duration
from app.retry.failure import FailureType

ROOT = Path(__file__).parent.parent


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory of a project with an empty `.env`, and an environment with none of our settings."""
    names = [field.title or "" for group in GROUPS.values() for field in group.model_fields.values()]
    for name in list(os.environ):
        if name in names or name.startswith(("POLICY__", "DEPENDENCY__")):
            monkeypatch.delenv(name)
    (tmp_path / ".env").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def lines_for(monkeypatch: pytest.MonkeyPatch, **environment: str) -> tuple[str, ...]:
    """Set `environment` and return what is said against it."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        read_settings()
    return caught.value.lines


def test_example_is_the_code():
    """`.env.example` names every setting with the default the code has, and nothing else."""
    assert (ROOT / ".env.example").read_text(encoding="utf-8") == render()


def test_example_uncommented_changes_nothing(project: Path):
    """Uncommenting every line of `.env.example` gives the defaults."""
    defaults = read_settings()
    settings = [line.removeprefix("#") for line in render().splitlines() if line.startswith("#") and line[1] != " "]
    (project / ".env").write_text("\n".join(settings))
    assert read_settings() == defaults


@pytest.mark.parametrize(
    ("typed", "seconds"),
    [("300", 300), ("300s", 300), ("2.0", 2), ("0.5s", 0.5), ("5m", 300), ("2h", 7200), ("7d", 604_800), (" 1 m ", 60)],
)
def test_durations(typed: str, seconds: float):
    """A duration is a number of seconds, or a number with s, m, h or d."""
    assert parse_duration(typed) == timedelta(seconds=seconds)


@pytest.mark.parametrize("typed", ["5x", "-1", "1e3", "inf", "5m30s", "٣", "9" * 400, "36501d", "s", "1ms"])
def test_not_durations(typed: str):
    """Anything else is refused, also what would not fit into a calendar."""
    with pytest.raises(ValueError, match=r"duration|century"):
        parse_duration(typed)


@given(st.text())
def test_durations_are_total(typed: str):
    """Whatever is typed is a duration within a century or a ValueError."""
    try:
        parsed = parse_duration(typed)
    except ValueError:
        return
    assert isinstance(parsed, timedelta)
    assert timedelta() <= parsed <= LONGEST


def test_defaults(project: Path):
    """Without settings: an embedded server beside `.env`, loopback, and five retries from two seconds on."""
    settings = read_settings()
    assert settings.database.url is None
    assert settings.database.data_dir == project / ".afresh"
    assert settings.database.embedded_version == 18
    assert (settings.api.host, settings.api.port) == ("127.0.0.1", 8000)
    assert settings.retry.max_retries == 5
    assert settings.retry.base_delay == timedelta(seconds=2)
    assert settings.retry.max_wait == timedelta(hours=24)
    assert settings.worker.queues == ()


def test_environment_above_dotenv(project: Path, monkeypatch: pytest.MonkeyPatch):
    """A value in the environment wins over `.env`, which wins over the default."""
    (project / ".env").write_text("MAX_RETRIES=1\nAPI_PORT=9000\n")
    monkeypatch.setenv("MAX_RETRIES", "2")
    settings = read_settings()
    assert (settings.retry.max_retries, settings.api.port) == (2, 9000)


def test_empty_is_unset(project: Path, monkeypatch: pytest.MonkeyPatch):
    """An empty value in the environment unsets what `.env` says."""
    (project / ".env").write_text("DATABASE_URL=postgresql://localhost/x\nLOG_LEVEL=\n")
    monkeypatch.setenv("DATABASE_URL", "")
    settings = read_settings()
    assert settings.database.url is None
    assert settings.log.level == "INFO"


def test_nearest_parent(project: Path, monkeypatch: pytest.MonkeyPatch):
    """`.env` and a relative DATA_DIR belong to the nearest parent folder that has `.env` or `pyproject.toml`."""
    (project / ".env").write_text("MAX_RETRIES=3\nDATA_DIR=data\n")
    (project / "deep" / "down").mkdir(parents=True)
    monkeypatch.chdir(project / "deep" / "down")
    settings = read_settings()
    assert settings.retry.max_retries == 3
    assert settings.database.data_dir == project / "data"


def test_pyproject_ends_the_search(project: Path, monkeypatch: pytest.MonkeyPatch):
    """A project inside another one does not read the outer one's `.env`."""
    (project / ".env").write_text("MAX_RETRIES=3\n")
    inner = project / "inner"
    inner.mkdir()
    (inner / "pyproject.toml").touch()
    monkeypatch.chdir(inner)
    assert read_settings().retry.max_retries == 5


def test_unrelated_names_are_left_alone(project: Path, monkeypatch: pytest.MonkeyPatch):
    """A variable that happens to be called like a field of ours configures nothing."""
    (project / ".env").write_text("host=elsewhere\nURL=x\n")
    monkeypatch.setenv("LEVEL", "nonsense")
    monkeypatch.setenv("POLICY", "nonsense")
    assert read_settings().api.host == "127.0.0.1"


def test_explicit_max_retries_bounds(project: Path, monkeypatch: pytest.MonkeyPatch):
    """MAX_RETRIES bounds the type policies only where somebody set it, even to its default."""
    assert read_settings().retry.max_retries_bound is None
    (project / ".env").write_text("MAX_RETRIES=5\n")
    assert read_settings().retry.max_retries_bound == 5
    monkeypatch.setenv("MAX_RETRIES", "0")
    assert read_settings().retry.max_retries_bound == 0


@pytest.mark.usefixtures("project")
def test_lists_and_pairs(monkeypatch: pytest.MonkeyPatch):
    """Lists are separated by commas; pairs are name=value; spaces around them do not matter."""
    monkeypatch.setenv("TASK_MODULES", "mycompany.jobs, mycompany.reports,")
    monkeypatch.setenv("TASK_TIMEOUTS", "fetch-joke=30s, send-email = 1m")
    monkeypatch.setenv("FAILURE_RULES", "mycompany.errors.Busy=TRANSIENT_RESOURCE")
    monkeypatch.setenv("TASK_TYPES", "invoice=4:invoices, letter = 10 : post")
    settings = read_settings()
    assert settings.submission.task_types == {"invoice": TaskType(4, "invoices"), "letter": TaskType(10, "post")}
    assert settings.worker.task_modules == ("mycompany.jobs", "mycompany.reports")
    assert settings.retry.task_timeouts == {
        "fetch-joke": timedelta(seconds=30),
        "send-email": timedelta(minutes=1),
    }
    assert settings.retry.failure_rules == {"mycompany.errors.Busy": FailureType.TRANSIENT_RESOURCE}


@pytest.mark.usefixtures("project")
def test_policy_of_a_type(monkeypatch: pytest.MonkeyPatch):
    """POLICY__<type>__<field> changes that field of that type's policy and leaves the others unsaid."""
    monkeypatch.setenv("POLICY__TRANSIENT_NETWORK__MAX_RETRIES", "7")
    monkeypatch.setenv("POLICY__TRANSIENT_NETWORK__MAX_DELAY", "1h")
    (policy,) = read_settings().retry.policies.items()
    assert policy[0] is FailureType.TRANSIENT_NETWORK
    assert policy[1].model_dump(exclude_none=True) == {"max_retries": 7, "max_delay": timedelta(hours=1)}


@pytest.mark.usefixtures("project")
def test_misspelt_policy_names(monkeypatch: pytest.MonkeyPatch):
    """A misspelt failure type or field after POLICY__ is named, with the word that was probably meant."""
    fields = [name.upper() for name in PolicyOverride.model_fields]
    lines = lines_for(
        monkeypatch,
        POLICY__TRANSIENT_NETWROK__MAX_RETRIES="1",
        POLICY__UNKNOWN__MAX_RETRYS="1",
        POLICY__UNKNOWN__BACKOFF="steep",
    )
    assert sorted(lines) == [
        "POLICY__TRANSIENT_NETWROK: expected a failure type after POLICY__; did you mean TRANSIENT_NETWORK?",
        "POLICY__UNKNOWN__BACKOFF='steep': expected one of exponential, linear, fibonacci, fixed, immediate",
        f"POLICY__UNKNOWN__MAX_RETRYS: expected one of {', '.join(fields)} at the end; did you mean MAX_RETRIES?",
    ]


@pytest.mark.usefixtures("project")
def test_breaker_of_a_dependency(monkeypatch: pytest.MonkeyPatch):
    """What is set for all breakers rules over the types', and what DEPENDENCY__<name>__ says rules over that."""
    nothing = read_settings().breaker.overrides_of("joke-api")
    assert (nothing.failures, nothing.break_duration, nothing.ratio) == (None, None, None)
    monkeypatch.setenv("BREAKER_FAILURES", "5")
    monkeypatch.setenv("BREAKER_SECONDS", "2m")
    monkeypatch.setenv("DEPENDENCY__JOKE_API__BREAKER_SECONDS", "20")
    breaker = read_settings().breaker
    assert (breaker.overrides_of("other").failures, breaker.overrides_of("other").break_duration) == (
        5,
        timedelta(minutes=2),
    )
    assert breaker.overrides_of("joke-api").failures == 5
    assert breaker.overrides_of("joke-api").break_duration == timedelta(seconds=20)
    monkeypatch.setenv("BREAKER_FAILURE_RATIO", "0.9")
    monkeypatch.setenv("BREAKER_HALF_OPEN_MAX_CALLS", "7")
    monkeypatch.setenv("BREAKER_WINDOW", "2m")
    monkeypatch.setenv("DEPENDENCY__JOKE_API__BREAKER_WINDOW", "90s")
    told = {name: read_settings().breaker.overrides_of(name) for name in ("other", "joke-api")}
    assert {name: (each.ratio, each.half_open_max_calls, each.window) for name, each in told.items()} == {
        "other": (0.9, 7, timedelta(minutes=2)),
        "joke-api": (0.9, 7, timedelta(seconds=90)),
    }


@pytest.mark.usefixtures("project")
def test_early_probes(monkeypatch: pytest.MonkeyPatch):
    """They go unless they are switched off, for all dependencies or for one."""
    assert read_settings().breaker.overrides_of("joke-api").early_probe is True
    monkeypatch.setenv("DEPENDENCY__JOKE_API__BREAKER_EARLY_PROBE", "false")
    breaker = read_settings().breaker
    assert (breaker.overrides_of("joke-api").early_probe, breaker.overrides_of("other").early_probe) == (False, True)
    monkeypatch.setenv("BREAKER_EARLY_PROBE", "false")
    monkeypatch.setenv("DEPENDENCY__JOKE_API__BREAKER_EARLY_PROBE", "true")
    breaker = read_settings().breaker
    assert (breaker.overrides_of("joke-api").early_probe, breaker.overrides_of("other").early_probe) == (True, False)


@pytest.mark.usefixtures("project")
def test_misspelt_dependency_field(monkeypatch: pytest.MonkeyPatch):
    """A misspelt field after DEPENDENCY__ is named, with the word that was probably meant."""
    lines = lines_for(
        monkeypatch, DEPENDENCY__JOKE_API__BREAKER_SECOND="1", DEPENDENCY__JOKE_API__BREAKER_FAILURES="few"
    )
    assert len(lines) == 2
    assert "DEPENDENCY__JOKE_API__BREAKER_FAILURES='few': expected a whole number, 1 or more" in lines
    assert any(line.endswith("did you mean BREAKER_SECONDS?") for line in lines)


@pytest.mark.usefixtures("project")
def test_peak_hours(monkeypatch: pytest.MonkeyPatch):
    """PEAK_HOURS are hours by the clock of TIMEZONE."""
    monkeypatch.setenv("PEAK_HOURS", "22 - 6")
    monkeypatch.setenv("TIMEZONE", "Europe/Berlin")
    peak = read_settings().off_peak.peak
    assert (peak.start, peak.end, str(peak.zone)) == (22, 6, "Europe/Berlin")


WRONG = {
    "DATABASE_URL": "mysql://somebody:secret@host/db",
    "LISTEN_DATABASE_URL": "nonsense",
    "EMBEDDED_POSTGRES": "17",
    "API_PORT": "99999",
    "MAX_QUEUE_SIZE": "-1",
    "IDEMPOTENCY_TTL": "0",
    "TASK_TYPES": "invoice=11:invoices",
    "WORKER_CONCURRENCY": "0",
    "SHUTDOWN_GRACE": "-1",
    "STALLED_AFTER": "0",
    "MAX_RETRIES": "many",
    "RETRY_MULTIPLIER": "nan",
    "RETRY_JITTER": "some",
    "RETRY_HTTP_500": "maybe",
    "TASK_TIMEOUTS": "fetch-joke=30s,send-email=soon",
    "FAILURE_RULES": "mycompany.errors.Busy",
    "RETRY_BUDGET": "2",
    "BREAKER_FAILURES": "0",
    "BREAKER_EARLY_PROBE": "maybe",
    "BREAKER_FAILURE_RATIO": "50",
    "PEAK_HOURS": "9-9",
    "TIMEZONE": "Mars/Olympus",
    "PEAK_COST_PER_HOUR": "-1",
    "API_BASE_URL": "joke-api",
    "LOG_LEVEL": "loud",
}


@pytest.mark.usefixtures("project")
def test_one_line_for_each_wrong_setting(monkeypatch: pytest.MonkeyPatch):
    """All wrong settings are reported at once, one line each, which begins with the setting's name."""
    lines = lines_for(monkeypatch, **WRONG)
    assert [line.partition("=")[0].partition(":")[0] for line in lines] == list(WRONG)
    assert all(": expected " in line and "\n" not in line for line in lines)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TASK_TYPES", f"invoice=4:{'q' * 41}"),  # No job could be put into it.
        ("TASK_TYPES", f"invoice=4:{'ä' * 21}"),
        ("DATA_DIR", "~nobody-of-this-name/afresh"),
        ("ALERT_ERROR_PERCENT", "nan"),
        ("RETRY_BUDGET", "nan"),
        ("BREAKER_FAILURE_RATIO", "nan"),
        ("LLM_BASE_URL", "http://models.example:port/v1"),
    ],
)
@pytest.mark.usefixtures("project")
def test_what_could_not_be_used_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str):
    """A value that would only fail where it is used is refused at the start."""
    (line,) = lines_for(monkeypatch, **{name: value})
    assert line.startswith(f"{name}=")


@pytest.mark.usefixtures("project")
def test_a_wrong_value_is_shown_as_typed(monkeypatch: pytest.MonkeyPatch):
    """What was typed is shown, not what was made of it."""
    (line,) = lines_for(monkeypatch, LOG_LEVEL="loud")
    assert line.startswith("LOG_LEVEL='loud': expected one of DEBUG, ")


@pytest.mark.usefixtures("project")
def test_a_wrong_address_is_not_shown(monkeypatch: pytest.MonkeyPatch):
    """A wrong database address is named, but its password is never printed."""
    (line,) = lines_for(monkeypatch, DATABASE_URL="mysql://somebody:secret@host/db")
    assert line == "DATABASE_URL: expected a PostgreSQL address such as postgresql://user@host/name"


@pytest.mark.usefixtures("project")
def test_settings_hide_secrets(monkeypatch: pytest.MonkeyPatch):
    """The password in an address does not appear in the settings' repr."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://somebody:hunter2@host/db")
    assert "hunter2" not in repr(read_settings())


def test_unreadable_dotenv(project: Path, monkeypatch: pytest.MonkeyPatch):
    """A `.env` that is not text is one line, not a traceback."""
    (project / ".env").write_bytes(b"MAX_RETRIES=\xff\n")
    (line,) = lines_for(monkeypatch)
    assert line.startswith(f"{project / '.env'}: cannot be read")


@pytest.mark.usefixtures("project")
def test_exit_code(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """A wrong value ends the process with code 2 and its line on standard error."""
    monkeypatch.setenv("MAX_RETRIES", "many")
    with pytest.raises(SystemExit) as exit_:
        load_settings()
    assert exit_.value.code == 2
    assert capsys.readouterr().err == "MAX_RETRIES='many': expected a whole number, 0 or more\n"


def test_misspelt_names_are_told(project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """A name that nothing reads and that looks like a setting is told with the one that was meant, and no value."""
    (project / ".env").write_text("MAX_RETRYS=3\nRETRY_BASE_DELAY=1\nMAX_HEADROOM=1\n")
    monkeypatch.setenv("RETRY_BASEDELAY", "secret")
    monkeypatch.setenv("POLICY__UNKNOWN__MAX_RETRIES", "1")
    assert load_settings().retry.max_retries == 5
    told = sorted(capsys.readouterr().err.splitlines())
    assert told == [
        "MAX_RETRYS is not read; did you mean MAX_RETRIES?",
        "RETRY_BASEDELAY is not read; did you mean RETRY_BASE_DELAY?",
    ]


@pytest.mark.parametrize("program", [["procrastinate", "--app=composed.app", "worker"], ["uvicorn", "composed:app"]])
def test_no_traceback_where_others_import_us(project: Path, program: list[str]):
    """Procrastinate's command line and uvicorn show the same line and code when they import a composition root."""
    (project / "composed.py").write_text("from app.config import load_settings\nload_settings()\n")
    environment = {**os.environ, "PYTHONPATH": f"{project}{os.pathsep}{ROOT}", "MAX_RETRIES": "many"}
    ended = subprocess.run(
        [sys.executable, "-m", *program], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "MAX_RETRIES='many': expected a whole number, 0 or more\n"


@pytest.mark.usefixtures("project")
def test_groups_are_frozen():
    """Settings are read once; nobody changes them on the way."""
    settings: Settings = read_settings()
    with pytest.raises(ValueError, match="frozen"):
        settings.retry.max_retries = 9  # type: ignore[misc]  # the promise is that this fails


@pytest.mark.usefixtures("project")
def test_groups_take_field_names():
    """A group can be made by its field names, without an environment; an unknown name is refused."""
    assert RetrySettings(max_retries=2).max_retries == 2
    with pytest.raises(ValueError, match="max_retrys"):
        RetrySettings(max_retrys=2)  # type: ignore[call-arg]  # the promise is that this fails


def test_a_line_that_is_none(project: Path, caplog: pytest.LogCaptureFixture):
    """A malformed line of `.env` is told once, and the others count."""
    (project / ".env").write_text("not a setting\nMAX_RETRIES=7\n")
    with caplog.at_level("WARNING", "dotenv.main"):
        assert read_settings().retry.max_retries == 7
    assert [record.getMessage() for record in caplog.records if "could not parse" in record.getMessage()] == [
        "python-dotenv could not parse statement starting at line 1"
    ]
