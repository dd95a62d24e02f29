"""The storefront `/shop/`: search, products, basket and orders."""

from adapters.web.framework.page import Page, pages_of
from adapters.web.pages.shop.basket_pages import BasketPages
from adapters.web.pages.shop.catalog import CatalogPages
from adapters.web.pages.shop.orders import OrderPages


def shop_pages() -> list[Page]:
    return [page for section in (CatalogPages(), BasketPages(), OrderPages()) for page in pages_of(section)]
