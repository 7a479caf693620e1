"""Where the embedded server lives: its folder, its socket, and the account both belong to.

Nothing that exists is given another mode or owner. What is not as it must be is refused in one line.
"""

import contextlib
import hashlib
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .account import Account, account_of, system_account
from .errors import EmbeddedServerError
from .programs import make_system_dir

SYSTEM_DIR = Path("/var/lib/afresh")
SOCKET_NAME = ".s.PGSQL.5432"
_SUN_PATH_BYTES = 107
_NOTICE = "postgres.elsewhere"


@dataclass(frozen=True, slots=True)
class Home:
    """The server's folder (locks, log, access rules, ``data/``), mode 0700, and the account that owns it."""

    path: Path
    account: Account

    @property
    def data(self) -> Path:
        """What PostgreSQL calls PGDATA."""
        return self.path / "data"

    @property
    def log(self) -> Path:
        """What the server says."""
        return self.path / "server.log"

    @property
    def socket_dir(self) -> Path:
        """The folder of the server's socket: this one, or one below /tmp where this path is too long for a socket.

        It depends on the path alone, so that whoever joins finds it without asking. XDG_RUNTIME_DIR would differ
        between a login and a cron job of one user, and vanishes at logout.
        """
        longest = os.fsencode(self.path / f"{SOCKET_NAME}.lock")
        if len(longest) <= _SUN_PATH_BYTES and b"," not in longest:  # libpq takes a comma for a list of hosts.
            return self.path
        return Path("/tmp") / f"afresh-{self.account.uid}-{_digest(self.path)}"  # noqa: S108 - made 0700 and verified

    def write(self, name: str, text: str) -> None:
        """Replace a file of the home, readable by its account, in one step."""
        fd, partial = tempfile.mkstemp(prefix=f".{name}-", dir=self.path)
        with os.fdopen(fd, "w") as file:
            if self.account.uid != os.geteuid():
                os.fchown(fd, self.account.uid, self.account.gid)
            file.write(text)
        Path(partial).replace(self.path / name)

    def make_socket_dir(self) -> None:
        """Make the folder below /tmp where one is needed.

        Raises:
            EmbeddedServerError: Something that is not ours is in its place.
        """
        if self.socket_dir != self.path:
            _make_private(self.socket_dir, self.account)

    def drop_socket_dir(self) -> None:
        """Leave nothing below /tmp once the server is gone."""
        if self.socket_dir != self.path:
            with contextlib.suppress(OSError):  # Not empty, or not ours: then it stays.
                self.socket_dir.rmdir()


def find_home(data_dir: Path, *, system_dir: Path = SYSTEM_DIR) -> Home:
    """Find or make the server's folder for a DATA_DIR.

    A user's server lives in ``DATA_DIR/postgres`` and runs as that user. Root's runs as an unprivileged system
    account (or as the owner of data that another user already keeps there), in ``DATA_DIR/postgres`` where that
    account can enter DATA_DIR, else in ``system_dir``; then a note in DATA_DIR says so.

    Raises:
        EmbeddedServerError: There is no such place, or what is there is not safe to use.
    """
    try:
        data_dir.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
        data_dir = data_dir.resolve(strict=True)
        return _find_home_as_root(data_dir, system_dir) if os.geteuid() == 0 else _find_own_home(data_dir)
    except OSError as error:
        raise EmbeddedServerError(f"DATA_DIR: {error.filename or data_dir}: {error.strerror}") from error


def _find_own_home(data_dir: Path) -> Home:
    home = Home(data_dir / "postgres", account_of(os.geteuid()))
    _make_private(home.path, home.account)
    return home


def _find_home_as_root(data_dir: Path, system_dir: Path) -> Home:
    here = data_dir / "postgres"
    if here.is_symlink() or here.exists():
        return Home(here, _owner_of_data(here, data_dir))
    account = system_account()
    notice = data_dir / _NOTICE
    if not notice.exists() and account.can_enter(data_dir):
        _make_private(here, account)
        return Home(here, account)
    elsewhere = system_dir / _digest(data_dir)
    _check_or_write_notice(notice, elsewhere)
    make_system_dir(system_dir)
    _make_private(elsewhere, account)
    return Home(elsewhere, account)


def _owner_of_data(here: Path, data_dir: Path) -> Account:
    """Who root runs an existing server as: never somebody who merely was able to put a folder there first."""
    owner = here.lstat().st_uid
    if owner == 0:
        raise EmbeddedServerError(f"{here} belongs to root, and PostgreSQL does not run as root: move it away")
    account = account_of(owner) if owner == data_dir.stat().st_uid else system_account()
    _check_private(here, account)
    return account


def _check_or_write_notice(notice: Path, elsewhere: Path) -> None:
    """Leave word in DATA_DIR. A note that names another folder came with a DATA_DIR that was moved or copied."""
    if not notice.exists():
        notice.write_text(
            f"{elsewhere}\n"
            "The embedded Postgres of this folder keeps its data there: the unprivileged user it runs as cannot "
            "enter this folder.\nTo begin anew, delete both while nothing runs.\n"
        )
    named = notice.read_text().partition("\n")[0]
    if named != str(elsewhere):
        raise EmbeddedServerError(
            f"this DATA_DIR was moved or copied: its data are in {named}; "
            f"to keep them, mv {named} {elsewhere} and delete {notice}; to begin anew, only delete {notice}"
        )


def _make_private(folder: Path, account: Account) -> None:
    """Make a folder of mode 0700 that belongs to the account, in one step that others never see half done."""
    if not (folder.is_symlink() or folder.exists()):
        fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            if account.uid != os.geteuid():
                os.chown(fresh, account.uid, account.gid)
            fresh.rename(folder)
        except OSError:
            fresh.rmdir()
            if not folder.exists():  # Else another process was faster, which the check below judges.
                raise
    _check_private(folder, account)


def _check_private(folder: Path, account: Account) -> None:
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise EmbeddedServerError(f"{folder} is not a folder: move it away")
    if found.st_uid != account.uid:
        raise EmbeddedServerError(
            f"{folder} does not belong to {account.name}: use another DATA_DIR, or the user it belongs to"
        )
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise EmbeddedServerError(
            f"{folder} is open to other users (mode {stat.S_IMODE(found.st_mode):04o}): chmod 700"
        )


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
