"""Names of the previous release that still work, with a warning."""

import pytest

from scalecommerce_core.pricing import interface
from scalecommerce_core.services import catalog, ordering
from scalecommerce_core.testing import in_memory_market


def test_wanted_line_is_order_line_request() -> None:
    with pytest.warns(DeprecationWarning, match="OrderLineRequest"):
        assert ordering.WantedLine is ordering.OrderLineRequest  # type: ignore[attr-defined]


def test_list_product_is_create_product() -> None:
    with pytest.warns(DeprecationWarning, match="CreateProduct"):
        assert catalog.ListProduct is catalog.CreateProduct  # type: ignore[attr-defined]


def test_list_products_creates_products() -> None:
    with pytest.warns(DeprecationWarning, match="create_products"):
        assert in_memory_market().catalog.list_products([]) == []


@pytest.mark.parametrize(
    ("former", "present"),
    [("Policy", "PricingStrategy"), ("motives", "motive_column"), ("chosen", "select_motives")],
)
def test_strategies_of_users_may_import_former_names_of_the_interface(former: str, present: str) -> None:
    with pytest.warns(DeprecationWarning, match=present):
        assert getattr(interface, former) is getattr(interface, present)


@pytest.mark.parametrize("module", [catalog, interface, ordering])
def test_a_name_that_never_existed_is_an_attribute_error(module: object) -> None:
    with pytest.raises(AttributeError, match="Unheard"):
        _ = module.Unheard  # type: ignore[attr-defined]
