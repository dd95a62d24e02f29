"""The Celery application and its tasks."""

from collections.abc import Callable

from celery import Celery

from adapters.tasks import redis_transport
from adapters.tasks.broker import connected
from adapters.tasks.schedule import TASKS, Task, beat_schedule
from adapters.tasks.tasks import Jobs


def application(redis_url: str, jobs: Callable[[], Jobs]) -> Celery:
    """The application of worker and beat. `jobs` is asked in the process that runs a task, after a fork."""
    redis_transport.install()
    app = connected(redis_url)
    app.conf.update(
        task_ignore_result=True,
        # A message is worth nothing by itself, so it may be lost or repeated; late acks only repeat sooner.
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        worker_hijack_root_logger=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        beat_schedule=beat_schedule(),
        beat_max_loop_interval=1,
        timezone="UTC",
        enable_utc=True,
    )
    for task in TASKS:
        _register(app, task, jobs)
    return app


def _register(app: Celery, task: Task, jobs: Callable[[], Jobs]) -> None:
    # Of this application alone: another one in the same process has tasks of its own.
    @app.task(name=task.name, shared=False)  # type: ignore[untyped-decorator]  # Celery has no types
    def run() -> None:
        task.job(jobs())
