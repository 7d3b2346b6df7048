"""Programs that fork, for `test_fork`: each runs in a process of its own, since that of the tests has threads.

    python -W error forking.py NAME URL CERTIFICATES

What fails in a child fails the program, and so does whatever is written to stderr.
"""

import asyncio
import gc
import logging
import multiprocessing
import os
import random
import signal
import ssl
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

import seawall
from seawall import CircuitBreaker, CircuitOpen, ConcurrencyLimit, IdempotencyKey, Retry, Stack, Throttle, Timeout
from seawall.httpx import AsyncClient, AsyncPool, Client, Pool
from seawall.runtime.threads import WATCHDOG

PATIENCE = 20.0
URL = ""
VERIFY: Any = True


def fork(work: Callable[[], object]) -> int:
    """Begin some work in a child. Gives its process id."""
    with warnings.catch_warnings():
        # what it warns of is what these programs are about: a child that needs nothing of its parent's threads
        warnings.filterwarnings("ignore", r"This process \(pid=\d+\) is multi-threaded", DeprecationWarning)
        child = os.fork()
    if child == 0:
        code = 1
        try:
            gc.collect()  # says nothing of what is the parent's
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return child


def join(child: int) -> None:
    """Wait for the end of a child, which must be a good one."""
    give_up = time.monotonic() + PATIENCE
    while time.monotonic() < give_up:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            assert os.waitstatus_to_exitcode(status) == 0, "the child failed"
            return
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    raise AssertionError("the child hangs")


def refused(error: type[BaseException], work: Callable[[], object]) -> None:
    try:
        work()
    except error:
        return
    raise AssertionError(f"{error.__name__} was not raised")


def in_use(client: Any) -> int:
    return client._transport.inner.shards.slots.in_use  # type: ignore[no-any-return]


# -- connections


def keeps_connections() -> None:
    """The parent's connection is of use after a child has worked, closed its client and ended."""

    def child() -> None:
        for _ in range(3):
            assert client.get(URL + "/child").content == b"ok"
        client.close()

    with Client(verify=VERIFY) as client:
        client.get(URL + "/parent")
        join(fork(child))
        client.get(URL + "/parent")


def keeps_connections_async() -> None:
    """The same, forked while an event loop runs; the child runs one of its own."""

    async def child() -> None:
        for _ in range(3):
            assert (await client.get(URL + "/child")).content == b"ok"
        await client.aclose()

    async def main() -> None:
        await client.get(URL + "/parent")
        join(fork(lambda: asyncio.run(child())))
        await client.get(URL + "/parent")
        await client.aclose()

    client = AsyncClient(verify=VERIFY)
    asyncio.run(main())


def leaves_through_the_stack() -> None:
    """A child that leaves the blocks of its parent, and the interpreter, as if they were its own."""
    with Client(Stack(Timeout(20), ConcurrencyLimit(1)), verify=VERIFY) as client:
        client.get(URL + "/parent")
        with client.stream("GET", URL + "/slow") as response:
            child = os.fork()
            if child == 0:
                sys.exit(0)
            join(child)
            assert client.state.snapshot()[0]["in_use"] == 1
            httpx.get(URL + "/go", verify=VERIFY)
            assert response.read() == b"slow"
        client.get(URL + "/parent")


def responses_under_way() -> None:
    """In the child, a response that the parent reads can be closed, not read, and gives nothing back."""

    def child() -> None:
        assert in_use(client) == 0
        refused(httpx.ReadError, response.read)
        response.close()
        assert in_use(client) == 0
        with client.stream("GET", URL + "/child"):
            assert in_use(client) == 1

    with Client(transport=Pool(2, verify=VERIFY)) as client:
        response = client.send(client.build_request("GET", URL + "/slow"), stream=True)
        join(fork(child))
        assert in_use(client) == 1
        client.get(URL + "/go")
        assert response.read() == b"slow"
        assert in_use(client) == 0


def responses_under_way_async() -> None:
    """The same in event loops: the parent's goes on to watch its connection."""

    async def child() -> None:
        await response.aclose()
        assert in_use(client) == 0
        async with client.stream("GET", URL + "/child"):
            assert in_use(client) == 1

    async def main() -> None:
        nonlocal response
        response = await client.send(client.build_request("GET", URL + "/slow"), stream=True)
        join(fork(lambda: asyncio.run(child())))
        assert in_use(client) == 1
        await client.get(URL + "/go")
        assert await response.aread() == b"slow"
        await client.aclose()

    response: Any = None
    client = AsyncClient(transport=AsyncPool(2, verify=VERIFY))
    asyncio.run(main())


def dropped_responses() -> None:
    """What a collector finds of the parent's in a child gives nothing back there."""

    def child() -> None:
        warnings.simplefilter("ignore", ResourceWarning)
        responses.clear()
        gc.collect()
        assert in_use(client) == 0
        assert not client._transport.inner.shards.abandoned
        assert client.get(URL + "/child").content == b"ok"

    with Client(transport=Pool(2, verify=VERIFY)) as client:
        responses = [client.send(client.build_request("GET", URL + "/parent"), stream=True)]
        join(fork(child))
        assert responses.pop().read() == b"ok"


def lets_go() -> None:
    """A connection that the parent closes is closed, though a child lives on."""
    client = Client(verify=VERIFY)
    client.get(URL + "/parent")
    child, end = idle_child()
    client.close()
    wait_for_end_of_connections()
    os.close(end)
    join(child)


def lets_go_async() -> None:
    """The same in event loops."""

    async def main() -> None:
        client = AsyncClient(verify=VERIFY)
        await client.get(URL + "/parent")
        child, end = idle_child()
        await client.aclose()
        wait_for_end_of_connections()
        os.close(end)
        join(child)

    asyncio.run(main())


def idle_child() -> tuple[int, int]:
    """A child that does nothing until a file descriptor of the parent's is closed."""
    reader, writer = os.pipe()

    def wait() -> None:
        os.close(writer)
        os.read(reader, 1)

    return fork(wait), writer


def wait_for_end_of_connections() -> None:
    """Wait until the server has no other connection than the one that asks it."""
    give_up = time.monotonic() + PATIENCE
    while httpx.get(URL + "/open", verify=VERIFY).text != "1":
        assert time.monotonic() < give_up, "the child holds a connection open"


# -- state


def starts_afresh() -> None:
    """No circuit, slot, start or token of the parent's is known to the child, which has its own."""
    breaker, throttle = CircuitBreaker(consecutive=1, open_for=300), Throttle(2, per=300, max_wait=0.001)
    logging.getLogger("seawall").setLevel(logging.ERROR)
    client = Client(Stack(Retry(1), breaker, ConcurrencyLimit(1, queue=0), throttle), verify=VERIFY)

    def child() -> None:
        assert not list(client.state.circuits())
        assert client.get(URL + "/child").content == b"ok"
        assert client.get(URL + "/503").status_code == 503
        refused(CircuitOpen, lambda: client.get(URL + "/child"))

    with client.stream("GET", URL + "/parent"):
        join(fork(child))
    assert client.get(URL + "/503").status_code == 503
    refused(CircuitOpen, lambda: client.get(URL + "/parent"))
    join(fork(child))
    refused(CircuitOpen, lambda: client.get(URL + "/parent"))
    client.close()


def held_locks() -> None:
    """Locks that another thread held at the fork hang nothing in the child, not even the end of an old response."""

    def hold() -> None:
        for lock in locks:
            lock.acquire()
        held.set()
        over.wait()
        for lock in locks:
            lock.release()

    def child() -> None:
        response.close()
        assert client.get(URL + "/child", extensions={"seawall": {"timeout": 10}}).content == b"ok"
        refused(seawall.TimedOut, lambda: client.get(URL + "/hold", extensions={"seawall": {"timeout": 0.05}}))

    stack = Stack(Timeout(20), Retry(1), CircuitBreaker(), ConcurrencyLimit(5), Throttle(1000))
    with Client(stack, verify=VERIFY) as client:
        client.get(URL + "/parent")  # from now on there is a watchdog thread
        response = client.send(client.build_request("GET", URL + "/parent"), stream=True)
        shards = client._transport.inner.shards
        cells = [cell.state._lock for cell in client.state._all_cells()]
        assert len(cells) == 4
        locks = [client.state._lock, shards._lock, shards.slots._lock, WATCHDOG._lock, *cells]
        held, over = threading.Event(), threading.Event()
        holder = threading.Thread(target=hold)
        holder.start()
        held.wait()
        child_id = fork(child)
        over.set()
        holder.join()
        join(child_id)
        assert response.read() == b"ok"


def dice() -> None:
    """The jitter of a wait and the keys of calls are drawn anew in each process."""

    def draw() -> None:
        response = client.post(URL + "/503")
        # in one piece, which `print` may not: other processes write to the same pipe
        sys.stdout.write(f"{seawall.report(response).attempts[1].waited!r}\n")

    wait = seawall.full_jitter(base=0.005)
    with Client(Stack(IdempotencyKey(), Retry(2, wait=wait)), verify=VERIFY) as client:
        random.seed(1)
        for child in [fork(draw) for _ in range(3)]:
            join(child)
        draw()


# -- event loops, threads, processes


def turns_of_the_loop() -> None:
    """A burst in a child's loop starts, though its parent forked in the middle of one; its deadlines work."""
    stack = Stack(Timeout(20), Timeout(10))

    async def child() -> None:
        found = await asyncio.gather(*(client.get(URL + "/child") for _ in range(100)))
        assert all(response.content == b"ok" for response in found)
        try:
            await client.get(URL + "/hold", extensions={"seawall": {"timeout": 0.05}})
        except seawall.TimedOut:
            return
        raise AssertionError("the deadline passed unseen")

    async def main() -> None:
        burst = [asyncio.create_task(client.get(URL + "/parent")) for _ in range(100)]
        await burst[0]
        child_id = fork(lambda: asyncio.run(child()))
        await asyncio.gather(*burst)
        join(child_id)
        await client.aclose()

    client = AsyncClient(stack, transport=AsyncPool(5, verify=VERIFY))
    asyncio.run(main())


def from_a_thread() -> None:
    """A thread forks while the main one runs a loop full of requests; the child runs a loop of its own."""

    async def child() -> None:
        found = await asyncio.gather(*(client.get(URL + "/child") for _ in range(20)))
        assert all(response.content == b"ok" for response in found)
        assert in_use(client) == 0

    def thread() -> None:
        join(fork(lambda: asyncio.run(child())))

    async def main() -> None:
        await client.get(URL + "/parent")  # imports what is left to import: Python's own locks for it outlive a fork
        forked = asyncio.get_running_loop().run_in_executor(None, thread)
        while not forked.done():
            await asyncio.gather(*(client.get(URL + "/parent") for _ in range(10)))
        await forked
        await client.aclose()

    client = AsyncClient(seawall.standard(), transport=AsyncPool(5, verify=VERIFY))
    asyncio.run(main())


def worker_processes() -> None:
    """Workers of a server that was loaded before it forked them, each with all permits; and a pool of processes."""
    client = Client(seawall.standard(), transport=Pool(2, verify=VERIFY))
    client.get(URL + "/parent")

    def worker() -> None:
        with client.stream("GET", URL + "/child"), client.stream("GET", URL + "/child"):
            assert in_use(client) == 2
        threads = [threading.Thread(target=client.get, args=(URL + "/child",)) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        client.close()

    for child in [fork(worker) for _ in range(3)]:
        join(child)
    shared.append(client)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(ask, range(6)) == [200] * 6
        pool.close()
        pool.join()
    client.get(URL + "/parent")
    client.close()


shared: list[Client] = []
"""What the processes of a pool find as it was at the fork."""


def ask(number: int) -> int:
    return shared[0].get(f"{URL}/child?{number}").status_code


if __name__ == "__main__":
    URL = sys.argv[2]
    VERIFY = ssl.create_default_context(cafile=sys.argv[3]) if Path(sys.argv[3]).is_file() else True
    globals()[sys.argv[1]]()
