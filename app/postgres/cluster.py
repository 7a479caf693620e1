"""One data folder and PostgreSQL's own programs for it: made by initdb, started and stopped by pg_ctl.

Who may do so, and when, is `embedded`'s business; here nothing is locked.
"""

import os
import re
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from .account import account_of, one_line
from .errors import EmbeddedServerError
from .home import Home
from .programs import Programs

ROLE = "afresh"
DATABASE = "afresh"
SUPERUSER = "postgres"

# Recovery after a crash replays up to max_wal_size, which a slow disk can take minutes over.
START_SECONDS = 600.0
STOP_SECONDS = 120.0
_INITDB_SECONDS = 300.0
_LOG_BYTES = 10_000_000

# Written to postgresql.conf when the data are made, so that ALTER SYSTEM can tune them.
_FIRST_SETTINGS = {
    "max_connections": "200",
    "shared_buffers": "128MB",
    "jit": "off",  # It pays for analytics; a queue's short statements only pay for it.
    "wal_level": "minimal",  # Nothing replicates this server; durability does not depend on it.
    "max_wal_senders": "0",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",  # The classifier reads the server's words where a SQLSTATE says too little.
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] %q%a ",
}

# For data that are thrown away, such as those of tests.
_WITHOUT_DURABILITY = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@dataclass(frozen=True, slots=True)
class Cluster:
    """The data of one home. ``durable=False`` is for data that are thrown away: they survive no power cut."""

    home: Home
    programs: Programs
    durable: bool = True

    def conninfo(self, *, user: str = ROLE, dbname: str = DATABASE) -> str:
        """How to connect. It holds no secret: the server asks the kernel who is calling."""
        return make_conninfo(
            host=str(self.home.socket_dir),
            hostaddr="",  # Overrules PGHOSTADDR of the environment, which would lead to another server.
            port=5432,
            requirepeer=self.home.account.name,  # Nobody else can pose as the server while it is down.
            user=user,
            dbname=dbname,
        )

    def answers(self) -> bool:
        """Whether the server takes connections.

        Raises:
            EmbeddedServerError: It runs, and refuses this process.
        """
        try:
            self._connect().close()
        except psycopg.OperationalError as error:
            refusal = one_line(str(error))
            if "FATAL" in refusal and "the database system is" not in refusal:  # ... starting up, shutting down.
                raise EmbeddedServerError(f"the embedded Postgres refuses this process: {refusal}") from error
            return False
        return True

    def start(self, *, inherit: int) -> None:
        """Start the server, whose processes inherit the descriptor, and wait until it takes connections.

        The data are made first where there are none.

        Raises:
            EmbeddedServerError: It does not start; the text has its last words.
        """
        self._make_data()
        self._check_version()
        self.home.write("pg_hba.conf", "local all all peer map=afresh\n")
        self.home.write("pg_ident.conf", _callers({self.home.account.name, account_of(os.geteuid()).name}))
        self.home.make_socket_dir()
        self._limit_log()
        command = ["start", "--wait", "--silent", f"--timeout={START_SECONDS:.0f}", f"--log={self.home.log.name}"]
        failed = self._pg_ctl([*command, f"--options={self._options()}"], START_SECONDS, inherit=inherit)
        if failed:
            raise EmbeddedServerError(f"the embedded Postgres does not start: {self._last_words() or failed}")

    def stop(self, mode: str = "fast") -> None:
        """Stop the server if it lives, and wait for its end; ``mode`` is pg_ctl's: fast, immediate or smart.

        Raises:
            EmbeddedServerError: It did not end.
        """
        if not self.postmaster_lives():
            return
        failed = self._pg_ctl(["stop", "--wait", f"--mode={mode}", f"--timeout={STOP_SECONDS:.0f}"], STOP_SECONDS)
        if failed and self.postmaster_lives():
            raise EmbeddedServerError(f"the embedded Postgres does not stop: {failed} (log: {self.home.log})")
        self.home.drop_socket_dir()

    def postmaster_lives(self) -> bool:
        """Whether the process that postmaster.pid names is a postgres at work on these data.

        After a crash the number may have passed to a stranger, and PostgreSQL would never start again for fear of
        it; then the files with that number are removed. If nobody has it, PostgreSQL's own checks are the better ones.
        """
        pid_file = self.home.data / "postmaster.pid"
        try:
            pid = abs(int(pid_file.read_text().partition("\n")[0]))  # Negative in PostgreSQL's single-user mode.
            if _is_postgres_of(psutil.Process(pid), self.home.data):
                return True
        except psutil.ZombieProcess:
            pass  # Dead, and its parent has not looked; PostgreSQL would take the number for a living process.
        except (OSError, psutil.NoSuchProcess):
            return False
        except ValueError:
            pass  # Torn by a power cut; as the number of a stranger, it would stand in the way for ever.
        for named in (pid_file, self.home.socket_dir / ".s.PGSQL.5432.lock"):
            named.unlink(missing_ok=True)
        return False

    def make_database(self) -> None:
        """Make the role and the database of the application, unless they are there.

        The role is no superuser: what the application is talked into ends at its own database, and the
        connections reserved for superusers stay free for `afresh psql`.
        """
        with self._connect() as conn:
            if not conn.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [ROLE]).fetchone():
                conn.execute(sql.SQL("CREATE ROLE {} LOGIN CREATEDB").format(sql.Identifier(ROLE)))
            if not conn.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
                owned = sql.SQL("CREATE DATABASE {} OWNER {}")
                conn.execute(owned.format(sql.Identifier(DATABASE), sql.Identifier(ROLE)))

    def _connect(self) -> psycopg.Connection:
        conninfo = self.conninfo(user=SUPERUSER, dbname="postgres")
        return psycopg.connect(conninfo, connect_timeout=10, autocommit=True)

    def _make_data(self) -> None:
        """Run initdb in a folder that gets its name when it is complete: a crash leaves no half of it."""
        if self.home.data.exists():
            return
        partial = self.home.data.with_name("data.partial")
        self._run(["/bin/rm", "-rf", partial.name], _INITDB_SECONDS)
        command = [
            str(self.programs.bin / "initdb"),
            f"--pgdata={partial.name}",
            f"--username={SUPERUSER}",
            "--auth=reject",
        ]
        command += ["--encoding=UTF8", "--no-locale", "--data-checksums", "--no-instructions"]
        if self.programs.version >= 17:  # noqa: PLR2004 - the first with a locale of its own, the same on every machine
            command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        if not self.durable:
            command += ["--no-sync"]
        command += [f"--set={name}={value}" for name, value in _FIRST_SETTINGS.items()]
        made = self._run(command, _INITDB_SECONDS)
        if made.returncode:
            raise EmbeddedServerError(f"initdb of {self.home.data} failed: {one_line(made.stderr)}")
        partial.rename(self.home.data)

    def _check_version(self) -> None:
        found = (self.home.data / "PG_VERSION").read_text().strip()
        if found != str(self.programs.version):
            raise EmbeddedServerError(
                f"{self.home.data} was made by PostgreSQL {found}, and this is {self.programs.version}: "
                "dump it with the former and restore it with the latter, or use another DATA_DIR"
            )

    def _options(self) -> str:
        """What makes the server safe, given at each start, so that no configuration file can undo it."""
        folder = str(self.home.socket_dir).replace('"', '""')
        settings = {
            "listen_addresses": "",
            "port": "5432",  # Only the name of the socket.
            "unix_socket_directories": f'"{folder}"',
            "unix_socket_permissions": "0700",
            "hba_file": str(self.home.path / "pg_hba.conf"),
            "ident_file": str(self.home.path / "pg_ident.conf"),
            "logging_collector": "off",
        }
        settings |= {} if self.durable else _WITHOUT_DURABILITY
        return shlex.join(word for name, value in settings.items() for word in ("-c", f"{name}={value}"))

    def _pg_ctl(self, arguments: list[str], within: float, *, inherit: int | None = None) -> str:
        """Run pg_ctl; an empty answer means that it succeeded, any other is its reason."""
        command = [str(self.programs.bin / "pg_ctl"), arguments[0], f"--pgdata={self.home.data.name}", *arguments[1:]]
        done = self._run(command, within + 60, pass_fds=() if inherit is None else [inherit])
        return one_line(done.stderr or done.stdout) if done.returncode else ""

    def _run(
        self, command: list[str], timeout: float, *, pass_fds: Sequence[int] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Run a program in the home, where relative names do: pg_ctl puts paths into a shell line unescaped."""
        return self.home.account.run(command, timeout=timeout, cwd=self.home.path, pass_fds=pass_fds)

    def _limit_log(self) -> None:
        """Keep one former log when the present one is long."""
        if self.home.log.exists() and self.home.log.stat().st_size > _LOG_BYTES:
            self.home.log.replace(self.home.log.with_suffix(".log.1"))

    def _last_words(self) -> str:
        """The log's last complaint."""
        if not self.home.log.exists():
            return ""
        with self.home.log.open("rb") as log:
            log.seek(max(0, self.home.log.stat().st_size - 4096))
            log_end = log.read().decode(errors="replace")
        complaints = re.findall(r"(?:FATAL|PANIC): +(.*)", log_end)
        return f"{complaints[-1]} (log: {self.home.log})" if complaints else ""


def _is_postgres_of(process: psutil.Process, data: Path) -> bool:
    """A postmaster works in the folder of its data; who may not look must assume so."""
    if process.name() != "postgres":
        return False
    try:
        return Path(process.cwd()) == data
    except psutil.AccessDenied:
        return True


def _callers(names: set[str]) -> str:
    """pg_ident: which user of the machine may call as which role. Root and the data's owner are the same to us."""
    roles = (ROLE, SUPERUSER)
    return "".join(f'afresh "{name}" {role}\n' for name in sorted(names) for role in roles)
