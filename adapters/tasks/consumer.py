"""A consumer that a broken message does not end."""

import logging
from collections.abc import Callable
from typing import Any

from celery.worker.consumer import Consumer

logger = logging.getLogger(__name__)


class PatientConsumer(Consumer):  # type: ignore[misc]  # Celery has no types
    """Celery's own dies of a message that names a task and has a body that is none; the broker then gives the message
    to the next one, and so on for ever. This one drops such a message, since none is worth anything by itself.
    """

    def create_task_handler(self, *arguments: Any, **options: Any) -> Callable[[Any], None]:
        handle: Callable[[Any], None] = super().create_task_handler(*arguments, **options)

        def handle_or_drop(message: Any) -> None:
            try:
                handle(message)
            except (TypeError, ValueError, KeyError, AttributeError) as error:
                logger.warning("a message that cannot be read was dropped: %r", error)
                message.ack_log_error(logger, self.connection_errors)

        return handle_or_drop
