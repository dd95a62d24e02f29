"""The Celery application with its tasks."""

from collections.abc import Callable
from time import perf_counter

from celery import Celery

from adapters.tasks.broker import Broker, create_publisher
from adapters.tasks.schedule import TASKS, ScheduledTask, beat_schedule
from adapters.tasks.tasks import BackgroundTasks

TaskListener = Callable[[str, float, bool], None]
"""Called after each task: its name, its duration in seconds, and whether it raised an exception."""


def create_celery_app(
    broker: Broker | str,
    get_tasks: Callable[[], BackgroundTasks],
    on_task: TaskListener | None = None,
    on_message: Callable[[], None] = lambda: None,
) -> Celery:
    """Return the application of worker and beat. Each process that runs tasks calls `get_tasks` after its fork.

    `on_message` is called before each task.
    """
    app = create_publisher(broker)
    app.conf.update(
        task_ignore_result=True,
        # Messages carry no data (see `schedule.MESSAGE_TTL`). Late acknowledgement only repeats a lost task sooner.
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        worker_hijack_root_logger=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        # The reduction is undone only up to the current processes, so a pool that has not grown yet never would.
        worker_enable_prefetch_count_reduction=False,
        beat_schedule=beat_schedule(),
        beat_max_loop_interval=1,
        timezone="UTC",
        enable_utc=True,
    )
    for task in TASKS:
        _register(app, task, get_tasks, on_task, on_message)
    return app


def _register(
    app: Celery,
    task: ScheduledTask,
    get_tasks: Callable[[], BackgroundTasks],
    on_task: TaskListener | None,
    on_message: Callable[[], None],
) -> None:
    # `shared=False`: another Celery application in the same process keeps its own tasks.
    @app.task(name=task.name, shared=False)  # type: ignore[untyped-decorator]  # Celery has no types
    def run() -> None:
        on_message()
        tasks = get_tasks()
        begun, failed = perf_counter(), True
        try:
            task.run(tasks)
            failed = False
        finally:
            if on_task is not None:
                on_task(task.name, perf_counter() - begun, failed)
