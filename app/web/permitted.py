"""Which tasks a caller may hand in."""

from ..queue.app import Afresh
from ..queue.catalog import TaskInfo
from ..store.keys import Role
from .errors import NotOverHttp
from .keyring import LOCAL, Caller


def deferrable(queue: Afresh, task: str, caller: Caller) -> TaskInfo:
    """Find a task that the caller can defer over HTTP.

    Raises:
        UnknownTask: There is none of this name.
        NotOverHttp: It is the server's own, for admins.
    """
    info = queue.catalog.resolve(task)
    if not info.http and (caller == LOCAL or caller.role < Role.ADMIN):
        raise NotOverHttp(f"{info.name} is for the server's own use")
    return info
