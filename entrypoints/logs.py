"""Logging of every process: one line per record on standard error, as JSON or readable text, without secrets.

One handler receives everything: the standard library's loggers (Celery, Granian, Alembic and SQLAlchemy use them),
structlog's loggers, warnings, and uncaught errors of all threads. Values of variables are never logged.
"""

import logging
import os
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

import structlog

from entrypoints.redaction import SECRETS, Redactor, error_text, is_database_error, traceback_text
from scalecommerce_core.domain.text import printable, printable_line

if TYPE_CHECKING:
    # Every command imports this module; `--help` needs no settings.
    from entrypoints.settings import Settings

logger = logging.getLogger(__name__)

UNEXPECTED: Final = "unexpected error"
_LEVELS: Final = frozenset({"DEBUG", "INFO", "WARNING", "ERROR"})

# Holds all passwords and keys of this process; shared by all of its formatters.
_redactor: Final = Redactor()
_trace_ids: list[Callable[[], tuple[str, str] | None]] = []


def configure(settings: "Settings", process: str) -> None:
    """Configure logging by the settings; `process` is the name in each record (api, worker, beat, traffic)."""
    _redactor.add(settings.secret_texts())
    _install(process, settings.log_level, as_json=settings.log_format == "json")


def configure_early(process: str, environment: Mapping[str, str] | None = None) -> None:
    """Configure logging before settings are checked, and for commands that need no settings."""
    given = os.environ if environment is None else environment
    _redactor.add(text for name in SECRETS if (text := given.get(name)))
    level = given.get("LOG_LEVEL", "")
    form = given.get("LOG_FORMAT") or ("console" if sys.stderr.isatty() else "json")
    _install(process, level if level in _LEVELS else "WARNING", as_json=form != "console")
    # Commands log their progress at INFO where standard error is not a terminal.
    logging.getLogger("adapters.cli").setLevel(logging.INFO if level not in _LEVELS else logging.NOTSET)


def add_secrets(secrets: Iterable[str]) -> None:
    """Replace these secrets too in all later records."""
    _redactor.add(secrets)


def add_trace_ids(current: Callable[[], tuple[str, str] | None]) -> None:
    """Add the trace and span id of the context to all later records; `current` returns None outside of a trace."""
    _trace_ids[:] = [current]


def write_unbuffered(level: int, message: str, name: str) -> None:
    """Log without locks and buffers, for signal handlers: the interrupted code may hold them."""
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
        _add_ids,
    ]
    formatter = _Formatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.ExceptionRenderer(_render_exception),
            *([] if as_json else [_escape_values]),
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
    # One record per scheduled message is of no use to an operator.
    for noisy in ("celery.beat", "celery.app.trace", "celery.worker.strategy"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
    # For gateways and policies of other packages that use structlog.
    structlog.configure(
        processors=[*shared[:3], *shared[4:], structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    logging.captureWarnings(capture=True)
    # Otherwise errors of the logging itself are printed with the arguments of the record.
    logging.raiseExceptions = False
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread
    sys.unraisablehook = _log_unraisable


class _Formatter(structlog.stdlib.ProcessorFormatter):
    def format(self, record: logging.LogRecord) -> str:
        return _redactor(super().format(record))


def _render_exception(exc_info: structlog.typing.ExcInfo) -> str:
    return traceback_text(exc_info[1])


def _escape_values(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Escape control characters for terminals; JSON escapes them anyway. A traceback keeps its lines."""
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = printable(value) if name == "exception" else printable_line(value)
    return event


def _strip_row_data(record: logging.LogRecord) -> bool:
    """Replace database errors among the arguments of a record by texts that quote no rows."""
    if record.name == "celery.app.trace":
        # Celery repeats the error and its traceback in the message and in the record's attributes.
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


def _add_ids(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    for current in _trace_ids:
        if (ids := current()) is not None:
            event["trace_id"], event["span_id"] = ids
    return event


# --- uncaught errors


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        logger.critical(UNEXPECTED, exc_info=(kind, error, trace))


def _log_uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None and args.exc_type is not SystemExit:
        where = None if args.thread is None else args.thread.name
        logger.critical(
            UNEXPECTED, exc_info=(args.exc_type, args.exc_value, args.exc_traceback), extra={"in_thread": where}
        )


def _log_unraisable(args: "sys.UnraisableHookArgs") -> None:
    # The object itself is not logged: its text may contain anything.
    where = getattr(args.object, "__qualname__", type(args.object).__qualname__)
    if args.exc_value is not None:
        exc_info = (args.exc_type, args.exc_value, args.exc_traceback)
        logger.error("an error in %s could not be raised", where, exc_info=exc_info)


def log_loop_error(_loop: object, context: Mapping[str, Any]) -> None:
    """Log an error of a task or callback that no code awaits; an asyncio exception handler."""
    error = context.get("exception")
    logger.error("%s", context.get("message", UNEXPECTED), exc_info=error if isinstance(error, BaseException) else None)
