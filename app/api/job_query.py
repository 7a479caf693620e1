"""What a list of jobs can be narrowed by, as clients say it."""

from collections.abc import Mapping
from typing import Annotated, Any

import orjson
from fastapi import Depends, Query, Request
from pydantic import ConfigDict, Field

from ..queue.catalog import Catalog
from ..redact import is_secret
from ..store.jobs import JobFilter
from ..store.paging import SEARCHED
from ..web.errors import InvalidInput
from ..web.fields import Moment, QueueName, SearchText, State, Status, Text
from ..web.limits import MAX_DEPTH
from ..web.paging import BIGGEST_ID, PageQuery
from ..web.reading import queue_of

MOST_METADATA = 8
_METADATA = "metadata."

METADATA_HELP = """`metadata.key=value` narrows the list to jobs whose metadata contain that, and may be given up to 8
times; `metadata.order.id=12` looks deeper. A value that reads as a JSON number, true, false or null matches both that
and the same text; in double quotes it matches the text alone. Keys that name a secret cannot be searched for."""

SEARCH_HELP = f"""No index serves `task`, `task_type`, `scheduled_…`, `ended_…` and `text`. A page with one of them
looks at {SEARCHED:,} jobs, the newest of those that the other filters let through. It can hold fewer than `limit`, or
none, and still have a `next_cursor`, which goes on behind them; `total` then says how many there are at least."""


class JobFilterQuery(PageQuery):
    """Which jobs, and which part of them. Unknown names are looked at afterwards: metadata has its own."""

    model_config = ConfigDict(extra="allow")

    state: State | None = None
    status: Status | None = None
    task: QueueName | None = Field(None, description="Slug or full name.")
    queue: QueueName | None = None
    task_type: Text | None = Field(None, description="Of the job, or of its task.")
    batch: int | None = Field(None, ge=1, le=BIGGEST_ID, description="`batch_id` of a batch.")
    correlation_id: Text | None = None
    replay_of: int | None = Field(None, ge=1, le=BIGGEST_ID, description="The job in whose place they run.")
    created_from: Moment | None = Field(None, description="Made at this time or later; ISO 8601 with an offset.")
    created_to: Moment | None = Field(None, description="Made before.")
    scheduled_from: Moment | None = None
    scheduled_to: Moment | None = None
    ended_from: Moment | None = None
    ended_to: Moment | None = None
    text: SearchText | None = Field(
        None,
        description="Occurs in the name of the task or queue, a lock, the correlation id, or the message or class of "
        "a failure, in upper or lower case. Arguments are not searched.",
    )
    own: bool = Field(default=True, description="False: without the jobs that the clock makes for the service itself.")

    def chosen(self, catalog: Catalog) -> JobFilter:
        """The filter, as the store takes it.

        Raises:
            InvalidInput: An unknown name was given.
        """
        metadata, metadata_or = _metadata(self.model_extra or {})
        return JobFilter(
            state=self.state,
            status=self.status,
            task_name=catalog.full_name(self.task),
            queue=self.queue,
            task_type=self.task_type,
            tasks_of_type=catalog.of_type(self.task_type),
            batch=self.batch,
            correlation_id=self.correlation_id,
            metadata=metadata,
            metadata_or=metadata_or,
            replay_of=self.replay_of,
            created_from=self.created_from,
            created_to=self.created_to,
            scheduled_from=self.scheduled_from,
            scheduled_to=self.scheduled_to,
            ended_from=self.ended_from,
            ended_to=self.ended_to,
            text=self.text,
            without_own=None if self.own else True,
        )


async def _chosen(wanted: Annotated[JobFilterQuery, Query()], request: Request) -> tuple[JobFilterQuery, JobFilter]:
    return wanted, wanted.chosen((await queue_of(request)).catalog)


ChosenJobs = Annotated[tuple[JobFilterQuery, JobFilter], Depends(_chosen)]
"""What was asked for, and the filter that it comes to."""


def _metadata(extra: Mapping[str, Any]) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """What the ``metadata.…`` parameters ask for: every value as text, and each as JSON where it is some."""
    if not extra:
        return None, None
    as_text: dict[str, Any] = {}
    as_json: dict[str, Any] = {}
    for count, (name, value) in enumerate(extra.items(), start=1):
        path = _path(name)
        if count > MOST_METADATA or not isinstance(value, str):
            raise InvalidInput(name, f"a text, given once, and at most {MOST_METADATA} of them")
        scalar = _scalar(value)
        if "\0" in value or (isinstance(scalar, str) and "\0" in scalar):
            raise InvalidInput(name, "contains a NUL character")
        _put(as_text, path, scalar if value.startswith('"') and isinstance(scalar, str) else value, name)
        _put(as_json, path, scalar, name)
    return as_text, as_json


def _path(name: str) -> list[str]:
    if not name.startswith(_METADATA):
        raise InvalidInput(name, "unknown field")
    path = name.removeprefix(_METADATA).split(".")
    if not all(path) or "\0" in name or len(path) > MAX_DEPTH:
        raise InvalidInput(name, "metadata.key, or metadata.key.key")
    if any(map(is_secret, path)):
        raise InvalidInput(name, "names a secret, which cannot be searched for")
    return path


def _scalar(text: str) -> Any:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    return text if isinstance(value, dict | list) else value


def _put(tree: dict[str, Any], path: list[str], value: Any, name: str) -> None:
    for key in path[:-1]:
        tree = tree.setdefault(key, {})
        if not isinstance(tree, dict):
            raise InvalidInput(name, "goes below another value")
    if path[-1] in tree:
        raise InvalidInput(name, "goes above another value")
    tree[path[-1]] = value
