import base64
import hmac
import json
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import jwt
import pytest
from attrs import evolve
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from adapters.security.tokens import JwtTokens, Key, private_key, secret_key
from scalecommerce_core.domain.errors import TokenNotValid
from scalecommerce_core.domain.identifiers import AccountId, SessionId
from scalecommerce_core.domain.product_views import ViewerTrust
from scalecommerce_core.ports import Claims, TokenKind, Tokens
from scalecommerce_core.testing.contracts import TokensContract

NOW = datetime(2026, 1, 20, 12, tzinfo=UTC)
SECRET = b"0123456789abcdef0123456789abcdef"


def claims(kind: TokenKind = TokenKind.ACCESS, ttl: timedelta = timedelta(minutes=10)) -> Claims:
    return Claims(
        kind=kind,
        id="jti-1",
        account_id=AccountId(7),
        session_id=SessionId("session-1"),
        is_staff=True,
        expires_at=NOW + ttl,
    )


def pem(key: Any) -> bytes:
    return bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


@cache
def rsa_key() -> Key:
    return private_key(pem(generate_rsa_key(65537, 2048)))


@cache
def ed25519_key() -> Key:
    return private_key(pem(Ed25519PrivateKey.generate()))


@pytest.fixture
def tokens() -> JwtTokens:
    return JwtTokens(secret_key(SECRET))


def forged(payload: dict[str, Any] | None = None, *, secret: bytes = SECRET, without: str = "", **header: Any) -> str:
    """Return a valid token with the given changes, signed with `secret`."""
    body = {
        "iss": "scalecommerce",
        "aud": "scalecommerce",
        "sub": "7",
        "sid": "session-1",
        "jti": "jti-1",
        "iat": int(NOW.timestamp()),
        "exp": int(NOW.timestamp()) + 600,
        "token_type": "access",
        "staff": False,
    } | (payload or {})
    body.pop(without, None)
    headers = {"kid": secret_key(SECRET).id, "typ": "at+jwt"} | header
    return jwt.encode(body, secret, algorithm="HS256", headers=headers)


class TestJwtTokens(TokensContract):
    @pytest.fixture(params=[lambda: secret_key(SECRET), rsa_key, ed25519_key], ids=["HS256", "RS256", "EdDSA"])
    def tokens(self, request: pytest.FixtureRequest) -> Tokens:
        return JwtTokens(request.param())


def test_forged_returns_a_valid_token_by_default(tokens: JwtTokens) -> None:
    assert tokens.read(forged(), NOW).account_id == 7


def test_a_token_from_the_future_is_refused(tokens: JwtTokens) -> None:
    token = tokens.issue(claims(), NOW)
    tokens.read(token, NOW - timedelta(seconds=30))
    with pytest.raises(TokenNotValid, match="future"):
        tokens.read(token, NOW - timedelta(minutes=2))


def test_a_token_is_refused_before_its_nbf(tokens: JwtTokens) -> None:
    token = forged({"nbf": int(NOW.timestamp()) + 300})
    with pytest.raises(TokenNotValid, match="future"):
        tokens.read(token, NOW)
    assert tokens.read(token, NOW + timedelta(minutes=5)).account_id == 7
    with pytest.raises(TokenNotValid, match="future"):
        tokens.read(token, NOW)


@pytest.mark.parametrize("claim", ["iss", "aud", "sub", "sid", "jti", "iat", "exp", "token_type", "staff"])
def test_every_claim_is_required(tokens: JwtTokens, claim: str) -> None:
    with pytest.raises(TokenNotValid):
        tokens.read(forged(without=claim), NOW)


@pytest.mark.parametrize(
    "wrong",
    [
        {"iss": "elsewhere"},
        {"aud": "elsewhere"},
        {"aud": ["scalecommerce", "elsewhere"]},
        {"sub": "-7"},
        {"sub": "x"},
        {"sub": "\u0667"},
        {"sid": 5},
        {"iat": "now"},
        {"exp": 1e400},
        {"exp": 10**30},
        {"exp": True},
        {"nbf": "now"},
        {"nbf": None},
        {"nbf": 1.5},
        {"staff": 1},
        {"trust": 3},
        {"trust": "4"},
        {"token_type": "id"},
        {"token_type": ["access"]},
    ],
)
def test_claims_of_wrong_content_are_refused(tokens: JwtTokens, wrong: dict[str, Any]) -> None:
    with pytest.raises(TokenNotValid):
        tokens.read(forged(wrong), NOW)


@pytest.mark.parametrize("typ", ["rt+jwt", "JWT", "", None])
def test_header_and_claim_must_agree_on_the_kind(tokens: JwtTokens, typ: str | None) -> None:
    with pytest.raises(TokenNotValid):
        tokens.read(forged(typ=typ), NOW)


def test_algorithm_none_is_refused(tokens: JwtTokens) -> None:
    head, body, _signature = forged().split(".")
    header = json.loads(base64.urlsafe_b64decode(head + "==")) | {"alg": "none"}
    unsigned = base64.urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=").decode() + "." + body + "."
    with pytest.raises(TokenNotValid):
        tokens.read(unsigned, NOW)


def test_a_public_key_is_not_accepted_as_a_shared_secret() -> None:
    key = rsa_key()
    assert isinstance(key.verifying, RSAPublicKey)
    public = key.verifying.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    # Signed by hand: PyJWT refuses to make such a token.
    signed = forged(kid=key.id).rpartition(".")[0]
    signature = base64.urlsafe_b64encode(hmac.digest(public, signed.encode(), "sha256")).rstrip(b"=").decode()
    with pytest.raises(TokenNotValid):
        JwtTokens(key).read(f"{signed}.{signature}", NOW)


@pytest.mark.parametrize("part", [0, 1, 2])
def test_a_token_with_one_changed_character_is_refused(tokens: JwtTokens, part: int) -> None:
    parts = tokens.issue(claims(), NOW).split(".")
    middle = len(parts[part]) // 2
    swapped = "A" if parts[part][middle] != "A" else "B"
    parts[part] = parts[part][:middle] + swapped + parts[part][middle + 1 :]
    with pytest.raises(TokenNotValid):
        tokens.read(".".join(parts), NOW)


@pytest.mark.parametrize("text", ["", ".", "a.b.c", "a" * 5000, "\ud800.\ud800.\ud800", "é.é.é", "e30.e30.e30"])
def test_text_that_is_no_token_is_refused(tokens: JwtTokens, text: str) -> None:
    with pytest.raises(TokenNotValid):
        tokens.read(text, NOW)


def test_a_previous_key_still_verifies_its_tokens(tokens: JwtTokens) -> None:
    old = tokens.issue(claims(), NOW)
    rotated = JwtTokens(ed25519_key(), previous=[secret_key(SECRET)])
    assert rotated.read(old, NOW) == claims()
    assert rotated.read(rotated.issue(claims(), NOW), NOW) == claims()
    with pytest.raises(TokenNotValid, match="unknown key"):
        JwtTokens(ed25519_key()).read(old, NOW)


def test_a_signature_by_another_key_with_the_same_key_id_is_refused(tokens: JwtTokens) -> None:
    with pytest.raises(TokenNotValid):
        tokens.read(forged(secret=b"another secret of more than 32 bytes"), NOW)


def test_short_keys_and_other_kinds_of_keys_are_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        secret_key("too short")
    with pytest.raises(ValueError, match="2048 bits"):
        private_key(pem(generate_rsa_key(65537, 1024)))  # noqa: S505 - the point of the test
    with pytest.raises(ValueError, match="RSA or an Ed25519"):
        private_key(pem(generate_private_key(SECP256R1())))


def test_the_repr_of_a_key_hides_its_material() -> None:
    assert "0123456789" not in repr(secret_key(SECRET))


def test_the_number_of_remembered_tokens_is_bounded(tokens: JwtTokens, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.security.tokens.VERIFIED_CACHE_SIZE", 2)
    made = [tokens.issue(evolve(claims(), id=str(number)), NOW) for number in range(5)]
    for token in made:
        tokens.read(token, NOW)
        assert len(tokens._verified_tokens) <= 2
    assert list(tokens._verified_tokens) == made[-2:]


def test_a_changed_token_does_not_match_a_remembered_one(tokens: JwtTokens) -> None:
    token = tokens.issue(claims(), NOW)
    tokens.read(token, NOW)
    head, body, signature = token.split(".")
    with pytest.raises(TokenNotValid, match="malformed"):
        tokens.read(f"{head}.{body}.{signature[::-1]}", NOW)


def test_a_token_of_an_earlier_release_has_no_trust(tokens: JwtTokens) -> None:
    assert tokens.read(forged(), NOW).trust is ViewerTrust.UNKNOWN
