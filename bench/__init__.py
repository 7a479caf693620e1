"""The numbers we promise, measured: `python -m bench`. Each module of `SUITES` measures some rows of one table."""
