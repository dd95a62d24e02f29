"""A small SMTP server that records e-mails: EHLO, STARTTLS, AUTH PLAIN, MAIL, RCPT, DATA (RFC 5321, 3207, 4954)."""

import base64
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from ipaddress import ip_address
from pathlib import Path
from typing import IO, Any, cast

from attrs import define, field
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


@define
class MailServer:
    """`answer(command)` replaces the answer to a command line; "" closes the connection without an answer."""

    port: int
    tls: ssl.SSLContext | None = None
    """Offered by STARTTLS."""
    login: tuple[str, str] | None = None
    answer: Callable[[str], str | None] = lambda _command: None
    received: list[tuple[str, list[str], EmailMessage, bool]] = field(factory=list)
    """Sender, recipients, message, and whether the connection was encrypted."""
    commands: list[str] = field(factory=list)


class _Session(socketserver.StreamRequestHandler):
    server: "_Server"
    _secured: ssl.SSLSocket | None = None

    def handle(self) -> None:
        try:
            self._converse()
        finally:
            if self._secured is not None:
                self._secured.close()

    def _converse(self) -> None:
        mail, files, encrypted = self.server.mail, (self.rfile, self.wfile), isinstance(self.request, ssl.SSLSocket)
        sender, recipients, trusted = "", list[str](), mail.login is None
        _say(files, "220 test")
        while line := files[0].readline().decode().rstrip("\r\n"):
            mail.commands.append(line)
            command, _, rest = line.partition(" ")
            said = mail.answer(line)
            if said == "":
                return
            if said is not None:
                _say(files, said)
                continue
            match command.upper():
                case "EHLO":
                    offers = ["250-test", *(["250-STARTTLS"] if mail.tls and not encrypted else []), "250-AUTH PLAIN"]
                    _say(files, "\r\n".join([*offers, "250 8BITMIME"]))
                case "STARTTLS":
                    assert mail.tls is not None
                    _say(files, "220 go ahead")
                    self._secured = mail.tls.wrap_socket(self.request, server_side=True)
                    files = cast(Any, (self._secured.makefile("rb"), self._secured.makefile("wb")))
                    encrypted = True
                case "AUTH":
                    _, user, password = base64.b64decode(rest.split()[1]).decode().split("\0")
                    trusted = (user, password) == mail.login
                    _say(files, "235 welcome" if trusted else "535 wrong password")
                case "MAIL":
                    sender, recipients = _address(rest), []
                    _say(files, "250 ok" if trusted else "530 log in first")
                case "RCPT":
                    recipients.append(_address(rest))
                    _say(files, "250 ok")
                case "DATA":
                    _say(files, "354 go ahead")
                    content = b""
                    while (part := files[0].readline()) != b".\r\n":
                        content += part.removeprefix(b".")
                    message = message_from_bytes(content, policy=policy.default)
                    mail.received.append((sender, recipients, message, encrypted))
                    _say(files, "250 ok")
                case "QUIT":
                    _say(files, "221 bye")
                    return
                case _:
                    _say(files, "250 ok")


def _say(files: tuple[Any, IO[bytes]] | Any, line: str) -> None:
    files[1].write(line.encode() + b"\r\n")
    files[1].flush()


def _address(text: str) -> str:
    return text.partition("<")[2].partition(">")[0]


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    mail: MailServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that closes the connection early is a part of the tests."""


@contextmanager
def mail_server(
    *, tls: ssl.SSLContext | None = None, implicit_tls: bool = False, login: tuple[str, str] | None = None
) -> Iterator[MailServer]:
    """Run a server; with `implicit_tls`, connections are encrypted from the first byte."""
    with _Server(("127.0.0.1", 0), _Session) as server:
        server.mail = MailServer(server.server_address[1], None if implicit_tls else tls, login)
        if implicit_tls:
            assert tls is not None
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server.mail
        finally:
            server.shutdown()
            thread.join()


def make_certificate(directory: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The contexts of a server at 127.0.0.1 and of clients that trust its certificate."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = directory / "certificate.pem"
    file.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + certificate.public_bytes(Encoding.PEM)
    )
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(file)
    return server, ssl.create_default_context(cafile=file)
