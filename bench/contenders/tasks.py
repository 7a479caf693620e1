"""The workload's tasks, declared as a user's module declares them, for a server that loads TASK_MODULES."""

from app.queue.task import task

from .workload import TASKS

for name, function in TASKS.items():
    task(name=name)(function)
