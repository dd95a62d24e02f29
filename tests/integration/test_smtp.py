"""E-mails reach a mail server over TCP, with and without TLS; its refusals and its silence are reported."""

import smtplib
import ssl
from collections.abc import Iterator

import pytest

from adapters.email.console import ConsoleSender, NoSender
from adapters.email.smtp import SmtpSender, SmtpServer, TlsMode, build_message
from scalecommerce_core.ports import Email, EmailFailure
from tests.integration.mail_server import MailServer, mail_server, make_certificate

FROM = "Käthes Shop <noreply@shop.example>"
LOGIN = ("mailer", "p@ss w/rd")


def email(number: int = 1, recipient: str = "kara@example.com") -> Email:
    return Email(
        recipient, "Reset your password", f"Grüße {number}\n.\nhttps://shop.example/#token=abc\n", f"{number}.1"
    )


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def plain() -> Iterator[MailServer]:
    with mail_server() as server:
        yield server


def sender(server: MailServer, mode: TlsMode = TlsMode.NONE, context: ssl.SSLContext | None = None) -> SmtpSender:
    at = SmtpServer("127.0.0.1", server.port, mode, *(server.login or ()))
    return SmtpSender(at, FROM, timeout=2, context=context)


def test_a_batch_is_sent_over_one_connection(plain: MailServer) -> None:
    assert sender(plain).send([email(1), email(2)]) == [None, None]
    assert [line for line in plain.commands if line.upper().startswith("EHLO")] == plain.commands[:1]
    (from_, recipients, message, encrypted), _ = plain.received
    assert (from_, recipients, encrypted) == ("noreply@shop.example", ["kara@example.com"], False)
    assert message["From"] == "Käthes Shop <noreply@shop.example>"
    assert (message["To"], message["Subject"]) == ("kara@example.com", "Reset your password")
    assert (message["Message-ID"], message["Auto-Submitted"]) == ("<1.1@shop.example>", "auto-generated")
    assert message.get_content().splitlines() == email(1).text.splitlines()
    assert message.get_content_type() == "text/plain"


@pytest.mark.parametrize("mode", [TlsMode.STARTTLS, TlsMode.TLS])
def test_tls_protects_the_password(mode: TlsMode, contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    with mail_server(tls=contexts[0], implicit_tls=mode is TlsMode.TLS, login=LOGIN) as server:
        assert sender(server, mode, context=contexts[1]).send([email()]) == [None]
        assert server.received[0][3] is True
        wrong = SmtpServer("127.0.0.1", server.port, mode, LOGIN[0], "wrong")
        # The operator may correct the password, so the e-mail is kept.
        assert SmtpSender(wrong, FROM, context=contexts[1]).send([email()]) == [
            EmailFailure("SMTPAuthenticationError 535")
        ]


def test_starttls_is_required(plain: MailServer) -> None:
    """A server, or somebody between, that offers no TLS gets neither the password nor the e-mail."""
    (failure,) = sender(plain, TlsMode.STARTTLS).send([email()])
    assert failure == EmailFailure("SMTPNotSupportedError")
    assert plain.received == []


@pytest.mark.parametrize("mode", [TlsMode.STARTTLS, TlsMode.TLS])
def test_an_unknown_certificate_is_refused(mode: TlsMode, contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    with mail_server(tls=contexts[0], implicit_tls=mode is TlsMode.TLS) as server:
        assert sender(server, mode).send([email()]) == [EmailFailure("SSLCertVerificationError")]
        assert server.received == []


@pytest.mark.parametrize(("code", "permanent"), [(550, True), (450, False)])
def test_a_refused_recipient_delays_no_other(plain: MailServer, code: int, permanent: bool) -> None:
    plain.answer = lambda line: f"{code} no" if "nobody@" in line else None
    first, second = sender(plain).send([email(1, "nobody@example.com"), email(2)])
    assert first == EmailFailure(f"the server refused the recipient ({code})", permanent)
    assert second is None


@pytest.mark.parametrize(("answer", "permanent"), [("554 spam", True), ("451 later", False)])
def test_a_refused_message_is_reported(plain: MailServer, answer: str, permanent: bool) -> None:
    plain.answer = lambda line: answer if line == "data" else None
    assert sender(plain).send([email()]) == [EmailFailure(f"SMTPDataError {answer[:3]}", permanent)]


def test_a_lost_connection_fails_the_rest_of_the_batch(plain: MailServer) -> None:
    plain.answer = lambda line: "" if "two@" in line else None
    results = sender(plain).send([email(1), email(2, "two@example.com"), email(3)])
    assert results[0] is None
    assert [result is not None and not result.permanent for result in results[1:]] == [True, True]
    assert len(plain.received) == 1


def test_an_unreachable_server_fails_the_batch(plain: MailServer) -> None:
    nowhere = SmtpServer("127.0.0.1", 1, TlsMode.NONE)
    assert (
        SmtpSender(nowhere, FROM, timeout=1).send([email(), email(2)]) == [EmailFailure("ConnectionRefusedError")] * 2
    )
    assert sender(plain).send([]) == []


def test_reasons_repeat_nothing_of_the_server_or_the_message(plain: MailServer) -> None:
    plain.answer = lambda line: "550 kara@example.com is unknown" if line.upper().startswith("MAIL") else None
    (failure,) = sender(plain).send([email()])
    assert failure is not None
    assert "kara" not in failure.reason


@pytest.mark.parametrize("field", ["recipient", "subject", "reference"])
def test_a_line_break_cannot_add_a_header(field: str) -> None:
    """Attack: inject headers such as Bcc."""
    fields = {"recipient": "a@b.ch", "subject": "Hello", "reference": "1"} | {field: "x\r\nBcc: c@d.ch"}
    with pytest.raises(ValueError):  # noqa: PT011 - its text depends on the header
        build_message(Email(text="", **fields), FROM, "shop.example")


def test_an_impossible_message_delays_no_other(plain: MailServer) -> None:
    results = sender(plain).send([email(1, "x\r\nBcc: c@d.ch"), email(2)])
    assert results == [EmailFailure("ValueError", permanent=True), None]
    assert len(plain.received) == 1


def test_urls_select_host_port_credentials_and_tls() -> None:
    assert SmtpServer.from_url("smtp://me%40shop:p%2Fw@mail.example") == SmtpServer(
        "mail.example", 587, TlsMode.STARTTLS, "me@shop", "p/w"
    )
    with pytest.raises(ValueError, match=r"smtp://, smtps:// or smtp\+insecure:// .*, or console: for development"):
        SmtpServer.from_url("http://mail.example")
    assert SmtpServer.from_url("smtps://mail.example").port == smtplib.SMTP_SSL_PORT
    assert SmtpServer.from_url("smtp+insecure://localhost:1025") == SmtpServer("localhost", 1025, TlsMode.NONE)
    assert "p/w" not in repr(SmtpServer.from_url("smtp://me:p%2Fw@mail.example"))
    for wrong in (
        "http://mail.example",
        "smtp://",
        "smtp://me:hunter2@mail:no",
        "smtp+insecure://me:hunter2@mail",
        "smtp://m:hunter2%C3%A4@h",
    ):
        with pytest.raises(ValueError, match=r"it |its |a password") as refused:
            SmtpServer.from_url(wrong)
        assert "hunter2" not in str(refused.value)


def test_the_console_logs_emails_and_no_sender_sends_none(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        assert ConsoleSender().send([email()]) == [None]
        assert NoSender().send([email()]) == [EmailFailure("e-mail is switched off", permanent=True)]
    (record,) = caplog.records
    assert "#token=abc" in record.getMessage()
