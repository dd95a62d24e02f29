"""`ports.EmailSender` by SMTP (RFC 5321), with STARTTLS (RFC 3207), implicit TLS (RFC 8314) or none."""

import logging
import smtplib
import ssl
from collections.abc import Sequence
from contextlib import suppress
from email.message import EmailMessage
from email.policy import SMTP
from enum import StrEnum
from typing import Final
from urllib.parse import unquote, urlsplit

from attrs import field, frozen

from scalecommerce_core.ports import Email, EmailFailure

logger = logging.getLogger(__name__)

SUBMISSION_PORT: Final = 587
TLS_PORT: Final = 465
PLAIN_PORT: Final = 25


class TlsMode(StrEnum):
    """How the connection is encrypted: the scheme of `SMTP_URL`."""

    STARTTLS = "smtp"
    TLS = "smtps"
    NONE = "smtp+insecure"


_PORTS: Final = {TlsMode.STARTTLS: SUBMISSION_PORT, TlsMode.TLS: TLS_PORT, TlsMode.NONE: PLAIN_PORT}


@frozen
class SmtpServer:
    """Address and credentials of a mail server."""

    host: str
    port: int
    mode: TlsMode
    user: str = ""
    password: str = field(default="", repr=False)

    @classmethod
    def from_url(cls, url: str) -> "SmtpServer":
        """Parse `smtp://user:password@host:587`; raise `ValueError`.

        The scheme `smtp` requires STARTTLS, `smtps` is TLS from the first byte, `smtp+insecure` is not encrypted.
        """
        parts = urlsplit(url)
        try:
            mode = TlsMode(parts.scheme)
            port = parts.port or _PORTS[mode]
        except ValueError:
            # The error's text is not repeated: it may contain a part of the password.
            raise ValueError(
                "it must be smtp://, smtps:// or smtp+insecure:// with a host and a port, or console: for development"
            ) from None
        if not parts.hostname:
            raise ValueError("it has no host")
        if mode is TlsMode.NONE and parts.password:
            raise ValueError("a password must not be sent without encryption: use smtp:// or smtps://")
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        if not (user + password).isascii():
            raise ValueError("its user and password must consist of ASCII characters")
        return cls(parts.hostname, port, mode, user, password)


class SmtpSender:
    """Sends each batch over one connection. Certificates of servers are verified."""

    def __init__(
        self, server: SmtpServer, sender: str, *, timeout: float = 10, context: ssl.SSLContext | None = None
    ) -> None:
        """`sender` is the address in From, with or without a name; `timeout`, in seconds, is that of each answer."""
        self._server = server
        self._sender = sender
        self._domain = sender.rpartition("@")[2].rstrip(">")
        self._timeout = timeout
        self._context = context or ssl.create_default_context()

    def send(self, emails: Sequence[Email]) -> Sequence[EmailFailure | None]:
        results: list[EmailFailure | None] = []
        try:
            connection = self._connect()
        except (OSError, smtplib.SMTPException) as error:
            return [EmailFailure(_reason(error))] * len(emails)
        try:
            for email in emails:
                results.append(self._send(connection, email))
                if results[-1] is not None and connection.sock is None:
                    # The connection is lost: the others are sent with the next batch.
                    break
        finally:
            with suppress(OSError, smtplib.SMTPException):
                connection.quit()
        return [*results, *[EmailFailure("the connection was lost")] * (len(emails) - len(results))]

    def _connect(self) -> smtplib.SMTP:
        server = self._server
        connection: smtplib.SMTP
        if server.mode is TlsMode.TLS:
            connection = smtplib.SMTP_SSL(server.host, server.port, timeout=self._timeout, context=self._context)
        else:
            connection = smtplib.SMTP(server.host, server.port, timeout=self._timeout)
        try:
            if server.mode is TlsMode.STARTTLS:
                connection.starttls(context=self._context)
            if server.user:
                connection.login(server.user, server.password)
        except BaseException:
            connection.close()
            raise
        return connection

    def _send(self, connection: smtplib.SMTP, email: Email) -> EmailFailure | None:
        try:
            connection.send_message(build_message(email, self._sender, self._domain))
        except smtplib.SMTPRecipientsRefused as error:
            codes = [code for code, _ in error.recipients.values()]
            return EmailFailure(f"the server refused the recipient ({codes[0]})", permanent=min(codes) >= 500)
        except smtplib.SMTPResponseException as error:
            return EmailFailure(_reason(error), permanent=error.smtp_code >= 500)
        except ValueError as error:
            # An address or header that no message can have.
            return EmailFailure(_reason(error), permanent=True)
        except (OSError, smtplib.SMTPException) as error:
            connection.close()
            return EmailFailure(_reason(error))
        return None


def build_message(email: Email, sender: str, domain: str) -> EmailMessage:
    """The message by RFC 5322. `EmailMessage` raises `ValueError` for a header with a line break."""
    message = EmailMessage(policy=SMTP)
    message["From"] = sender
    message["To"] = email.recipient
    message["Subject"] = email.subject
    message["Message-ID"] = f"<{email.reference}@{domain}>"
    # Mail systems must not answer with notices of absence (RFC 3834).
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(email.text)
    return message


def _reason(error: Exception) -> str:
    """The kind of an error and the code of the server. Its text is left out: servers repeat addresses in it."""
    code = getattr(error, "smtp_code", None)
    return f"{type(error).__name__}{'' if code is None else f' {code}'}"
