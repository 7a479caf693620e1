"""The guide's pages about tasks and their submission: what they show is run, and their table is the code's."""

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import psycopg
from procrastinate import Blueprint

from app.queue.task import task

from .test_guide import block, python_blocks
from .test_guide_operations import ROOT


def run(folder: Path, database_url: str, blocks: list[str], caller: str) -> subprocess.CompletedProcess[str]:
    """Make a module of blocks, and have a program of its own call it."""
    (folder / "shop.py").write_text("\n".join(blocks), encoding="utf-8")
    return start(folder, database_url, "-c", f"from shop import *\n{caller}")


def start(folder: Path, database_url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program of Python in a folder; it ends well."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{folder}", "DATABASE_URL": database_url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def test_an_order_and_its_invoice(database_url: str, tmp_path: Path):
    """An order and its job are committed together, by the task's own terms; the second one is told of the first."""
    caller = f"""
import asyncio

async def main():
    async with await AsyncConnection.connect({database_url!r}) as conn:
        await place_order(conn, 7)
        await place_order(conn, 7)

asyncio.run(main())
"""
    with psycopg.connect(database_url, autocommit=True) as conn:
        conn.execute("CREATE TABLE orders (id integer)")
        done = run(tmp_path, database_url, python_blocks("submitting.md"), caller)
        jobs = conn.execute("SELECT queue_name, priority, args FROM afresh.jobs").fetchall()
        assert jobs == [("invoices", 7, {"order_id": 7})]
        assert conn.execute("SELECT count(*) FROM orders").fetchone() == (2,)
    assert done.stderr == "WARNING:root:job 1 does it already\n"


def test_the_tasks(database_url: str, tmp_path: Path):
    """The page's tasks are declared and deferred as it says, and run to the end."""
    caller = """
import asyncio

async def main():
    numbers = await sell()
    queue = create(read_settings())
    async with queue.open_async():
        await count_stock.defer_async(shelves=3)
        await queue.run_worker_async(queues=["parcels", "reports"], wait=False, install_signal_handlers=False)
    print(*numbers)

asyncio.run(main())
"""
    done = run(tmp_path, database_url, python_blocks("tasks.md"), caller)
    assert done.stdout == "1 2 3 4\n"
    with psycopg.connect(database_url) as conn:
        jobs = conn.execute(
            "SELECT task_name, state, priority, lock, result FROM afresh.jobs WHERE task_name ^@ 'shop.' ORDER BY id"
        ).fetchall()
    packed = [{"order": order, "fragile": order == 9, "attempt": 1} for order in (7, 8, 9)]
    assert jobs == [
        ("shop.pack", "succeeded", 5, None, packed[0]),
        ("shop.ship", "scheduled", 9, "parcels", None),
        ("shop.pack", "succeeded", 5, None, packed[1]),
        ("shop.pack", "succeeded", 5, None, packed[2]),
        ("shop.count_stock", "succeeded", 5, None, 36),
    ]


def test_the_table_of_options():
    """It has every option of `@task`, ours and Procrastinate's, and no other."""
    ours = [name for name in inspect.signature(task).parameters if name != "procrastinate_options"]
    theirs = [name for name in inspect.signature(Blueprint.task).parameters if name not in {"self", "_func"}]
    told = re.findall(r"^\| `(\w+)` \|", block("tasks.md", "options"), re.MULTILINE)
    assert sorted(told) == sorted({*ours, *theirs})


def test_code_that_moves(database_url: str, tmp_path: Path):
    """Jobs that a plain app has deferred are run by the same tasks under the other head, as are those after them."""
    before, tasks, after = python_blocks("procrastinate.md")
    caller = """
with app.open():
    charge.defer(order={number})
    welcome.defer(customer={number})
print(*(name for name, _ in app.periodic_registry.periodic_tasks))
"""
    run(tmp_path, database_url, [before, tasks], caller.format(number=1))
    said = run(tmp_path, database_url, [after, tasks], caller.format(number=2))
    assert "shop.send_digest" in said.stdout.split()
    start(
        tmp_path, database_url, "-m", "procrastinate", "--app=shop.app", "worker", "--one-shot", "--queues=orders,mail"
    )
    with psycopg.connect(database_url) as conn:
        jobs = conn.execute("SELECT task_name, lock, priority, state, result FROM afresh.jobs ORDER BY id").fetchall()
    welcomed = [("mails:welcome", None, 0, "succeeded", f"customer {number} is welcome") for number in (1, 2)]
    charged = [("shop.charge", "till", 0, "succeeded", number) for number in (1, 2)]
    assert [each for each in jobs if each[0] in {"shop.charge", "mails:welcome"}] == [
        charged[0],
        welcomed[0],
        charged[1],
        welcomed[1],
    ]
