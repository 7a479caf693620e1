"""Exceptions with which a task, or who runs it, says what happened. They win over every reading of the failure."""

from datetime import timedelta

from .failure import FailureType


class RetryLater(Exception):  # noqa: N818 - it is raised to ask, not because something is wrong
    """Raise it to run again later.

    Attributes:
        after: The wait that is asked for; a floor for the policy's delay.
        type: How it is counted and which policy applies.
    """

    def __init__(
        self,
        message: str = "the task asks to run again later",
        *,
        after: timedelta | float | None = None,
        type: FailureType = FailureType.TRANSIENT_RESOURCE,  # noqa: A002 - the word of the taxonomy
    ) -> None:
        """`after`: a timedelta or seconds, not negative.

        Raises:
            ValueError: `after` is negative.
        """
        super().__init__(message)
        wait = None if after is None else after if isinstance(after, timedelta) else timedelta(seconds=after)
        if wait is not None and wait < timedelta():
            raise ValueError("after must not be negative")
        self.after = wait
        self.type = type


class Permanent(Exception):  # noqa: N818 - it is raised to decide, whatever the error was
    """Raise it where trying again cannot help.

    Attributes:
        type: What kind of failure it is; its remediation is shown to the operator.
    """

    def __init__(
        self,
        message: str = "the task says that trying again cannot help",
        *,
        type: FailureType = FailureType.PERMANENT_VALIDATION,  # noqa: A002 - the word of the taxonomy
    ) -> None:
        super().__init__(message)
        self.type = type


class OverLimit(TimeoutError):  # noqa: N818 - it is what happened, whatever the code made of being stopped
    """Code was still running at its time limit. Raised by whoever runs it, from what it raised when it was stopped."""
