"""What a person can mend is told in one line on standard error, and never as a traceback."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer

from ..config.environment import read_environment
from ..postgres.errors import PostgresError
from ..redact import redact_text


class Refusal(Exception):  # noqa: N818 - a refusal, not a defect
    """A command cannot do what it was asked for. The text is one line for a person."""


def refuse(line: str, *, code: int = 2) -> NoReturn:
    """End the command with this line."""
    print(f"afresh: {redact_text(line)}", file=sys.stderr)  # noqa: T201 - said to the person at the terminal
    raise typer.Exit(code)


@contextmanager
def told_in_one_line() -> Iterator[None]:
    """End the command with one line where the block raises what a person can mend.

    The exit code is 2 where only a change helps, and 1 where the same command may work later: a supervisor restarts it.
    """
    import psycopg

    try:
        yield
    except (Refusal, PostgresError) as error:
        refuse(str(error))
    except psycopg.OperationalError as error:
        named = "database of DATABASE_URL" if "DATABASE_URL" in read_environment() else "database"
        refuse(f"the {named} cannot be reached: {' '.join(str(error).split())}", code=1)
    except psycopg.Error as error:
        refuse(f"the database refuses: {' '.join(str(error).split())}")
