"""The back office `/admin/`: what needs a person, and everything that staff look up and change."""

from typing import Final

from adapters.web.framework.page import Page, pages_of
from adapters.web.pages.admin.attention import AttentionPages
from adapters.web.pages.admin.audit import AuditPages
from adapters.web.pages.admin.bulk import BulkPages
from adapters.web.pages.admin.categories import CategoryPages
from adapters.web.pages.admin.orders import AllOrderPages
from adapters.web.pages.admin.pricing import PricingPages
from adapters.web.pages.admin.products import ProductPages
from adapters.web.pages.admin.users import UserPages
from adapters.web.pages.admin.webhooks import WebhookPages

SECTIONS: Final = (
    AttentionPages,
    BulkPages,
    AllOrderPages,
    ProductPages,
    CategoryPages,
    UserPages,
    PricingPages,
    WebhookPages,
    AuditPages,
)


def admin_pages() -> list[Page]:
    return [page for section in SECTIONS for page in pages_of(section())]
