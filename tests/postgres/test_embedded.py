"""One server per data folder: shared while it is used, stopped with its last user, back after any crash."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import psutil
import psycopg
import pytest

from app.postgres.embedded import EmbeddedServer
from app.postgres.errors import EmbeddedServerError

from ..eventually import eventually_sync
from .conftest import Hold, Serve


def postmaster(server: EmbeddedServer) -> psutil.Process:
    """The process that postmaster.pid names."""
    return psutil.Process(int((server.home.data / "postmaster.pid").read_text().split("\n")[0]))


def kill_everything(server: EmbeddedServer) -> None:
    """SIGKILL to the postmaster and each of its children, which would otherwise end in good order."""
    processes = [postmaster(server), *postmaster(server).children(recursive=True)]
    for process in processes:
        process.kill()
    psutil.wait_procs(processes, timeout=10)
    eventually_sync(lambda: not server.is_running())


def settings(server: EmbeddedServer, *names: str) -> list[str]:
    """What the application's own connection sees."""
    with psycopg.connect(server.conninfo()) as conn:
        rows = conn.execute("SELECT current_setting(name) FROM unnest(%s::text[]) AS name", [list(names)]).fetchall()
    return [value for (value,) in rows]


def test_the_last_to_leave_stops_the_server(serve: Serve, hold: Hold):
    """Two processes share a server; it outlives the first to leave, not the last."""
    server, first, second = serve(), hold(), hold()
    assert first.says().startswith("ready")
    assert second.says().startswith("ready")
    assert first.leave() == 0
    assert server.is_running()
    assert second.leave() == 0
    assert not server.is_running()


def test_many_first_starts_at_once_make_one_server(serve: Serve, hold: Hold):
    """Processes that start together on a fresh folder all get the same server."""
    holders = [hold() for _ in range(4)]
    assert len({holder.says() for holder in holders}) == 1
    assert serve().is_running()


def test_users_within_one_process_count_each(serve: Serve):
    """The server stops when the last user within a process leaves, not the first."""
    server = serve()
    first, second = server.join(), server.join()
    first.close()
    first.close()
    assert server.is_running()
    second.close()
    assert not server.is_running()


def test_a_killed_process_leaves_no_share_behind(serve: Serve, hold: Hold):
    """After SIGKILL of one user, the other is the last and stops the server."""
    server, killed = serve(), hold()
    assert killed.says().startswith("ready")
    with server.join():
        killed.end()
    assert not server.is_running()


def test_killing_every_process_loses_nothing_that_was_committed(serve: Serve, hold: Hold):
    """After SIGKILL of the users, the postmaster and its children, the next run has the data."""
    server, holder = serve(durable=True), hold()
    assert holder.says().startswith("ready")
    with psycopg.connect(server.conninfo()) as conn:
        conn.execute("CREATE TABLE kept AS SELECT 1 AS answer")
    holder.end()
    kill_everything(server)
    with server.join(), psycopg.connect(server.conninfo()) as conn:
        assert conn.execute("SELECT answer FROM kept").fetchone() == (1,)


def test_a_server_left_alone_by_killed_users_is_taken_over(serve: Serve, hold: Hold):
    """A server whose users were all killed runs on, and the next user both finds and stops it."""
    server, holder = serve(), hold()
    assert holder.says().startswith("ready")
    pid = postmaster(server).pid
    holder.end()
    with server.join():
        assert postmaster(server).pid == pid
    assert not server.is_running()


def test_a_killed_postmaster_is_replaced_once_its_orphans_are_gone(serve: Serve):
    """A user who joins right after SIGKILL of the postmaster alone gets a new server."""
    server = serve()
    with server.join():
        old = postmaster(server)
        old.kill()
        psutil.wait_procs([old], timeout=10)
        with server.join(), psycopg.connect(server.conninfo()) as conn:
            assert conn.execute("SELECT 1").fetchone() == (1,)


def test_a_half_made_data_folder_is_made_again(serve: Serve):
    """A crash during initdb does not keep the next run from starting."""
    server = serve()
    server.home.account.run(["/bin/mkdir", server.home.path / "data.partial"], timeout=10)
    (server.home.path / "data.partial" / "PG_VERSION").write_text("18\n")
    with server.join():
        assert server.is_running()


def test_a_stranger_with_the_old_process_number_is_no_obstacle(serve: Serve):
    """After a crash and a reboot the postmaster's number may belong to another program of the same user."""
    server = serve()
    server.join().close()
    account = server.home.account
    root = os.geteuid() == 0
    with subprocess.Popen(["/bin/sleep", "60"], user=account.uid if root else None) as stranger:
        try:
            pid_file = server.home.data / "postmaster.pid"
            pid_file.write_text(f"{stranger.pid}\n{server.home.data}\n1\n5432\n{server.home.socket_dir}\n\n\n")
            with server.join():
                assert postmaster(server).name() == "postgres"
        finally:
            stranger.kill()


def test_a_dead_postmaster_that_nobody_buried_is_no_obstacle(serve: Serve, folder: Path):
    """Killed where the first process does not wait for strays, the postmaster keeps its number as a zombie."""
    server = serve()
    server.join().close()
    account = server.home.account
    program = Path(shutil.copy(shutil.which("true") or "/bin/true", folder / "postgres"))
    with subprocess.Popen([program], user=account.uid if os.geteuid() == 0 else None) as zombie:
        eventually_sync(lambda: psutil.Process(zombie.pid).status() == psutil.STATUS_ZOMBIE)
        for name in (server.home.data / "postmaster.pid", server.home.socket_dir / ".s.PGSQL.5432.lock"):
            name.write_text(f"{zombie.pid}\n{server.home.data}\n1\n5432\n{server.home.socket_dir}\n\n\n")
        with server.join():
            assert postmaster(server).pid != zombie.pid


def test_the_terminal_cannot_interrupt_the_server(serve: Serve):
    """The postmaster lives in a session of its own, so Ctrl-C reaches only the programs in front of it."""
    server = serve()
    with server.join():
        assert os.getsid(postmaster(server).pid) != os.getsid(0)


def test_an_interrupted_start_leaves_no_server(serve: Serve, hold: Hold):
    """Ctrl-C while the server starts ends the start, and the server with it."""
    server, holder = serve(), hold()
    eventually_sync(server.home.data.exists)
    holder.process.send_signal(signal.SIGINT)
    assert holder.leave() != 0
    assert not server.is_running()


def test_data_folders_do_not_disturb_each_other(serve: Serve, folder: Path):
    """Two checkouts run side by side; stopping one leaves the other."""
    one, other = serve(folder / "one"), serve(folder / "other")
    with one.join():
        with other.join(), psycopg.connect(other.conninfo()) as conn:
            conn.execute("CREATE TABLE only_here ()")
        with psycopg.connect(one.conninfo()) as conn:
            assert conn.execute("SELECT to_regclass('only_here')").fetchone() == (None,)


@pytest.mark.parametrize("name", ["deep/" * 30, 'with space, comma, "quote", $HOME and `echo`', "ünïcode"])
def test_any_path_will_do(serve: Serve, folder: Path, name: str):
    """A path too long for a socket, or full of separators, still has a server."""
    with serve(folder / name).join() as server, psycopg.connect(server.conninfo()) as conn:
        assert conn.execute("SELECT 1").fetchone() == (1,)


def test_commits_reach_the_disk_unless_data_are_thrown_away(serve: Serve):
    """Durability is given up by an explicit argument only, and comes back without it."""
    names = ["fsync", "synchronous_commit", "full_page_writes"]
    with serve(durable=False).join() as server:
        assert settings(server, *names) == ["off", "off", "off"]
    with serve(durable=True).join() as server:
        assert settings(server, *names) == ["on", "on", "on"]


def test_the_server_speaks_utc_and_english(serve: Serve):
    """What the machine is set to shows neither in times nor in messages."""
    with serve().join() as server:
        assert settings(server, "timezone", "lc_messages", "server_encoding") == ["UTC", "C", "UTF8"]


def test_the_application_is_no_superuser(serve: Serve):
    """What the application is talked into ends at its own database."""
    with serve().join() as server:
        assert settings(server, "is_superuser") == ["off"]


def test_programs_of_the_machine_are_not_used(serve: Serve, folder: Path, monkeypatch: pytest.MonkeyPatch):
    """Other PostgreSQL programs in PATH, and PG variables for other servers, change nothing."""
    poison = folder / "poison"
    poison.mkdir()
    for name in ("initdb", "pg_ctl", "postgres", "psql", "pg_dump"):
        (poison / name).write_text(f"#!/bin/sh\ntouch {folder}/used\nexit 1\n")
        (poison / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{poison}:{os.environ['PATH']}")
    for name, value in {"PGDATA": "/nowhere", "PGHOST": "/nowhere", "PGHOSTADDR": "192.0.2.1", "PGPORT": "1"}.items():
        monkeypatch.setenv(name, value)
    with serve().join() as server:
        assert settings(server, "server_version_num")[0].startswith("18")
    assert not (folder / "used").exists()


def test_sixteen_can_be_chosen_but_not_mixed(serve: Serve):
    """Another version of the programs runs, and refuses data that it did not make, in words."""
    with serve(version=16).join() as server:
        assert settings(server, "server_version_num")[0].startswith("16")
    with pytest.raises(EmbeddedServerError, match=r"made by PostgreSQL 16, and this is 18"):
        serve(version=18).join()


def test_a_start_that_fails_says_why_and_leaves_nothing(serve: Serve):
    """The server's own last words reach the person, with the place of the log."""
    server = serve()
    server.join().close()
    with (server.home.data / "postgresql.conf").open("a") as file:
        file.write("shared_preload_libraries = 'missing'\n")
    with pytest.raises(EmbeddedServerError, match=r"does not start: could not access file \"missing\".*server\.log"):
        server.join()
    assert not server.is_running()


def test_a_restart_keeps_its_users(serve: Serve):
    """A restart under its users, as after an operator's change, is followed by new connections."""
    server = serve()
    with server.join():
        before = postmaster(server).pid
        server.restart(mode="immediate")
        assert postmaster(server).pid != before
