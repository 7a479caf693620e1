"""How often a process looks for garbage.

What a job or a request leaves behind is mostly freed by its reference counts; only cycles, such as tracebacks make,
wait for the collector.
"""

import gc

YOUNG_OBJECTS = 20_000
"""Objects that a process may make between two looks of the collector; some two megabytes."""


def collect_less_often() -> None:
    """Have the collector look every few hundred jobs, not every few: it was a tenth of what a failing job costs.

    A process that has set a threshold of its own keeps it where it is higher.
    """
    young, *older = gc.get_threshold()
    if 0 < young < YOUNG_OBJECTS:
        gc.set_threshold(YOUNG_OBJECTS, *older)
