"""Where settings are read from: the environment, above the nearest `.env`. Never writes either."""

import os
from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

from dotenv import dotenv_values
from pydantic import Field
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

_BEGINNING = 3


class SettingsError(Exception):
    """Some settings are wrong; `lines` holds one line for each."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


def project_root(start: Path | None = None) -> Path:
    """Return the nearest folder, from `start` (the working directory) upwards, with `.env` or `pyproject.toml`.

    Where there is none, `start` itself.
    """
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / ".env").is_file() or (folder / "pyproject.toml").is_file():
            return folder
    return start


def read_environment() -> dict[str, str]:
    """Return what is set, by its name: the environment wins over `.env`, and an empty value means unset.

    Raises:
        SettingsError: `.env` is not UTF-8 text, or may not be read.
    """
    path = project_root() / ".env"
    try:
        written = _written(path, path.stat().st_mtime_ns) if path.is_file() else {}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read ({error})") from error
    return {name: value for name, value in {**written, **os.environ}.items() if value}


@lru_cache(maxsize=1)
def _written(path: Path, _changed_at: int) -> Mapping[str, str | None]:
    """Read the file once, and not for each group: a line that is none is told once."""
    return dotenv_values(path)


def near_misses(typed: Iterable[str], known: Collection[str]) -> dict[str, str]:
    """Names that nothing reads and that look like one of ours, such as MAX_RETRYS, with the name that was meant.

    Only names that begin alike are compared: an environment has a hundred names of other people's.
    """
    families = tuple(name for name in known if name.endswith("__"))
    alike: dict[str, list[str]] = {}
    for name in known:
        alike.setdefault(name[:_BEGINNING], []).append(name)
    unread = (name for name in typed if name not in known and not name.startswith(families))
    found = {name: get_close_matches(name, alike.get(name[:_BEGINNING], ()), n=1, cutoff=0.85) for name in unread}
    return {name: close[0] for name, close in found.items() if close}


def setting(name: str, default: object, meaning: str, *, secret: bool = False) -> Any:
    """Declare a setting: the `name` people type, its `default` as they would type it, and one line of meaning.

    A name that ends in two underscores stands for all names that begin with it. The value of a `secret` is never
    shown, neither in a repr nor in an error line.
    """
    return Field(default=default, title=name, description=meaning, repr=not secret)


class EnvironmentSource(PydanticBaseSettingsSource):
    """Finds a field by the name it was declared with and by no other.

    The sources that come with pydantic-settings also look a field up by its Python name as soon as tests may
    construct a group by field names, and then an unrelated `URL`, `HOST` or `LEVEL` would configure us.
    """

    def __init__(self, settings_cls: type[BaseSettings]) -> None:
        super().__init__(settings_cls)
        self._environment = read_environment()

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return the text that was typed, or None, with the field's name; never JSON."""
        name = field.title or field_name
        typed = _nested(self._environment, name) if name.endswith("__") else self._environment.get(name)
        return typed, field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return what was typed, by field name."""
        found = (self.get_field_value(field, name) for name, field in self.settings_cls.model_fields.items())
        return {name: typed for typed, name, _ in found if typed is not None}


def _nested(environment: Mapping[str, str], prefix: str) -> dict[str, dict[str, str]] | None:
    """Read ``PREFIX__TYPE__FIELD=value`` into ``{"TYPE": {"field": "value"}}``."""
    tree: dict[str, dict[str, str]] = {}
    for name, typed in environment.items():
        if name.startswith(prefix):
            branch, _, leaf = name.removeprefix(prefix).partition("__")
            tree.setdefault(branch, {})[leaf.lower()] = typed
    return tree or None


class Group(BaseSettings):
    """Settings that belong together, frozen, and passed on as one."""

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(frozen=True, extra="forbid", validate_default=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read what the constructor was given, then what the environment says."""
        del env_settings, dotenv_settings, file_secret_settings  # EnvironmentSource says why.
        return init_settings, EnvironmentSource(settings_cls)
