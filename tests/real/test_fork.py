"""A client that is used in a process and then in its forked children. The programs are in `forking`."""

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from . import forking
from .conftest import Certificates, Serve
from .servers import OK, Connection, Server, response

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")


class Site:
    """A server for the programs. `/slow` has the second half of its body held back until `/go` is asked for."""

    def __init__(self, serve: Serve, tls: Certificates | None, folder: Path) -> None:
        self.go = threading.Event()
        self.server: Server = serve(self.script, tls=None if tls is None else tls.server)
        self.certificates = folder / "authority.pem"
        if tls is not None:
            tls.authority.cert_pem.write_to_path(str(self.certificates))

    def script(self, connection: Connection) -> None:
        while request := connection.request():
            if request.target == "/hold":
                connection.hold()
                return
            if request.target == "/slow":
                connection.send(response(b"sl", length=4))
                assert self.go.wait(forking.PATIENCE)
                connection.send(b"ow")
                continue
            if request.target == "/go":
                self.go.set()
            if request.target == "/open":
                connection.send(response(str(self.server.open).encode(), Connection="close"))
                return
            connection.send(response(b"no", status="503 No") if request.target == "/503" else OK)

    def run(self, program: Any) -> str:
        """Run a program to its good and silent end. Gives what it printed."""
        done = subprocess.run(
            [sys.executable, "-W", "error", forking.__file__, program.__name__, self.server.origin, self.certificates],
            timeout=55,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        return done.stdout

    def connections(self, path: str) -> list[int]:
        """The connections on which a path was asked for."""
        return [heard.connection for heard in self.server.heard if heard.target.startswith(path)]


@pytest.fixture
def secure(serve: Serve, tls: Certificates, tmp_path: Path) -> Site:
    """The server with TLS, whose end is said before a connection's."""
    return Site(serve, tls, tmp_path)


@pytest.fixture
def plain(serve: Serve, tmp_path: Path) -> Site:
    """The server without."""
    return Site(serve, None, tmp_path)


@forks
@pytest.mark.parametrize("program", [forking.keeps_connections, forking.keeps_connections_async])
@pytest.mark.parametrize("site", ["plain", "secure"])
def test_connections_are_not_shared(request: pytest.FixtureRequest, site: str, program: Any) -> None:
    """The child makes connections of its own; that of the parent is of use afterwards, whatever the child closed."""
    server: Site = request.getfixturevalue(site)
    server.run(program)
    [first, second], child = server.connections("/parent"), server.connections("/child")
    assert first == second
    assert child == [child[0]] * 3
    assert child[0] != first


@forks
def test_child_may_leave_through_the_stack(secure: Site) -> None:
    """A child that leaves its parent's `with` blocks by `sys.exit` neither writes to its connections nor reads them."""
    secure.run(forking.leaves_through_the_stack)
    assert len(set(secure.connections("/parent"))) == 1


@forks
@pytest.mark.parametrize("program", [forking.responses_under_way, forking.responses_under_way_async])
def test_response_under_way_is_the_parents(secure: Site, program: Any) -> None:
    """A response that is open at a fork is the parent's: the child can close it, to no effect, and has every permit."""
    secure.run(program)
    assert len(secure.connections("/child")) == 1


@forks
def test_response_collected_in_the_child(plain: Site) -> None:
    """A response of the parent's that is collected in the child gives no permit back there."""
    plain.run(forking.dropped_responses)


@forks
@pytest.mark.parametrize("program", [forking.lets_go, forking.lets_go_async])
def test_child_holds_no_connection_open(secure: Site, program: Any) -> None:
    """A connection that the parent closes ends for the server too, while a child that was forked meanwhile lives on."""
    secure.run(program)


@forks
def test_state_starts_afresh(plain: Site) -> None:
    """The child has closed circuits, free slots and unspent quotas, and what it learns stays its own."""
    plain.run(forking.starts_afresh)


@forks
def test_locks_held_by_other_threads(plain: Site) -> None:
    """Whatever lock another thread holds at the fork, nothing in the child waits for it; its deadlines are kept."""
    plain.run(forking.held_locks)


@forks
def test_chance_is_not_shared(plain: Site) -> None:
    """Children draw other waits and other idempotency keys than their parent and each other."""
    waits = plain.run(forking.dice).split()
    assert len(set(waits)) == len(waits) == 4
    keys = [heard.headers["idempotency-key"] for heard in plain.server.heard]
    assert len(keys) == 8
    assert len(set(keys)) == 4


@forks
@pytest.mark.parametrize("program", [forking.turns_of_the_loop, forking.from_a_thread])
def test_event_loops(plain: Site, program: Any) -> None:
    """A child that is forked while a loop runs, in this thread or another, runs one of its own with the same client."""
    plain.run(program)
    assert not set(plain.connections("/child")) & set(plain.connections("/parent"))


@forks
def test_worker_processes(plain: Site) -> None:
    """Workers of a server that preloads its application, and those of `multiprocessing`, each have every permit."""
    plain.run(forking.worker_processes)
    assert len(set(plain.connections("/parent"))) == 1
    assert not set(plain.connections("/child")) & set(plain.connections("/parent"))


def test_import_where_there_are_no_forks() -> None:
    """On a platform without `os.register_at_fork`, Seawall is imported as anywhere."""
    program = "import os; del os.register_at_fork, os.fork; import seawall.httpx"
    subprocess.run([sys.executable, "-W", "error", "-c", program], timeout=55, check=True)
