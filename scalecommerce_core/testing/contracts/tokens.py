"""Contract of `ports.Tokens`."""

from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from attrs import evolve

from scalecommerce_core.domain.errors import TokenNotValid
from scalecommerce_core.domain.identifiers import AccountId, SessionId
from scalecommerce_core.domain.product_views import ViewerTrust
from scalecommerce_core.ports import Claims, TokenKind, Tokens

NOW: Final = datetime(2026, 1, 1, 12, tzinfo=UTC)
CLAIMS: Final = Claims(
    kind=TokenKind.ACCESS,
    id="token-1",
    account_id=AccountId(7),
    session_id=SessionId("session-1"),
    is_staff=False,
    expires_at=NOW + timedelta(minutes=5),
)


class TokensContract:
    """Subclasses provide the fixture `tokens`."""

    @pytest.mark.parametrize("kind", TokenKind)
    @pytest.mark.parametrize("is_staff", [False, True])
    def test_read_returns_the_issued_claims(self, tokens: Tokens, kind: TokenKind, is_staff: bool) -> None:
        claims = evolve(CLAIMS, kind=kind, is_staff=is_staff)
        assert tokens.read(tokens.issue(claims, NOW), NOW) == claims

    @pytest.mark.parametrize("trust", ViewerTrust)
    def test_read_returns_the_issued_trust(self, tokens: Tokens, trust: ViewerTrust) -> None:
        claims = evolve(CLAIMS, trust=trust)
        assert tokens.read(tokens.issue(claims, NOW), NOW) == claims

    def test_tokens_with_different_ids_differ(self, tokens: Tokens) -> None:
        assert tokens.issue(CLAIMS, NOW) != tokens.issue(evolve(CLAIMS, id="token-2"), NOW)

    def test_a_token_is_valid_until_it_expires(self, tokens: Tokens) -> None:
        token = tokens.issue(CLAIMS, NOW)
        assert tokens.read(token, CLAIMS.expires_at - timedelta(seconds=1)) == CLAIMS
        # Read again: an implementation may remember verified tokens.
        for _ in range(2):
            with pytest.raises(TokenNotValid):
                tokens.read(token, CLAIMS.expires_at)

    @pytest.mark.parametrize("token", ["", "x", "a.b.c", "\x00", "ü" * 10_000])
    def test_text_that_was_not_issued_is_refused(self, tokens: Tokens, token: str) -> None:
        with pytest.raises(TokenNotValid):
            tokens.read(token, NOW)

    def test_a_changed_token_is_refused(self, tokens: Tokens) -> None:
        token = tokens.issue(CLAIMS, NOW)
        with pytest.raises(TokenNotValid):
            tokens.read(token[:-4] + token[-4:].swapcase() + "x", NOW)
