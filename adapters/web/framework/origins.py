"""Which site sent a request, by the headers of the browser (Fetch Metadata, Origin)."""

from starlette.requests import Request


def has_own_origin(request: Request) -> bool:
    """Whether the request names this site as its origin, or none."""
    return request.headers.get("origin") in {None, f"{request.url.scheme}://{request.url.netloc}"}


def is_same_origin(request: Request) -> bool:
    """Whether a form was sent by a page of this site.

    A client that sends neither header is not a browser; its form token is checked instead.
    """
    site = request.headers.get("sec-fetch-site")
    return has_own_origin(request) if site is None else site == "same-origin"
