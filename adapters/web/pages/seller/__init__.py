"""The pages of sellers, `/seller/`."""

from adapters.web.framework.page import Page, pages_of
from adapters.web.pages.seller.dashboard import DashboardPages
from adapters.web.pages.seller.experiments import ExperimentPages
from adapters.web.pages.seller.policies import PolicyPages
from adapters.web.pages.seller.prices import PricePages
from adapters.web.pages.seller.product_files import ProductFilePages
from adapters.web.pages.seller.products import ProductPages
from adapters.web.pages.seller.promotions import PromotionPages
from adapters.web.pages.seller.runs import RunPages
from adapters.web.pages.seller.sales import SalePages
from adapters.web.pages.seller.webhooks import WebhookPages


def seller_pages() -> list[Page]:
    sections = (
        DashboardPages(), ProductPages(), ProductFilePages(), PricePages(), PolicyPages(), RunPages(),
        ExperimentPages(), PromotionPages(), SalePages(), WebhookPages(),
    )  # fmt: skip
    return [page for section in sections for page in pages_of(section)]
