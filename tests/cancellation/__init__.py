"""Every cancellation point: a call is struck at each of its suspensions in turn, and nothing may be left of it."""
