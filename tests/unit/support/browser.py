"""A browser without scripts: it keeps cookies, follows redirections and submits the forms of pages."""

import re
from collections.abc import Mapping
from html import unescape
from http.cookies import SimpleCookie
from typing import Any

from attrs import define, field
from httpx2 import Client, Response

ORIGIN = "http://localhost"
TOKEN = re.compile(r'name="form_token" value="([^"]+)"')


@define
class Browser:
    """One reader. Requests go to localhost, where cookies need no https."""

    client: Client
    cookies: dict[str, str] = field(factory=dict)
    language: str = "en"

    def send(self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **more: Any) -> Response:
        """One request without following redirections."""
        sent = {"Accept-Language": self.language, **(headers or {})}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        response = self.client.request(method, f"{ORIGIN}{path}", headers=sent, **more)
        # The jar of the client is shared by all browsers of a test.
        self.client.cookies.clear()
        for header in response.headers.get_list("set-cookie"):
            for name, morsel in SimpleCookie(header).items():
                if morsel["max-age"] == "0" or not morsel.value:
                    self.cookies.pop(name, None)
                else:
                    self.cookies[name] = morsel.value
        return response

    def get(self, path: str, **more: Any) -> Response:
        """Load a page, after its redirections."""
        response = self.send("GET", path, **more)
        while response.has_redirect_location:
            response = self.send("GET", response.headers["location"])
        return response

    def token(self, page: str = "/") -> str:
        """The form token of a page."""
        found = TOKEN.search(self.get(page).text)
        assert found is not None, f"{page} has no form"
        return unescape(found[1])

    def post(self, path: str, fields: Mapping[str, Any] | None = None, *, page: str = "/", **more: Any) -> Response:
        """Submit a form with the token of `page`, without following redirections."""
        data = {"form_token": self.token(page), **(fields or {})}
        return self.send("POST", path, data=data, headers={"Sec-Fetch-Site": "same-origin"}, **more)

    def submit(self, path: str, fields: Mapping[str, Any] | None = None, *, page: str = "/") -> Response:
        """Submit a form and load the page that it redirects to."""
        response = self.post(path, fields, page=page)
        return self.get(response.headers["location"]) if response.has_redirect_location else response

    def log_in(self, email: str, password: str) -> None:
        response = self.post("/log-in/", {"email": email, "password": password}, page="/log-in/")
        assert response.status_code == 303, response.text
