"""The short form of the chaos run; `make chaos` runs the long one."""

import sys

from . import chaos


def test_every_job_is_accounted_for():
    """Under random kills, restarts and cuts no job is lost, and none runs twice unless its process was killed."""
    account = chaos.run(seconds=20, seed=7, least=101)
    sys.stdout.write(f"{account}\n")
    assert not account.wrong, str(account)
    assert len(account.acknowledged) > 100
