"""The command line: `seawall demo`, `seawall get URL...` and `seawall simulate CONFIG`.

Standard library only up to the point where a command runs, so that a missing extra is told in one line.
"""

import logging
import os
import sys
from collections.abc import Sequence

__all__ = ["main"]

_SILENT = logging.NullHandler()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status: 2 for bad usage, 130 after Ctrl-C."""
    try:
        import rich  # noqa: F401  (only to see that the extra is installed)
    except ImportError:
        print("seawall's command line needs the extra: pip install 'seawall[cli]'", file=sys.stderr)
        return 2

    from .arguments import parse

    # What the library logs, the commands show themselves; without a handler it would go to stderr as well.
    logging.getLogger("seawall").addHandler(_SILENT)
    try:
        return parse(argv).run()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has left (`seawall get ... | head`). Python would complain once more when it
        # flushes stdout at exit, so that goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    finally:
        logging.getLogger("seawall").removeHandler(_SILENT)
