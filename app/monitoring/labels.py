"""What a metric may be labelled with: names that code or settings declare. What a client can make up is `other`.

Each value of a label is a series that Prometheus keeps for as long as anything.
"""

from typing import TYPE_CHECKING

from ..config.values import TASK_TYPES
from ..queue.task import options_of
from ..retry.policy import Fixed
from ..telemetry import Attempt

if TYPE_CHECKING:
    from ..queue.app import Afresh

OTHER = "other"

UNTYPED = "untyped"
"""The operation type of a task without one. To Prometheus, an empty label is none."""

LONGEST = 120
"""Characters of a label."""

MOST_OPERATIONS = 100
MOST_KINDS = 20
"""Operations of `retrying`, and kinds of them, that are told apart. Their names are written in code, as a rule."""

MOST_ERROR_TYPES = 50
"""Exception types that are told apart, of all tasks together."""

MOST_DEPENDENCIES = 100
"""Dependencies that are told apart: those of tasks, and then what `guarded` and single jobs name."""


class Bounded:
    """Names that nobody declares, such as those of exceptions: the first so many are told, the others are `other`."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._seen: dict[str, str] = {}

    def __call__(self, name: str) -> str:
        """The label for a name. May be called from any thread; a few too many may then get in."""
        label = self._seen.get(name)
        if label is None:
            if len(self._seen) >= self._most:
                return OTHER
            label = self._seen[name] = name[:LONGEST] or OTHER
        return label


class Names:
    """What the labels of one process may say."""

    def __init__(self, app: "Afresh") -> None:
        self._app = app
        self._operations = Bounded(MOST_OPERATIONS)
        self._kinds = Bounded(MOST_KINDS)
        self.error_type = Bounded(MOST_ERROR_TYPES)
        self.dependency = Bounded(MOST_DEPENDENCIES)

    def of(self, attempt: Attempt) -> tuple[str, str]:
        """The task's name and the operation type that an attempt is counted under."""
        if attempt.job_id is None:
            return self._operations(attempt.task_name), self._kinds(attempt.operation_type or UNTYPED)
        return self.task(attempt.task_name), self.kind(attempt.operation_type)

    def task(self, name: str) -> str:
        """The label for the task of a job, by its name or an alias."""
        task = self._app.tasks.get(name)
        return OTHER if task is None else task.name

    def kind(self, operation_type: str | None) -> str:
        """The label for the kind of work of a job, which its client may have named."""
        if operation_type is None or operation_type in self._declared_kinds():
            return operation_type or UNTYPED
        return OTHER

    def _declared_kinds(self) -> set[str]:
        of_tasks = {kind for task in self._app.tasks.values() if (kind := options_of(task).task_type)}
        return {*TASK_TYPES, *self._app.settings.submission.task_types, *of_tasks}

    def kind_of(self, task_name: str) -> str | None:
        """The kind of work that a task declares."""
        task = self._app.tasks.get(task_name)
        return None if task is None else options_of(task).task_type

    def counted(self, task_name: str) -> bool:
        """Whether the runs of a task are counted at all (`track_metrics`)."""
        task = self._app.tasks.get(task_name)
        tier = None if task is None else self._app.engine.tier_of(task)
        return tier.policy.track_metrics if isinstance(tier, Fixed) else True

    def tasks(self) -> list[str]:
        """Every task that is counted."""
        return sorted(task for task in {each.name for each in self._app.tasks.values()} if self.counted(task))

    def queues(self) -> list[str]:
        """The queues that tasks and settings name."""
        settings = self._app.settings
        kinds = {**TASK_TYPES, **settings.submission.task_types}.values()
        of_tasks = {task.queue for task in self._app.tasks.values()}
        return sorted({*of_tasks, *settings.worker.queues, *(kind.queue for kind in kinds)})

    def dependencies(self) -> list[str]:
        """What tasks rely on."""
        return sorted(set(self._app.own_dependencies()[1]))
