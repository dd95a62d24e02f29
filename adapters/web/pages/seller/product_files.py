"""Import of products from a CSV file, with a preview of every line's fate, and their export."""

from typing import Final

from starlette.responses import Response

from adapters.web.framework.api_client import ApiProblem
from adapters.web.framework.forms import FormErrors
from adapters.web.framework.page import SECURITY_HEADERS, Access, PageCall, PageSpec
from adapters.web.pages.seller.products import LIST, PRODUCTS

IMPORT: Final = f"{LIST}import/"
SHOWN_LINES: Final = 500
"""Lines of the preview, the refused ones first; the counts are of all lines."""


class ProductFilePages:
    """Pages for the seller's products as a file."""

    @PageSpec(method="GET", path=IMPORT, access=Access.ACCOUNT)
    async def show_import(self, call: PageCall) -> Response:
        return await call.render("seller/product_import.html", outcome=None, lines=(), text="")

    @PageSpec(method="POST", path=IMPORT, access=Access.ACCOUNT)
    async def import_products(self, call: PageCall) -> Response:
        """Check an uploaded file; or, after its preview, import the text that was checked."""
        is_confirmed = call.form.flag("confirmed")
        try:
            text = read_csv(call.form.file("file"), call.form.raw("csv"))
            outcome = await call.api.post(f"{PRODUCTS}import/", {"csv": text, "dry_run": not is_confirmed})
        except UnicodeDecodeError:
            errors = FormErrors((), {"file": [call.gettext("The file must be UTF-8 text.")]})
            return await self._refuse(call, errors, 400)
        except ApiProblem as problem:
            texts = problem.errors.get("csv")
            errors = FormErrors.of(problem) if texts is None else FormErrors((), {"file": texts})
            return await self._refuse(call, errors, problem.status)
        lines = sorted(outcome["results"], key=lambda line: (line["fate"] != "refused", line["line"]))[:SHOWN_LINES]
        return await call.render(
            "seller/product_import.html", outcome=outcome, lines=lines, text=text, fates=line_fates(call)
        )

    @PageSpec(method="GET", path=f"{LIST}export/", access=Access.ACCOUNT)
    async def export_products(self, call: PageCall) -> Response:
        exported = await call.api.request("GET", f"{PRODUCTS}export/")
        headers = {**SECURITY_HEADERS, "Content-Disposition": exported.headers["content-disposition"]}
        return Response(exported.body, 200, headers, exported.headers["content-type"])

    async def _refuse(self, call: PageCall, errors: FormErrors, status: int) -> Response:
        return await call.render(
            "seller/product_import.html", status=status, errors=errors, outcome=None, lines=(), text=""
        )


def read_csv(file: bytes | None, text: str) -> str:
    """The text of an uploaded file, otherwise the one that a preview kept; raise `UnicodeDecodeError`."""
    return text if file is None else file.decode("utf-8-sig")


def line_fates(call: PageCall) -> dict[str, tuple[str, str]]:
    """The word and the tone of each fate of a line."""
    _ = call.gettext
    return {
        "created": (_("New"), "good"),
        "updated": (_("Changed"), "busy"),
        "unchanged": (_("Unchanged"), "quiet"),
        "refused": (_("Refused"), "bad"),
    }
