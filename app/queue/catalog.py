"""What can be asked for: every task by its names, and its arguments checked before a job exists.

Never calls a task, and never changes an argument: a task receives what was sent.
"""

import difflib
import inspect
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, NotRequired, Required, get_type_hints

from procrastinate.retry import BaseRetryStrategy, RetryStrategy
from procrastinate.tasks import Task
from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError, with_config
from pydantic_core import ErrorDetails, PydanticSerializationError
from typing_extensions import TypedDict

from ..config import Settings
from ..retry.policy import ByType, Fixed, Tier
from .task import DEFAULT_PRIORITY, Outbound, options_of, runs_in_loop

AnyTask = Task[Any, Any, Any]


class UnknownTask(LookupError):  # noqa: N818  Reads as what happened.
    """No task has this name."""

    def __init__(self, name: str, close: list[str]) -> None:
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
        super().__init__(f"no task is called {name[:200]!r}{hint}")
        self.name = name
        self.close = close


class InvalidArguments(ValueError):  # noqa: N818  Reads as what happened.
    """The arguments do not fit the task.

    Attributes:
        faults: What is wrong, by argument; a dotted path leads into it.
    """

    def __init__(self, task_name: str, faults: Mapping[str, str]) -> None:
        super().__init__(f"{task_name}: " + "; ".join(f"{name}: {fault}" for name, fault in faults.items()))
        self.faults = dict(faults)


@dataclass(frozen=True, slots=True)
class TaskInfo:
    """A task as those see it who ask for it.

    Attributes:
        name: The full name, which jobs carry.
        slug: The short name in addresses; None where two plain tasks would share it.
        description: Its docstring.
        http: Whether it may be deferred over HTTP.
        outbound: Whether the number of its jobs that a key hands in is limited; ask `reaches_out`.
        is_async: Whether it can be stopped from outside while it runs.
        max_retries: As its own strategy says, or MAX_RETRIES where that bounds the policy of each failure's type; None:
            unlimited, or up to that policy.
        arguments: JSON schema of its arguments, an object.
    """

    name: str
    slug: str | None
    aliases: tuple[str, ...]
    description: str
    queue: str
    priority: int
    lock: str | None
    queueing_lock: str | None
    depends_on: str | None
    timeout: timedelta | None
    task_type: str | None
    http: bool
    outbound: Outbound
    is_async: bool
    max_retries: int | None
    arguments: dict[str, Any]

    def reaches_out(self, args: Mapping[str, Any]) -> bool:
        """Whether a job with these arguments counts against what a key may hand in."""
        return self.outbound(args) if callable(self.outbound) else self.outbound


class Catalog:
    """The tasks of one app. Tasks that are registered later are seen too."""

    def __init__(
        self,
        tasks: Mapping[str, AnyTask],
        tier_of: Callable[[AnyTask], Tier | None],
        settings: Settings | None = None,
    ) -> None:
        """Look tasks up in `tasks`, which maps names and aliases; `tier_of` says who decides about their failures.

        Without `settings` arguments are judged by their types alone.
        """
        self._settings = settings
        self._tasks = tasks
        self._tier_of = tier_of
        self._names: dict[str, AnyTask] = {}
        self._known = 0
        self._infos: dict[str, TaskInfo] = {}
        self._arguments: dict[str, _Arguments] = {}

    def __iter__(self) -> Iterator[TaskInfo]:
        """Every task, in order of its name."""
        return (self.resolve(name) for name in sorted({task.name for task in self._tasks.values()}))

    def queues(self) -> list[str]:
        """The queues that tasks name, in order."""
        return sorted({info.queue for info in self})

    def resolve(self, name: str) -> TaskInfo:
        """Find a task by its full name, an alias or its slug.

        Raises:
            UnknownTask: None has this name.
        """
        found = self.find(name)
        if found is None:
            raise UnknownTask(name, difflib.get_close_matches(name, self._by_name(), n=2))
        return found

    def find(self, name: str) -> TaskInfo | None:
        """As `resolve`, for names of the past: None where no task is called so any more."""
        task = self._tasks.get(name) or self._by_name().get(name)
        if task is None:
            return None
        if task.name not in self._infos:
            self._infos[task.name] = self._describe(task)
        return self._infos[task.name]

    def full_name(self, name: str | None) -> str | None:
        """A task's own name, given any; as it is where no task is called so any more."""
        info = self.find(name) if name else None
        return info.name if info else name

    def relying_on(self, dependency: str | None) -> tuple[str, ...]:
        """The names of the tasks that rely on it by themselves; none for None."""
        return tuple(info.name for info in self if info.depends_on == dependency) if dependency else ()

    def of_type(self, task_type: str | None) -> tuple[str, ...]:
        """The names of the tasks that are of a type by themselves; none for None."""
        return tuple(info.name for info in self if info.task_type == task_type) if task_type else ()

    def validate(self, info: TaskInfo, args: dict[str, Any]) -> dict[str, Any]:
        """Return `args` if the task can be called with them.

        Types are strict, as JSON knows them: ``"5"`` is no int, and a datetime is ISO text.

        Raises:
            InvalidArguments: At least one is unknown, missing or of another type.
        """
        task = self._tasks[info.name]
        faults: Mapping[str, str] = self._arguments_of(task).faults(args)
        check = options_of(task).check
        if not faults and check is not None and self._settings is not None:
            faults = check(args, self._settings)
        if faults:
            raise InvalidArguments(info.name, faults)
        return args

    def dependency_of(self, info: TaskInfo, args: Mapping[str, Any]) -> str | None:
        """What a job of a task with these arguments relies on; None: what its task does."""
        find = options_of(self._tasks[info.name]).dependency_of
        return None if find is None else find(args)

    def _by_name(self) -> dict[str, AnyTask]:
        """Names, aliases and slugs. A slug that was declared wins over one that only follows from a function's name."""
        if self._known != len(self._tasks):
            self._known = len(self._tasks)
            self._names = {**_slugs(set(self._tasks.values())), **self._tasks}
        return self._names

    def _arguments_of(self, task: AnyTask) -> "_Arguments":
        if task.name not in self._arguments:
            self._arguments[task.name] = _Arguments(task)
        return self._arguments[task.name]

    def _describe(self, task: AnyTask) -> TaskInfo:
        options = options_of(task)
        slug = options.slug if self._by_name().get(options.slug) is task else None
        return TaskInfo(
            name=task.name,
            slug=slug,
            aliases=tuple(task.aliases),
            description=inspect.getdoc(task.func) or "",
            queue=task.queue,
            priority=task.priority or DEFAULT_PRIORITY,  # Procrastinate keeps no trace of who said 0.
            lock=task.lock,
            queueing_lock=task.queueing_lock,
            depends_on=options.depends_on,
            timeout=options.timeout,
            task_type=options.task_type,
            http=not _is_builtin(task) if options.http is None else options.http,
            outbound=options.outbound,
            is_async=runs_in_loop(task),
            max_retries=_max_retries(self._tier_of(task), task.retry_strategy),
            arguments=self._arguments_of(task).schema,
        )


def _slugs(tasks: set[AnyTask]) -> dict[str, AnyTask]:
    declared = {options_of(task).slug: task for task in tasks if hasattr(task, "afresh_options")}
    plain = [task for task in tasks if not hasattr(task, "afresh_options")]
    times = Counter(options_of(task).slug for task in plain)
    return {slug: task for task in plain if times[slug := options_of(task).slug] == 1} | declared


def _is_builtin(task: AnyTask) -> bool:
    return (getattr(task.func, "__module__", None) or "").partition(".")[0] == "procrastinate"


def _max_retries(tier: Tier | None, strategy: BaseRetryStrategy | None) -> int | None:
    """The limit of a task before any failure has happened."""
    match tier:
        case Fixed(policy):
            return policy.max_retries
        case ByType(max_retries_bound=bound):
            return bound
        case _:
            # Procrastinate's 0 means unlimited, and what it calls attempts are retries.
            return strategy.max_attempts or None if isinstance(strategy, RetryStrategy) else None


class _Arguments:
    """The parameters of one task as a JSON object, made from its signature."""

    def __init__(self, task: AnyTask) -> None:
        parameters = list(inspect.signature(task.func).parameters.values())[1 if task.pass_context else 0 :]
        self._hints = _hints(task)
        fields: dict[str, Any] = {}
        for parameter in parameters:
            if parameter.kind in {parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD}:
                needed = parameter.default is parameter.empty
                kind = _usable(self._hints.get(parameter.name, Any))
                fields[parameter.name] = Required[kind] if needed else NotRequired[kind]
        open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
        shape = TypedDict("arguments", fields)  # type: ignore[misc]  # The fields are known at run time only.
        extra: Literal["allow", "forbid"] = "allow" if open_ended else "forbid"
        self._adapter: TypeAdapter[Any] = TypeAdapter(with_config(ConfigDict(extra=extra))(shape))
        self.schema = _with_defaults(self._adapter.json_schema(), parameters)
        self._names = tuple(self.schema.get("properties", ()))

    def faults(self, args: dict[str, Any]) -> dict[str, str]:
        """What is wrong with `args`, by argument."""
        try:
            self._adapter.validate_json(json.dumps(args), strict=True)
        except ValidationError as error:
            details = error.errors(include_url=False, include_input=False, include_context=False)
            return {".".join(map(str, found["loc"])): self._sentence(found) for found in details}
        return {}

    def _sentence(self, found: ErrorDetails) -> str:
        match found["type"]:
            case "missing":
                return "missing"
            case "extra_forbidden" if len(found["loc"]) == 1:
                return f"unknown argument; the task takes {', '.join(self._names) or 'none'}"
            case _:
                return found["msg"].removeprefix("Value error, ")


def _hints(task: AnyTask) -> dict[str, Any]:
    """The annotations; those of a module that only a type checker imports cannot be resolved, and say nothing."""
    try:
        return get_type_hints(inspect.unwrap(task.func), include_extras=True)
    except (NameError, TypeError, AttributeError):
        return {}


def _usable(kind: Any) -> Any:
    """`kind` where JSON can be checked against it, else Any: the task itself then judges."""
    try:
        # As a field, which may have an alias: no parameter of Python's can be called "from".
        field: dict[str, Any] = {"it": kind}
        argument = TypedDict("argument", field)  # type: ignore[misc]  # The kind is known at run time only.
        TypeAdapter(argument).json_schema()
    except (PydanticUserError, PydanticSerializationError, TypeError, NameError):
        return Any
    return kind


def _with_defaults(schema: dict[str, Any], parameters: list[inspect.Parameter]) -> dict[str, Any]:
    """Add the defaults, which a TypedDict cannot carry, where JSON can."""
    for parameter in parameters:
        field = schema.get("properties", {}).get(parameter.name)
        if field is not None and isinstance(parameter.default, str | int | float | bool | None):
            field["default"] = parameter.default
    schema.pop("title", None)
    return schema
