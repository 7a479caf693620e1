"""What the rules are judged by."""

from app.monitoring.alerts.observe import HandedIn, Window, rates
from app.monitoring.alerts.rules import ERROR_RATE, SUCCESS_RATE
from app.store.samples import TaskWork


def test_what_the_clock_runs_is_no_work():
    """Tasks of ours that run every minute neither fill up the volume of a rate nor hide that others fail."""
    window = Window(
        300.0,
        [
            TaskWork(task_name="app.tasks.monitoring.sample_performance", submitted=5, succeeded=5),
            TaskWork(task_name="app.tasks.maintenance.purge_old_jobs", submitted=15, succeeded=15),
            TaskWork(task_name="shop.pay", submitted=2, failed=2, buried=2),
        ],
        HandedIn(submissions=2, repeats=0),
    )
    found = {each.rule: each for each in rates(window)}
    assert (found[ERROR_RATE].value, found[ERROR_RATE].volume) == (100.0, 2)
    assert (found[SUCCESS_RATE].value, found[SUCCESS_RATE].volume) == (0.0, 2)
