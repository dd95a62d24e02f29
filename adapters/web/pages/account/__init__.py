"""Everybody's own account: profile, security, API keys and data; and the pages behind links in e-mails."""

from adapters.web.framework.page import Page, pages_of
from adapters.web.pages.account.api_keys import ApiKeyPages
from adapters.web.pages.account.email_links import EmailLinkPages
from adapters.web.pages.account.profile import ProfilePages
from adapters.web.pages.account.security import SecurityPages


def own_account_pages() -> list[Page]:
    sections = (ProfilePages(), SecurityPages(), ApiKeyPages(), EmailLinkPages())
    return [page for section in sections for page in pages_of(section)]
