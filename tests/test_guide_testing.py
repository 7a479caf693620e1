"""The guide's page about testing is run as it stands: its files, by pytest, on a database of their own."""

import os
import subprocess
from pathlib import Path

from .servers import temporary_folder
from .test_guide import GUIDE, python_blocks, shell_lines

PAGE = "testing.md"
FILES = ("shop.py", "test_shop.py", "test_shop_in_postgres.py")


def test_the_page(tmp_path: Path):
    """The tests that the page shows pass, as many as it says, when they are run as it says."""
    for name, text in zip(FILES, python_blocks(PAGE), strict=True):
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n", encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    with temporary_folder() as data:
        lines = [line.replace("/tmp/afresh-tests", str(data)) for line in shell_lines(PAGE)]  # noqa: S108  What the page says, put elsewhere.
        ended = subprocess.run(
            ["/bin/sh", "-c", "\n".join(["set -e", *lines])],
            cwd=tmp_path,
            env=environment | {"PYTHONPATH": str(GUIDE.parents[1])},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert (data / "postgres").is_dir(), ended.stderr
    said = (GUIDE / PAGE).read_text(encoding="utf-8").split("```text\n")[1].split("\n")[0]
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert said in ended.stdout
