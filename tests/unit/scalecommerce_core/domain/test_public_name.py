import pytest

from scalecommerce_core.domain.account import public_name
from scalecommerce_core.domain.identifiers import AccountId


@pytest.mark.parametrize(
    ("display_name", "first_name", "last_name", "shown"),
    [
        ("Tea & Cups", "Kara", "Sexton", "Tea & Cups"),
        ("", "Kara", "sexton", "Kara S."),
        ("", "Kara", "", "Kara"),
        ("", "", "Sexton", "Seller 7"),
        ("", "", "", "Seller 7"),
        # Some people enter their address as a name.
        ("", "kara@example.com", "Sexton", "Seller 7"),
        ("", "kara\uff20example.com", "", "Seller 7"),
    ],
)
def test_a_public_name_is_chosen_or_derived_without_an_email_address(
    display_name: str, first_name: str, last_name: str, shown: str
) -> None:
    assert public_name(AccountId(7), display_name, first_name, last_name) == shown
