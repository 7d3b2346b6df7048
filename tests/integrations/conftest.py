"""Libraries that people put beside, around or inside Seawall, against servers on real sockets.

Each test module skips itself where its library is not installed: `pip install '.[test,integrations]'`.
"""

from real.conftest import (  # noqa: F401 - fixtures and a hook, the same as for all tests on real sockets
    mode,
    nothing_leaks,
    plain_environment,
    pytest_pyfunc_call,
    serve,
    settled_heap,
    somebody,
)
