"""Cookies of Seawall's own clients. That they are kept and sent as ever is among `tests/transparency`."""

from http.cookiejar import CookieJar
from typing import Any

import pytest
from drivers import exchange

from seawall import Timeout
from seawall.testing import ScriptedServer, reply


@pytest.mark.parametrize("driver", ["threads", "asyncio"])
@pytest.mark.parametrize(("headers", "searched"), [({}, 0), ({"Set-Cookie": "a=1"}, 1), ({"Set-Cookie2": "a=1"}, 1)])
def test_only_a_response_that_sets_cookies_is_searched_for_them(
    driver: str, headers: dict[str, str], searched: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To look for cookies takes a third of the time of a GET, so it is left out where there are none."""
    shown: list[Any] = []
    extract = CookieJar.extract_cookies

    def extract_cookies(self: CookieJar, response: Any, request: Any) -> None:
        shown.append(response)
        extract(self, response, request)

    monkeypatch.setattr(CookieJar, "extract_cookies", extract_cookies)
    done = exchange(driver, ScriptedServer(then=reply(headers=headers)), Timeout(5))
    assert done.status == 200
    assert len(shown) == searched
