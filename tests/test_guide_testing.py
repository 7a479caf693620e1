"""The guide's page about testing is run as it stands: its files, by pytest, on a database of their own."""

import os
import subprocess
from pathlib import Path

from .test_guide import GUIDE, python_blocks, shell_lines

PAGE = "testing.md"
FILES = ("shop.py", "test_shop.py", "test_shop_in_postgres.py")


def test_the_page(database_url: str, tmp_path: Path):
    """The tests that the page shows pass, as many as it says, when they are run as it says."""
    for name, text in zip(FILES, python_blocks(PAGE), strict=True):
        (tmp_path / name).write_text(text, encoding="utf-8")
    where, migrate, run = shell_lines(PAGE)
    assert (where, migrate.endswith(" -m app migrate")) == ("export DATA_DIR=/tmp/afresh-tests", True)
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n", encoding="utf-8")
    ended = subprocess.run(
        ["/bin/sh", "-c", run],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(GUIDE.parents[1]), "DATABASE_URL": database_url},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    said = (GUIDE / PAGE).read_text(encoding="utf-8").split("```text\n")[1].split("\n")[0]
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert said in ended.stdout
