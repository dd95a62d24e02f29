import pytest

from adapters.security.password_rules import find_violations
from adapters.security.passwords import CHEAP, Argon2Passwords, Cost
from scalecommerce_core.ports import Passwords


@pytest.fixture(scope="module")
def passwords() -> Argon2Passwords:
    return Argon2Passwords(CHEAP)


def test_argon2_passwords_conform_to_the_port(passwords: Argon2Passwords) -> None:
    port: Passwords = passwords
    assert port.find_violations("short", about=[])


def test_a_password_matches_its_own_hash_only(passwords: Argon2Passwords) -> None:
    hashed = passwords.hash("correct horse")
    assert passwords.verify(hashed, "correct horse")
    assert not passwords.verify(hashed, "correct house")
    assert hashed.startswith("$argon2id$")


def test_the_same_password_hashes_differently_each_time(passwords: Argon2Passwords) -> None:
    assert passwords.hash("correct horse") != passwords.hash("correct horse")


def test_a_missing_or_malformed_hash_matches_no_password(passwords: Argon2Passwords) -> None:
    assert not passwords.verify(None, "nobody's password")
    assert not passwords.verify("not a hash", "anything")


def test_a_missing_hash_costs_one_verification(monkeypatch: pytest.MonkeyPatch) -> None:
    passwords = Argon2Passwords(CHEAP)
    checked: list[str] = []

    def matches(hashed: str, _guess: bytes) -> bool:
        checked.append(hashed)
        return False

    monkeypatch.setattr(passwords, "_matches", matches)
    passwords.verify(None, "x")
    passwords.verify("a hash", "x")
    assert len(checked) == 2


def test_composed_and_decomposed_characters_are_the_same(passwords: Argon2Passwords) -> None:
    assert passwords.verify(passwords.hash("caf\u00e9 au lait"), "cafe\u0301 au lait")


def test_the_length_of_a_password_is_bounded(passwords: Argon2Passwords) -> None:
    with pytest.raises(ValueError, match="128"):
        passwords.hash("x" * 129)
    longest = "x" * 128
    assert passwords.verify(passwords.hash(longest), longest)
    assert not passwords.verify(passwords.hash(longest), longest + "x")


def test_lone_surrogates_do_not_match(passwords: Argon2Passwords) -> None:
    assert not passwords.verify(passwords.hash("correct horse"), "\ud800")


def test_a_raised_cost_leaves_old_hashes_valid(passwords: Argon2Passwords) -> None:
    old = passwords.hash("correct horse")
    dearer = Argon2Passwords(Cost(iterations=2, memory_kib=16))
    assert dearer.verify(old, "correct horse")


def test_only_a_hash_with_other_parameters_needs_a_rehash(passwords: Argon2Passwords) -> None:
    dearer, dearest = Argon2Passwords(Cost(2, 16)), Argon2Passwords(Cost(3, 16))
    hashed = dearer.hash("correct horse")
    assert not dearer.needs_rehash(hashed)
    assert dearest.needs_rehash(hashed)
    assert not dearest.needs_rehash("not a hash")
    assert not dearest.needs_rehash(passwords.hash("the published password of seeded accounts"))


ABOUT = ("ann.lee@example.com", "Annabelle", "Leeway")


@pytest.mark.parametrize(
    "good",
    [
        "correct horse",
        "Tr0ub4dor&3x",
        "s3cure-enough",
        "пароль-длинный-1",
        "kT9#vQ2$",
        "three words here",
        "4@({[3(6910!|7$5" * 8,
    ],
)
def test_good_passwords_violate_no_rule(good: str) -> None:
    assert find_violations(good, about=ABOUT) == []


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("short1!", "At least 8"),
        ("x" * 129, "At most 128"),
        ("8302957164", "only digits"),
        ("password", "too common"),
        ("PassWord1", "too common"),
        ("baseball", "too common"),
        ("aaaaaaaa", "too common"),
        ("abcabcabc", "too common"),
        ("cdefghijk", "too common"),
        ("poiuytrewq", "too common"),
        ("annabelle", "too similar"),
        ("Annabell3", "too similar"),
        ("ann.lee@example", "too similar"),
        ("Passw0rd!", "easy to guess"),
        ("P@$$w0rd2024", "easy to guess"),
        ("Qwerty123!", "easy to guess"),
        ("Summer2024!", "easy to guess"),
        ("iloveyou!!", "easy to guess"),
        ("margaret1985", "easy to guess"),
        ("scalecommerce7", "easy to guess"),
    ],
)
def test_bad_passwords_violate_a_rule(bad: str, why: str) -> None:
    assert any(why in message for message in find_violations(bad, about=ABOUT))


def test_all_violations_are_reported_together() -> None:
    assert len(find_violations("1234567", about=())) == 2
