"""Being asked to stop, whatever the process does at that instant."""

import subprocess
import sys

ASKED_AT_RANDOM = """
import random, signal
from app.cli.supervise import StopSignals

signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
for number in range(2000):
    with StopSignals() as stop:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 5e-4))
        while not stop.wait(1e-6):
            pass
        assert stop.asked and stop.wait(60.0) and not stop.hasty
print(number + 1)
"""


def test_a_signal_at_any_instant():
    """A signal that comes while the process goes to sleep, or wakes up, is noted like any other."""
    asked = subprocess.run([sys.executable, "-c", ASKED_AT_RANDOM], timeout=60, check=True, capture_output=True)
    assert asked.stdout == b"2000\n"
