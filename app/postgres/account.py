"""Which user of the machine the embedded server runs as. Root never runs it: PostgreSQL refuses, with reason.

What a user can reach is found out by trying it as that user, never by reading modes, and no mode is ever changed.
"""

import errno
import fcntl
import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .errors import EmbeddedServerError

SYSTEM_ACCOUNT = "afresh-postgres"
_ACCOUNT_WAIT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Account:
    """A user of this machine, able to run programs."""

    name: str
    uid: int
    gid: int

    def run(
        self,
        command: Sequence[str | Path],
        *,
        timeout: float,
        cwd: Path = Path("/"),
        pass_fds: Sequence[int] = (),
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end as this user, in a session of its own, out of reach of the terminal's Ctrl-C.

        Raises:
            EmbeddedServerError: This process may not become that user, or the program took over ``timeout`` seconds.
            OSError: The program is missing, or out of that user's reach.
        """
        other = self.uid != os.geteuid()
        try:
            return subprocess.run(  # noqa: S603 - the wheel's own programs and fixed shell lines
                [str(part) for part in command],
                user=self.uid if other else None,
                group=self.gid if other else None,
                extra_groups=os.getgrouplist(self.name, self.gid) if other else None,
                cwd=cwd,
                env=clean_environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout,
                check=False,
                start_new_session=True,
                umask=0o077,
                pass_fds=pass_fds,
            )
        except PermissionError as error:
            if other and error.errno == errno.EPERM:
                raise EmbeddedServerError(
                    f"root may not become {self.name} here (no CAP_SETUID): set DATABASE_URL instead"
                ) from error
            raise
        except subprocess.TimeoutExpired as error:
            raise EmbeddedServerError(f"{Path(command[0]).name} took more than {timeout:.0f} s") from error

    def can_enter(self, folder: Path) -> bool:
        """Whether this user passes through every folder down to this one."""
        return self.run(["/bin/sh", "-c", 'cd -- "$1"', "sh", folder], timeout=30).returncode == 0

    def can_run(self, program: Path) -> bool:
        """Whether this user can execute the program; it is asked for its version."""
        try:
            return self.run([program, "--version"], timeout=30).returncode == 0
        except OSError:
            return False


def clean_environment() -> dict[str, str]:
    """The environment without what would steer PostgreSQL's programs to another server or language."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return kept | {"LC_ALL": "C"}


def account_of(uid: int) -> Account:
    """The account behind a user id.

    Raises:
        EmbeddedServerError: The id has no name; initdb and peer authentication need one.
    """
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        raise EmbeddedServerError(
            f"user id {uid} has no name in /etc/passwd, which the embedded Postgres needs: set DATABASE_URL instead"
        ) from None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def system_account() -> Account:
    """The unprivileged account that root's servers run as; made when it is missing. For root only.

    Raises:
        EmbeddedServerError: It cannot be made.
    """
    found = _system_account()
    if found:
        return found
    useradd = shutil.which("useradd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if useradd is None:
        raise EmbeddedServerError(
            f"root needs the system user {SYSTEM_ACCOUNT} for the embedded Postgres, and useradd is missing: "
            "make that user, or set DATABASE_URL"
        )
    with _alone_among_ours():
        return _system_account() or _add_account(useradd)


@contextmanager
def _alone_among_ours() -> Iterator[None]:
    """Let one of our processes at a time run useradd, whose own lock let two through at once.

    The later then erased the user that the earlier had made and that a server was already to run as. The folder is
    locked, not a file in it: useradd replaces its files.
    """
    folder = os.open("/etc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _system_account() -> Account | None:
    try:
        entry = pwd.getpwnam(SYSTEM_ACCOUNT)
    except KeyError:
        return None
    if entry.pw_uid == 0:
        raise EmbeddedServerError(f"the user {SYSTEM_ACCOUNT} is root: it must be an unprivileged user")
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _add_account(useradd: str) -> Account:
    """Other tools may be at /etc/passwd as well, which useradd then finds locked: it is tried again for a while."""
    command = [useradd, "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
    command += ["--shell", "/usr/sbin/nologin", "--comment", "Embedded Postgres of Afresh", SYSTEM_ACCOUNT]
    deadline = time.monotonic() + _ACCOUNT_WAIT_SECONDS
    while True:
        made = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")  # noqa: S603 - fixed words
        if found := _system_account():
            return found
        if time.monotonic() > deadline:
            reason = one_line(made.stderr)
            raise EmbeddedServerError(f"the system user {SYSTEM_ACCOUNT} cannot be made: {reason}; or set DATABASE_URL")
        time.sleep(0.2)


def one_line(text: str) -> str:
    """The last line that says something, for use inside a message."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no reason was given"
