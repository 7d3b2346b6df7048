"""Test code that uses Seawall: virtual time, scripted servers, recorded events.

    from seawall.testing import ScriptedServer, VirtualRuntime, reply

    def test_retries_until_it_works():
        server = ScriptedServer(reply(503), reply(503), reply(200))

        async def main():
            async with AsyncClient(Stack(Retry()), transport=server) as client:
                return await client.get("https://example.com")

        assert VirtualRuntime().run(main()).status_code == 200     # backoff included, takes no time

The pytest fixtures `seawall_runtime`, `seawall_server` and `seawall_recorder` are there once Seawall is installed.
"""

from .recorder import Recorder
from .server import Received, Reply, ScriptedServer, reply
from .virtual import Cancelled, Task, VirtualRuntime

__all__ = ["Cancelled", "Received", "Recorder", "Reply", "ScriptedServer", "Task", "VirtualRuntime", "reply"]
