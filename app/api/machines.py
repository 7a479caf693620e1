"""Workers and machines over HTTP."""

from datetime import timedelta

from fastapi import APIRouter
from pydantic import BaseModel, Field

from ..monitoring.resources import look_around
from ..store.workers import SHOWN, Host, Worker, WorkerStatus, hosts_of, list_workers
from ..web.auth import VIEWER
from ..web.fields import Time
from ..web.limits import StrictRoute
from ..web.problem import responses
from ..web.reading import Queue, ReadingConnection

router = APIRouter(prefix="/monitoring", tags=["monitoring"], route_class=StrictRoute, dependencies=[VIEWER])


class WorkerReport(BaseModel):
    """A worker, as it described itself. A plain Procrastinate worker says nothing but that it lives."""

    worker_id: int = Field(examples=[1])
    name: str | None = Field(examples=["worker-1"])
    status: WorkerStatus = Field(description="lost: silent for too long without having said that it stops.")
    host: str | None = Field(examples=["node-1"])
    pid: int | None = Field(examples=[4711])
    version: str | None = Field(examples=["0.1.0"])
    queues: list[str] | None = Field(description="Those it takes jobs from; null: all.", examples=[None])
    concurrency: int | None = Field(examples=[10])
    running_jobs: int = Field(examples=[4])
    heartbeat_age_seconds: float | None = Field(examples=[2.5])
    memory_bytes: int | None = Field(description="Of its process, resident.", examples=[94_371_840])
    started_at: Time | None
    stopped_at: Time | None


class DiskReport(BaseModel):
    """A file system that this process writes to."""

    path: str = Field(examples=["/srv/afresh/.afresh"])
    total_bytes: int = Field(examples=[500_107_862_016])
    free_bytes: int = Field(examples=[250_053_931_008])
    percent: float = Field(examples=[50.0])


class ProcessReport(BaseModel):
    """The process that answers."""

    pid: int = Field(examples=[4712])
    memory_bytes: int = Field(description="Resident.", examples=[120_586_240])
    threads: int = Field(examples=[6])


class HostReport(BaseModel):
    """A host with workers, as the fullest of them saw it with its last heartbeat."""

    host: str = Field(examples=["node-1"])
    workers: int = Field(examples=[2])
    cpu_percent: float = Field(examples=[35.0])
    memory_percent: float = Field(examples=[61.5])
    disk_percent: float = Field(examples=[50.0])
    overloaded: bool = Field(description="A worker there takes no jobs because of it.")


class ResourceLimits(BaseModel):
    """In percent; 0: none."""

    cpu_percent: float = Field(description="MAX_CPU_PERCENT", examples=[0])
    memory_percent: float = Field(description="MAX_MEMORY_PERCENT", examples=[85])
    disk_percent: float = Field(description="MAX_DISK_PERCENT", examples=[90])


class Resources(BaseModel):
    """How full the machines are: the one that answers, and those of the workers."""

    host: str = Field(description="The one that answers.", examples=["node-1"])
    cpu_percent: float = Field(description="Since the last request; of its container, if that is fuller.")
    memory_percent: float = Field(description="Likewise.", examples=[61.5])
    memory_total_bytes: int = Field(examples=[16_777_216_000])
    disks: list[DiskReport]
    process: ProcessReport
    hosts: list[HostReport] = Field(description="Those of the workers that live.")
    limits: ResourceLimits


@router.get("/workers", summary="List the workers", responses=responses(503))
async def show_workers(conn: ReadingConnection, queue: Queue) -> list[WorkerReport]:
    """Return the workers that live, and those that stopped or were lost within the last hour; 1 000 at most."""
    return [_worker(each) for each in await list_workers(conn, stalled_after=_stalled_after(queue), kept=SHOWN)]


@router.get("/resources", summary="Show how full the machines are", responses=responses(503))
async def show_resources(conn: ReadingConnection, queue: Queue) -> Resources:
    """Return CPU, memory and disk of the machine that answers and of those of the workers, beside their limits."""
    here = look_around(queue)
    settings = queue.settings
    return Resources(
        host=here.host,
        cpu_percent=here.cpu_percent,
        memory_percent=here.memory_percent,
        memory_total_bytes=here.memory_total_bytes,
        disks=[
            DiskReport(path=each.path, total_bytes=each.total, free_bytes=each.free, percent=each.percent)
            for each in here.disks
        ],
        process=ProcessReport(pid=here.pid, memory_bytes=here.process_bytes, threads=here.threads),
        hosts=[_host(each) for each in hosts_of(await list_workers(conn, stalled_after=_stalled_after(queue)))],
        limits=ResourceLimits(
            cpu_percent=settings.worker.max_cpu_percent,
            memory_percent=settings.worker.max_memory_percent,
            disk_percent=settings.alert.max_disk_percent,
        ),
    )


def _stalled_after(queue: Queue) -> timedelta:
    return queue.settings.worker.stalled_after


def _worker(found: Worker) -> WorkerReport:
    return WorkerReport(
        worker_id=found.worker_id,
        name=found.name,
        status=found.status,
        host=found.host,
        pid=found.pid,
        version=found.version,
        queues=found.queues,
        concurrency=found.concurrency,
        running_jobs=found.running,
        heartbeat_age_seconds=found.heartbeat_age_seconds,
        memory_bytes=found.memory_bytes,
        started_at=found.started_at,
        stopped_at=found.stopped_at,
    )


def _host(found: Host) -> HostReport:
    return HostReport(
        host=found.name,
        workers=found.workers,
        cpu_percent=found.cpu_percent,
        memory_percent=found.memory_percent,
        disk_percent=found.disk_percent,
        overloaded=found.overloaded,
    )
