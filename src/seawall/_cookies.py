"""Cookies that are looked for only in responses that set some.

To find out that there is nothing for it, `http.cookiejar` wants a request and a response of `urllib`, with all their
headers: a third of the time that a GET through httpx takes. httpx2 asks the headers first, and so does this.
"""

from http.cookiejar import CookieJar
from typing import Any


class Cookies:
    """Joined with httpx's class of that name."""

    jar: CookieJar

    def extract_cookies(self, response: Any) -> None:
        """As httpx's own. A jar of the caller's making is shown every response, whatever it looks for."""
        headers = response.headers
        if "set-cookie" in headers or "set-cookie2" in headers or not _plain(self.jar):
            super().extract_cookies(response)  # type: ignore[misc]  # httpx's class comes next


def _plain(jar: CookieJar) -> bool:
    kind = type(jar)
    return (
        isinstance(jar, CookieJar)
        and kind.extract_cookies is CookieJar.extract_cookies
        and kind.make_cookies is CookieJar.make_cookies
    )
