"""Ctrl-C for commands that tests start."""

import functools
import signal

heard = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
"""For `preexec_fn`: what a shell runs in the background ignores it, and so would what is started there."""
