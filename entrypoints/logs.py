"""Logging of every process: one line per event on standard error, as JSON or for people, without secrets.

One handler takes all there is: the standard library's loggers (Celery, Granian, Alembic and SQLAlchemy use them),
structlog's, warnings, and errors that nobody caught, in whichever thread. Values of variables are never shown.
"""

import logging
import os
import sys
import threading
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Final

import structlog

from entrypoints.redaction import Redactor, error_text, is_database_error, traceback_text
from entrypoints.settings import SECRETS, Settings, secret_texts

logger = logging.getLogger(__name__)

UNEXPECTED: Final = "unexpected error"
_LEVELS: Final = frozenset({"DEBUG", "INFO", "WARNING", "ERROR"})

# The passwords and keys that this process was given, whichever way; shared by all of its formatters.
_redactor: Final = Redactor()


def configure(settings: Settings, process: str) -> None:
    """Log as the settings say; `process` names the writer (api, worker, beat, traffic)."""
    _redactor.add(secret_texts(settings))
    _install(process, settings.log_level, as_json=settings.log_format == "json")


def configure_early(process: str, environment: Mapping[str, str] | None = None) -> None:
    """For the time before settings are checked, and for commands that need none."""
    given = os.environ if environment is None else environment
    _redactor.add(text for name in SECRETS if (text := given.get(name)))
    level = given.get("LOG_LEVEL", "")
    form = given.get("LOG_FORMAT") or ("console" if sys.stderr.isatty() else "json")
    _install(process, level if level in _LEVELS else "WARNING", as_json=form != "console")
    # What a command tells of its progress where there is no terminal to show it.
    logging.getLogger("adapters.cli").setLevel(logging.INFO if level not in _LEVELS else logging.NOTSET)


def add_secrets(secrets: Iterable[str]) -> None:
    """Keep these out of what is logged from now on, too."""
    _redactor.add(secrets)


def write_unbuffered(level: int, message: str, name: str) -> None:
    """Log without locks and buffers, for signal handlers, which may interrupt whoever holds them."""
    root = logging.getLogger()
    if level < root.level or not root.handlers:
        return
    record = logging.LogRecord(name, level, "", 0, message, (), None)
    os.write(sys.stderr.fileno(), f"{root.handlers[0].format(record)}\n".encode())


def _install(process: str, level: str, *, as_json: bool) -> None:
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_process_name(process),
    ]
    formatter = _Formatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.ExceptionRenderer(_render_exception),
            structlog.processors.JSONRenderer()
            if as_json
            else structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
        ],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    handler.addFilter(_strip_row_data)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # One line per beat of the schedule says nothing to an operator.
    for noisy in ("celery.beat", "celery.app.trace", "celery.worker.strategy"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
    # For those who use structlog itself: gateways and policies of other packages.
    structlog.configure(
        processors=[*shared[:3], *shared[4:], structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    logging.captureWarnings(capture=True)
    # An error of the logging itself would be printed with its arguments.
    logging.raiseExceptions = False
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread
    sys.unraisablehook = _log_unraisable


class _Formatter(structlog.stdlib.ProcessorFormatter):
    def format(self, record: logging.LogRecord) -> str:
        return _redactor(super().format(record))


def _render_exception(exc_info: structlog.typing.ExcInfo) -> str:
    return traceback_text(exc_info[1])


def _strip_row_data(record: logging.LogRecord) -> bool:
    """Replace errors of the database among a message's arguments by texts that quote no rows."""
    if record.name == "celery.app.trace":
        # Celery's own texts repeat the error and its traceback, in the message and beside it.
        data = record.__dict__.pop("data", None)
        if isinstance(data, dict) and record.exc_info:
            record.msg, record.args = "task %s ended with an unexpected error", (data.get("name"),)
    if isinstance(record.args, tuple) and any(isinstance(each, BaseException) for each in record.args):
        record.args = tuple(
            error_text(each) if isinstance(each, BaseException) and is_database_error(each) else each
            for each in record.args
        )
    return True


def _add_process_name(process: str) -> structlog.typing.Processor:
    def add(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event["process"] = process
        return event

    return add


# --- errors that nobody caught


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        logger.critical(UNEXPECTED, exc_info=(kind, error, trace))


def _log_uncaught_in_thread(told: threading.ExceptHookArgs) -> None:
    if told.exc_value is not None and told.exc_type is not SystemExit:
        where = None if told.thread is None else told.thread.name
        logger.critical(
            UNEXPECTED, exc_info=(told.exc_type, told.exc_value, told.exc_traceback), extra={"in_thread": where}
        )


def _log_unraisable(told: "sys.UnraisableHookArgs") -> None:
    # The object itself is not shown: its text may be anything.
    where = getattr(told.object, "__qualname__", type(told.object).__qualname__)
    if told.exc_value is not None:
        exc_info = (told.exc_type, told.exc_value, told.exc_traceback)
        logger.error("an error in %s could not be raised", where, exc_info=exc_info)


def log_loop_error(_loop: object, context: Mapping[str, Any]) -> None:
    """An asyncio exception handler: errors of tasks and callbacks that nobody waits for."""
    error = context.get("exception")
    logger.error("%s", context.get("message", UNEXPECTED), exc_info=error if isinstance(error, BaseException) else None)
