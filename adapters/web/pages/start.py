"""The start page `/`."""

from starlette.responses import Response

from adapters.web.framework.page import Access, Page, PageCall, PageSpec, pages_of


class StartPages:
    @PageSpec(method="GET", path="/", access=Access.PUBLIC)
    async def show_start(self, call: PageCall) -> Response:
        return await call.render("start.html")


def start_pages() -> list[Page]:
    return pages_of(StartPages())
