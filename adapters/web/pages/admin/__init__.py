"""The back office `/admin/`: what needs a person, and everything that staff look up and change."""

from adapters.web.framework.page import Page, pages_of
from adapters.web.pages.admin.attention import AttentionPages
from adapters.web.pages.admin.audit import AuditPages
from adapters.web.pages.admin.bulk import BulkPages
from adapters.web.pages.admin.orders import AllOrderPages


def admin_pages() -> list[Page]:
    sections = (AttentionPages(), BulkPages(), AllOrderPages(), AuditPages())
    return [page for section in sections for page in pages_of(section)]
