"""Every Python block of README.md and docs/ runs as it is printed, with a local server in the place of the network."""

import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import documentation
import httpx
import pytest
from local_api import LocalApi, bring_home

import seawall.httpx

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [page for page in (README, *sorted((ROOT / "docs").rglob("*.md"))) if page.is_file()]


@pytest.fixture(scope="session")
def local_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalApi]:
    """The server that stands in for every host."""
    api = LocalApi(tmp_path_factory.mktemp("local_api"))
    yield api
    api.close()


@pytest.fixture
def network(local_api: LocalApi, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LocalApi]:
    """No network but the local server, and a folder of its own to work in."""
    bring_home(local_api, monkeypatch)
    monkeypatch.chdir(tmp_path)
    logger = logging.getLogger("seawall")
    level = logger.level
    yield local_api
    logger.setLevel(level)  # a page may have set it


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_python_block_runs(page: Path, network: LocalApi, request: pytest.FixtureRequest) -> None:
    """The blocks of a page run in order, as they are printed, without a warning."""
    for module in documentation.needs(page):
        pytest.importorskip(module)
    documentation.run(page, request.getfixturevalue)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_block_that_is_not_run_says_why(page: Path) -> None:
    """`<!-- no-run: reason -->` has a reason."""
    assert [block.line for block in documentation.blocks(page) if block.skipped == ""] == []


def test_the_readme_shows_python() -> None:
    """README.md has Python blocks, and at least its first is run."""
    if not README.is_file():
        pytest.skip("there is no README.md yet")
    found = documentation.blocks(README)
    assert found, "README.md has no python block"
    assert found[0].skipped is None


# -- the machinery


def page_of(folder: Path, text: str) -> Path:
    page = folder / "page.md"
    page.write_text(text)
    return page


def nothing(name: str) -> None:
    raise AssertionError(f"no fixture {name}")


def test_blocks_are_found(tmp_path: Path) -> None:
    """Python fences are found with their line, dedented, with the reason for which they are not run."""
    page = page_of(
        tmp_path,
        "# Title\n\n```python\na = 1\n```\n\n```sh\npip\n```\n\n- item\n\n  ```py\n  b = 2\n  ```\n"
        "<!-- no-run: needs a database -->\n\n```python title='x'\nc = 3\n```\n"
        "<!-- no-run -->\n~~~python\nd = 4\n~~~\n",
    )
    found = [(block.line, block.source, block.skipped) for block in documentation.blocks(page)]
    assert found == [
        (4, "a = 1\n", None),
        (14, "b = 2\n", None),
        (19, "c = 3\n", "needs a database"),
        (23, "d = 4\n", ""),
    ]


def test_blocks_share_a_namespace_and_a_loop(tmp_path: Path) -> None:
    """A later block sees what an earlier one defined, and awaits on the same event loop."""
    page = page_of(
        tmp_path,
        "```python\nimport asyncio\nasync def f():\n    return asyncio.get_running_loop()\n```\n"
        "```python\nloop = await f()\n```\n```python\nassert loop is await f()\n"
        "async with asyncio.timeout(60):\n    done = True\n```\n"
        "```python\nassert done and __name__ == '__main__'\nasyncio.run(f())\n```\n",
    )
    documentation.run(page, nothing)


def test_a_block_that_fails_fails_with_its_line(tmp_path: Path) -> None:
    """The traceback of a failing block shows the page and the line."""
    page = page_of(tmp_path, "text\n\n```python\nfine = 1\n1 / 0\n```\n")
    with pytest.raises(ZeroDivisionError) as caught:
        documentation.run(page, nothing)
    assert (str(caught.traceback[-1].path), caught.traceback[-1].lineno + 1) == (str(page), 5)


@pytest.mark.parametrize("comment", ["", "<!-- no-run: it is wrong -->\n"], ids=["run", "no-run"])
def test_a_block_that_cannot_be_compiled_fails(tmp_path: Path, comment: str) -> None:
    """A block that is not run must be good Python all the same."""
    page = page_of(tmp_path, f"{comment}```python\nif\n```\n")
    with pytest.raises(SyntaxError):
        documentation.run(page, nothing)


def test_a_page_says_what_it_needs(tmp_path: Path) -> None:
    """`<!-- needs: a, b.c -->` names modules without which a page cannot be run."""
    assert documentation.needs(page_of(tmp_path, "# Title\n\n<!-- needs: hishel.httpx, starlette -->\n")) == [
        "hishel.httpx",
        "starlette",
    ]
    assert documentation.needs(page_of(tmp_path, "# Title\n")) == []


def test_a_block_that_is_not_run_is_not_run(tmp_path: Path) -> None:
    """After `<!-- no-run: reason -->` a block is only compiled."""
    documentation.run(page_of(tmp_path, "<!-- no-run: it fails -->\n```python\n1 / 0\n```\n"), nothing)


def test_test_functions_are_called_with_their_fixtures(tmp_path: Path) -> None:
    """A test that a block defines is run, once, its arguments being fixtures."""
    page = page_of(
        tmp_path,
        "```python\ncalls = []\ndef test_one(thing):\n    calls.append(thing)\n"
        "async def test_two():\n    calls.append('two')\n```\n"
        "```python\nassert calls == ['thing', 'two']\n```\n",
    )
    documentation.run(page, lambda name: name)


def test_printed_requests_reach_the_local_server(tmp_path: Path, network: LocalApi) -> None:
    """Blocks that call https and http hosts, sync and async, with Seawall or plain httpx, are answered locally."""
    page = page_of(
        tmp_path,
        "```python\nimport httpx, seawall\nfrom seawall.httpx import AsyncClient, Client\n"
        "with Client() as client:\n"
        "    response = client.get('https://api.example.com/items?x=1')\n"
        "assert response.json()['host'] == 'api.example.com' and response.json()['path'] == '/items'\n"
        "assert len(seawall.report(response).attempts) == 1\n"
        "assert httpx.post('http://other.example:8080/x', content=iter([b'a', b'b'])).json()['received'] == 'ab'\n```\n"
        "```python\nclient = AsyncClient(seawall.Stack(seawall.Retry(2, wait=lambda _: 0.0)))\n"
        "response = await client.get('https://search.example.org:8443/status/503')\n"
        "assert (response.status_code, seawall.report(response).gave_up) == (503, 'attempts')\n"
        "assert (await client.head('https://api.example.com/')).content == b''\n```\n",
    )
    documentation.run(page, nothing)


def test_no_connection_leaves_the_machine(network: LocalApi) -> None:
    """A name resolves to nowhere, and connecting to nowhere connects here; loopback stays as it is."""
    assert socket.getaddrinfo("example.com", "https")[0][4] == ("198.18.0.1", 443)
    assert {info[4][0] for info in socket.getaddrinfo("127.0.0.1", 80)} == {"127.0.0.1"}
    with socket.create_connection(("93.184.216.34", 80)) as connection:
        assert connection.getpeername() == ("127.0.0.1", network.plain)
    with pytest.raises(httpx.ConnectError), seawall.httpx.Client(seawall.Stack(seawall.Timeout(5))) as client:
        client.get("http://127.0.0.1:1/")
