"""`ports.EmailSender` that writes e-mails to the log, for development only: the log then contains tokens."""

import logging
from collections.abc import Sequence

from scalecommerce_core.ports import Email, EmailFailure

logger = logging.getLogger(__name__)


class ConsoleSender:
    """Logs each e-mail instead of sending it."""

    def send(self, emails: Sequence[Email]) -> Sequence[EmailFailure | None]:
        for email in emails:
            logger.info("e-mail to %s: %s\n%s", email.recipient, email.subject, email.text)
        return [None] * len(emails)


class NoSender:
    """Sends nothing: e-mail is switched off."""

    def send(self, emails: Sequence[Email]) -> Sequence[EmailFailure | None]:
        return [EmailFailure("e-mail is switched off", permanent=True)] * len(emails)
