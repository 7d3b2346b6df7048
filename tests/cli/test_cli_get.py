"""`seawall get` against real servers: what it prints, what it never prints, and its exit status."""

import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from interrupts import heard

from seawall.cli import main
from seawall.cli.flaky import FlakyServer, Weather, Window

Serve = Callable[[Weather], FlakyServer]
Canned = Callable[..., tuple[str, list[bytes]]]

GOOD = Weather()
DOWN = Weather(outage=Window(0, 1e9))


def test_success(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    """A URL that answers at once is shown with its one attempt, status and size, and exits 0."""
    server = serve(GOOD)
    assert main(["get", f"{server.url}/items"]) == 0
    head, attempt, final = capsys.readouterr().out.splitlines()
    assert head == f"GET {server.url}/items"
    assert re.match(r"  attempt 1 at \d\.\d\d s: 200 in ", attempt)
    assert final.startswith("  200, 1,201 bytes in ")


def test_retried(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    """A failure that a retry heals is shown with both attempts and the wait between, and exits 0."""
    server = serve(Weather(outage=Window(0, 1)))
    assert main(["get", f"{server.url}/items"]) == 0
    _, first, second, final = capsys.readouterr().out.splitlines()
    assert ": 503 in " in first
    assert ": 200 in " in second
    assert " s, after waiting " in second
    assert final.startswith("  200, ")
    assert server.received == {"outage": 1, "ok": 1}


def test_retry_after(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    """What the server asked for in Retry-After is shown, and kept to."""
    server = serve(Weather(throttled=Window(0, 1), retry_after=1))
    assert main(["get", "--json", f"{server.url}/items"]) == 0
    first, second = json.loads(capsys.readouterr().out)["attempts"]
    assert (first["status"], first["retry_after"]) == (429, 1.0)
    assert (second["status"], second["retry_after"]) == (200, None)
    assert second["started"] - first["started"] - first["elapsed"] >= 1.0


def test_gives_up(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    """When no further attempt would begin in time, the last answer is shown with the reason, and exits 1."""
    server = serve(Weather(throttled=Window(0, 1e9), retry_after=50))
    assert main(["get", "--timeout", "5", f"{server.url}/items"]) == 1
    out = capsys.readouterr().out
    assert ": 429 in " in out
    assert ", Retry-After 50 s" in out
    assert "\n  not retried further, deadline: the next attempt would not begin within --timeout\n" in out


def test_method_not_repeated(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    """A POST that fails is not sent again, and the output says why."""
    server = serve(DOWN)
    assert main(["get", "-X", "post", f"{server.url}/items"]) == 1
    out = capsys.readouterr().out
    assert out.startswith("POST ")
    assert "not retried further, method: the method is not safe to repeat" in out
    assert server.received.total() == 1


def test_head(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    """HEAD shows no bytes."""
    assert main(["get", "-X", "HEAD", f"{serve(GOOD).url}/items"]) == 0
    assert "  200, 0 bytes in " in capsys.readouterr().out


def test_unreachable(capsys: pytest.CaptureFixture[str]) -> None:
    """A server that is not there is shown by its error, and exits 1."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    assert main(["get", "--timeout", "1", f"http://127.0.0.1:{port}/"]) == 1
    assert "ConnectError: " in capsys.readouterr().out


def test_body_breaks(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    """An answer whose body breaks off is a failure, shown with its status and what came of it."""
    server = serve(Weather(truncated=1.0))
    assert main(["get", f"{server.url}/items"]) == 1
    out = capsys.readouterr().out
    assert "RemoteProtocolError: " in out
    assert "\n  200, 600 bytes, failed in " in out


def test_too_slow(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    """--timeout bounds the whole, retries included."""
    server = serve(Weather(slow=1.0, slow_latency=60.0))
    assert main(["get", "--json", "--timeout", "0.5", f"{server.url}/items"]) == 1
    story = json.loads(capsys.readouterr().out)
    assert story["status"] is None
    assert story["error"].startswith("TimedOut")
    assert story["elapsed"] < 5


def test_several(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    """Several URLs are shown in the order given, one failing makes it 1, and the last line counts."""
    good, down = serve(GOOD), serve(DOWN)
    urls = [f"{good.url}/1", f"{down.url}/2", f"{good.url}/3"]
    assert main(["get", "--timeout", "1", *urls]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("GET ")] == [f"GET {url}" for url in urls]
    assert lines[-1] == "2 of 3 answered below 400"


def test_concurrency_of_one(serve: Serve) -> None:
    """With --concurrency 1 a URL waits for the one before, and one connection does."""
    server = serve(GOOD)
    assert main(["get", "--concurrency", "1", *(f"{server.url}/{n}" for n in range(10))]) == 0
    assert server.connections == 1


def test_json(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    """--json prints one object per URL, a line each, with everything the words tell."""
    server = serve(GOOD)
    assert main(["get", "--json", f"{server.url}/1", f"{server.url}/2"]) == 0
    stories = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [story["url"] for story in stories] == [f"{server.url}/1", f"{server.url}/2"]
    story = stories[0]
    assert (story["method"], story["status"], story["bytes"]) == ("GET", 200, 1201)
    assert story["error"] is story["gave_up"] is None
    (attempt,) = story["attempts"]
    assert attempt.keys() == {"number", "started", "elapsed", "status", "error", "waited", "retry_after"}
    assert (attempt["number"], attempt["status"], attempt["error"], attempt["waited"]) == (1, 200, None, 0)


@pytest.mark.parametrize("form", [[], ["--json"]])
@pytest.mark.parametrize("weather", [GOOD, Weather(resets=1.0)])
def test_secrets(serve: Serve, capsys: pytest.CaptureFixture[str], weather: Weather, form: list[str]) -> None:
    """User name, password and header values appear nowhere in the output, whatever happens."""
    url = serve(weather).url.replace("http://", "http://alice:s3cret@")
    main(["get", *form, "--timeout", "1", "-H", "X-Key: t0ken", url + "/items"])
    said = "".join(capsys.readouterr())
    assert "http://***@127.0.0.1" in said
    for secret in ("alice", "s3cret", "t0ken"):
        assert secret not in said


def test_headers_are_sent(canned: Canned) -> None:
    """-H sends a header, each time it is given."""
    url, heard = canned(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
    assert main(["get", "-H", "X-One: 1", "-H", "X-Two:  größer ", url]) == 0
    assert b"\r\nX-One: 1\r\n" in heard[0]
    assert b"\r\nX-Two: " + "größer".encode() + b"\r\n" in heard[0]


@pytest.mark.parametrize(("form", "statuses"), [([], [302]), (["-L"], [302, 200])])
def test_redirects(canned: Canned, capsys: pytest.CaptureFixture[str], form: list[str], statuses: list[int]) -> None:
    """A redirect is an answer below 400; with -L it is followed, and each hop is an attempt of the one call."""
    away = b"HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    there = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi"
    url, heard = canned(*(away, there)[: len(statuses)])
    assert main(["get", "--json", *form, url]) == 0
    story = json.loads(capsys.readouterr().out)
    assert story["status"] == statuses[-1]
    assert [attempt["status"] for attempt in story["attempts"]] == statuses
    assert len(heard) == len(statuses)


def test_reader_leaves(serve: Serve) -> None:
    """When whoever reads the output has gone, the command ends without a word."""
    url = serve(Weather(latency=0.05)).url
    command = [sys.executable, "-m", "seawall.cli", "get", "--json", "--concurrency", "1", *[url] * 100]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as getting:
        assert getting.stdout is not None
        assert getting.stderr is not None
        assert getting.stdout.readline()
        getting.stdout.close()
        said = getting.stderr.read()
    assert (getting.returncode, said) == (1, b"")


def test_interrupted(serve: Serve) -> None:
    """Ctrl-C ends it with 130 and without a traceback."""
    slow = serve(Weather(slow=1.0, slow_latency=60.0))
    urls = [f"{serve(GOOD).url}/", f"{slow.url}/"]
    command = [sys.executable, "-m", "seawall.cli", "get", "--json", *urls]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=heard) as getting:
        assert getting.stdout is not None
        assert getting.stdout.readline()
        while not slow.received:  # the second request may still be on its way
            assert getting.poll() is None
            time.sleep(0.01)
        getting.send_signal(signal.SIGINT)
        out, err = getting.communicate(timeout=30)
    assert (getting.returncode, out, err) == (130, b"", b"")


def test_unusable_proxy(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A proxy in the environment that cannot be used is told in one line without its password, and exits 2."""
    monkeypatch.setenv("ALL_PROXY", "socks9://alice:s3cret@proxy")
    assert main(["get", "http://example.com/"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("seawall get: error: the environment's proxies or certificates: ")
    assert "socks9://***@proxy" in said
    assert said.count("\n") == 1


def test_plain_output(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    """Away from a terminal there are no control codes, and long lines are not broken."""
    url = f"{serve(GOOD).url}/{'x' * 300}"
    assert main(["get", url]) == 0
    out = capsys.readouterr().out
    assert f"GET {url}\n" in out
    assert "\x1b" not in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["get"], ["URL"]),
        (["get", "example.com/x"], ["argument URL: 'example.com/x'", "http:// or https://"]),
        (["get", "ftp://example.com/x"], ["argument URL: 'ftp://example.com/x'", "http:// or https://"]),
        (["get", "http:///x"], ["argument URL: 'http:///x' has no host"]),
        (
            ["get", "http://example.com:99999/"],
            ["argument URL: 'http://example.com:99999/'", "1 to 65535"],
        ),
        (
            ["get", "http://example.com:port/"],
            ["argument URL: 'http://example.com:port/' is not a URL", "port"],
        ),
        (["get", "http://[::1/"], ["argument URL: 'http://[::1/' is not a URL"]),
        (
            ["get", "-H", "X Y: 1", "http://h"],
            ["argument -H/--header: the header name has ' ' in it", "letters"],
        ),
        (["get", "-H", ": 1", "http://h"], ["argument -H/--header: there is no name before the ':'"]),
        (["get", "-H", "X: a\r\nY: b", "http://h"], ["argument -H/--header: the value of 'X'", "one line"]),
        (["get", "--timeout", "-1", "http://h"], ["argument --timeout: '-1'", "from 0.001"]),
        (["get", "--timeout", "nan", "http://h"], ["argument --timeout: 'nan'", "from 0.001"]),
        (["get", "--timeout", "inf", "http://h"], ["argument --timeout: 'inf'", "to 86400"]),
        (["get", "--timeout", "soon", "http://h"], ["argument --timeout: 'soon'", "number of seconds"]),
        (["get", "--concurrency", "0", "http://h"], ["argument --concurrency: '0'", "from 1 to 10000"]),
        (["get", "--concurrency", "1.5", "http://h"], ["argument --concurrency: '1.5'", "whole number"]),
        (["get", "-X", "GE T", "http://h"], ["argument -X/--method: 'GE T' is not an HTTP method"]),
        (["get", "-X", "CONNECT", "http://h"], ["argument -X/--method: 'CONNECT' opens a tunnel"]),
    ],
)
def test_bad_usage(arguments: list[str], words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Bad input exits 2 before anything is sent, naming the argument, what was given and what is allowed."""
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    said = capsys.readouterr().err
    for word in words:
        assert word in said


@pytest.mark.parametrize(
    "arguments",
    [
        ["http://alice:s3cret@example.com:99999/"],
        ["http://alice:s3/cret@example.com/"],
        ["htp://alice:s3cret@example.com/"],
        ["alice:s3cret@example.com"],
        ["http://alice:s3cret@[::1/"],
        ["-H", "s3cret", "http://h"],
        ["-H", "Bearer s3cret:s3cret", "http://h"],
        ["-H", "X: s3cret\n", "http://h"],
        ["-H", "X: s3cret\x00", "http://h"],
    ],
)
def test_bad_usage_keeps_secrets(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Not even a message about a malformed URL or header repeats a secret."""
    with pytest.raises(SystemExit) as exit_:
        main(["get", *arguments])
    assert exit_.value.code == 2
    said = "".join(capsys.readouterr())
    for secret in ("alice", "s3", "cret"):
        assert secret not in said.replace("secret", "")
