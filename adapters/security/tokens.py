"""`ports.Tokens` as signed JWTs, verified by the rules of RFC 8725.

The verifier determines the algorithm: the key named by `kid` allows one algorithm only. The `typ` header and the
`token_type` claim must agree, and every claim is required.
"""

import hashlib
import hmac
import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

import jwt
from attrs import field, frozen
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from scalecommerce_core.domain.errors import TokenNotValid
from scalecommerce_core.domain.identifiers import AccountId, SessionId
from scalecommerce_core.domain.product_views import ViewerTrust
from scalecommerce_core.ports import Claims, TokenKind

MIN_SECRET_BYTES: Final = 32
MIN_RSA_BITS: Final = 2048
MAX_TOKEN_LENGTH: Final = 4096
VERIFIED_CACHE_SIZE: Final = 10_000
"""Verified tokens whose claims are remembered: a few megabytes."""
CLOCK_SKEW: Final = timedelta(seconds=60)
"""How far the clock of the issuing host may be ahead, for `iat` and `nbf`."""

TYP: Final = {TokenKind.ACCESS: "at+jwt", TokenKind.REFRESH: "rt+jwt", TokenKind.DEVICE: "dt+jwt"}
REQUIRED: Final = ("iss", "aud", "sub", "sid", "jti", "iat", "exp", "token_type", "staff")

Algorithm = Literal["HS256", "RS256", "EdDSA"]


@frozen
class Key:
    """A key, its algorithm and the `kid` that names both. `secret_key` and `private_key` create it."""

    id: str
    algorithm: Algorithm
    signing: bytes | RSAPrivateKey | Ed25519PrivateKey = field(repr=False)
    verifying: bytes | RSAPublicKey | Ed25519PublicKey = field(repr=False)


def secret_key(secret: str | bytes) -> Key:
    """Return an HS256 key; raise `ValueError` for a secret of fewer than 32 bytes."""
    material = secret.encode() if isinstance(secret, str) else secret
    if len(material) < MIN_SECRET_BYTES:
        raise ValueError(f"A token secret needs at least {MIN_SECRET_BYTES} bytes; this one has {len(material)}.")
    name = hmac.new(material, b"key id", hashlib.sha256).hexdigest()[:12]
    return Key(id=name, algorithm="HS256", signing=material, verifying=material)


def private_key(pem: str | bytes) -> Key:
    """Return an EdDSA or RS256 key from PEM text; raise `ValueError` for other kinds and RSA keys below 2048 bits."""
    key = load_pem_private_key(pem.encode() if isinstance(pem, str) else pem, password=None)
    if isinstance(key, Ed25519PrivateKey):
        public_ed25519 = key.public_key()
        return Key(id=_fingerprint(public_ed25519), algorithm="EdDSA", signing=key, verifying=public_ed25519)
    if isinstance(key, RSAPrivateKey):
        if key.key_size < MIN_RSA_BITS:
            raise ValueError(f"An RSA key for tokens needs at least {MIN_RSA_BITS} bits; this one has {key.key_size}.")
        public_rsa = key.public_key()
        return Key(id=_fingerprint(public_rsa), algorithm="RS256", signing=key, verifying=public_rsa)
    raise ValueError("A key for tokens must be an RSA or an Ed25519 private key.")


def _fingerprint(key: RSAPublicKey | Ed25519PublicKey) -> str:
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()[:12]


class JwtTokens:
    """Signs with the `current` key; accepts signatures of `current` and `previous`, so that keys can be rotated."""

    def __init__(
        self,
        current: Key,
        previous: Sequence[Key] = (),
        *,
        issuer: str = "scalecommerce",
        audience: str = "scalecommerce",
        access_lifetime: timedelta | None = None,
    ) -> None:
        """`access_lifetime` also limits access tokens that were issued under a longer one. None: only `exp` counts."""
        self._current = current
        self._keys = {key.id: key for key in (*previous, current)}
        self._issuer = issuer
        self._audience = audience
        self._access_seconds = math.inf if access_lifetime is None else access_lifetime.total_seconds()
        self._verified_tokens: OrderedDict[str, tuple[Claims, float, float]] = OrderedDict()
        """The claims, and the times in seconds from and before which they are valid."""
        # `read` gets the time as an argument and checks it; PyJWT would use the clock of the machine.
        self._jwt = jwt.PyJWT(
            {
                "require": list(REQUIRED),
                "verify_exp": False,
                "verify_iat": False,
                "verify_nbf": False,
                "strict_aud": True,
                "enforce_minimum_key_length": True,
            }
        )

    def issue(self, claims: Claims, now: datetime) -> str:
        return self._jwt.encode(
            {
                "iss": self._issuer,
                "aud": self._audience,
                "sub": str(claims.account_id),
                "sid": claims.session_id,
                "jti": claims.id,
                "iat": int(now.timestamp()),
                "exp": int(claims.expires_at.timestamp()),
                "token_type": claims.kind.value,
                "staff": claims.is_staff,
                "trust": claims.trust.value,
            },
            self._current.signing,
            algorithm=self._current.algorithm,
            headers={"kid": self._current.id, "typ": TYP[claims.kind]},
        )

    def read(self, token: str, now: datetime) -> Claims:
        """Return the claims; raise `TokenNotValid`.

        Signature and claims of a token do not change, so they are verified once and remembered; later calls check the
        times only.
        """
        found = self._verified_tokens.get(token)
        if found is None:
            found = self._verify(token)
            self._verified_tokens[token] = found
            if len(self._verified_tokens) > VERIFIED_CACHE_SIZE:
                # Only the oldest: otherwise the tokens of all clients would be verified again at about the same time.
                self._verified_tokens.popitem(last=False)
        claims, begins, ends = found
        seconds = now.timestamp()
        if seconds >= ends:
            raise TokenNotValid("The token has expired.")
        if seconds < begins:
            raise TokenNotValid("The token was issued for a time in the future.")
        return claims

    def _verify(self, token: str) -> tuple[Claims, float, float]:
        """Return the claims of a token that is valid except for its times, and these times in seconds."""
        header, payload = self._verify_signature(token)
        try:
            claims = _claims(payload)
        except (KeyError, TypeError, ValueError, OverflowError):
            raise TokenNotValid("The token has invalid claims.") from None
        if header.get("typ") != TYP[claims.kind]:
            raise TokenNotValid("The token's type and its claims do not agree.")
        valid_from = max(payload["iat"], payload.get("nbf", payload["iat"]))
        longest = self._access_seconds if claims.kind is TokenKind.ACCESS else math.inf
        ends = min(claims.expires_at.timestamp(), valid_from + longest)
        return claims, valid_from - CLOCK_SKEW.total_seconds(), ends

    def _verify_signature(self, token: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """Return header and payload after checking signature, issuer, audience and the presence of all claims."""
        if len(token) > MAX_TOKEN_LENGTH:
            raise TokenNotValid("The token is too long.")
        try:
            key = self._keys.get(str(jwt.get_unverified_header(token).get("kid")))
            if key is None:
                raise TokenNotValid("The token was signed by an unknown key.")
            complete = self._jwt.decode_complete(
                token, key.verifying, algorithms=[key.algorithm], issuer=self._issuer, audience=self._audience
            )
        # ValueError: text with lone surrogates.
        except (jwt.PyJWTError, ValueError):
            raise TokenNotValid("The token is malformed, or has an invalid signature.") from None
        return complete["header"], complete["payload"]


def _claims(payload: Mapping[str, Any]) -> Claims:
    subject, session, name = payload["sub"], payload["sid"], payload["jti"]
    if not (subject.isascii() and subject.isdigit() and isinstance(session, str) and isinstance(name, str)):
        raise TypeError
    if type(payload["iat"]) is not int or type(payload["exp"]) is not int or type(payload["staff"]) is not bool:
        raise TypeError
    # Tokens of this engine have no `nbf`; another issuer with the same key may set it (RFC 7519, section 4.1.5).
    if "nbf" in payload and type(payload["nbf"]) is not int:
        raise TypeError
    return Claims(
        kind=TokenKind(payload["token_type"]),
        id=name,
        account_id=AccountId(int(subject)),
        session_id=SessionId(session),
        is_staff=payload["staff"],
        expires_at=datetime.fromtimestamp(payload["exp"], UTC),
        # Tokens of earlier releases have no such claim.
        trust=ViewerTrust(payload.get("trust", ViewerTrust.UNKNOWN)),
    )
