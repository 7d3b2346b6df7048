"""`seawall simulate` that does not come to its end: Ctrl-C, stacks that cannot go on, and bounds."""

import re
import signal
from pathlib import Path

import simulated

MEETING = """\
import sys
from dataclasses import dataclass

import seawall

times = {times}


@dataclass(frozen=True)
class Meet(seawall.Policy[None]):
    '''Waits for a word from outside, the first calls of these virtual seconds do.'''

    async def handle(self, call, state, next):
        if times and call.runtime.now() >= times[0]:
            times.pop(0)
            print("here", file=sys.stderr, flush=True)
            sys.stdin.readline()
        return await next(call)


stack = seawall.Stack(seawall.Timeout(5), seawall.Retry(3), Meet(), seawall.Timeout(0.5))
"""

STUCK = """\
import sys
from dataclasses import dataclass

import seawall


@dataclass(frozen=True)
class Stubborn(seawall.Policy[None]):
    async def handle(self, call, state, next):
        while (response := await next(call)).status_code == 500:
            pass
        return response


@dataclass(frozen=True)
class Wrong(seawall.Policy[None]):
    async def handle(self, call, state, next):
        return await next(call.nothing)


stubborn = seawall.Stack(Stubborn())
wrong = seawall.Stack(Wrong())
"""


def interrupt(
    path: Path, *arguments: str, times: list[float], changes: str = "[[10, 0], [13, 4]]"
) -> tuple[int, str, str]:
    """Run the command, and press Ctrl-C at each of these virtual times. Its status and what it printed.

    `changes` are those of the server's slots.
    """
    simulated.folder(path, meeting=MEETING.format(times=times))
    (path / "pause.toml").write_text(simulated.SCENARIO.replace("[[10, 0], [13, 4]]", changes), encoding="utf-8")
    command = simulated.process(path, "meeting:stack", "--scenario-file", "pause.toml", *arguments)
    assert command.stdin is not None
    assert command.stderr is not None
    with command:
        for _ in times:
            assert command.stderr.readline() == "here\n"
            command.send_signal(signal.SIGINT)
            try:
                command.stdin.write("go on\n")  # it has the signal before it has this
                command.stdin.flush()
            except BrokenPipeError:
                break  # it has gone already
        out, err = command.communicate(timeout=50)
    return command.returncode, out, err


def test_an_interrupted_run_leaves_a_partial_report(tmp_path: Path) -> None:
    """Ctrl-C ends the virtual second; table and page are about the time until then, and say so; the status is 130."""
    status, out, err = interrupt(tmp_path, "--against", "bare", "--html", "report.html", times=[14.5])
    assert (status, err) == (130, "")
    notice = "Interrupted at virtual second 15 of 40. The report is about the time until then"
    assert notice in " ".join(out.split())
    assert re.search(r"recovery after the fault\s+\S\s+too early to tell\s+\S\s+too early to tell", out)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<strong>Interrupted at virtual second 15 of 40.</strong> The report is about the time until then" in page
    assert '<th scope="row">14</th>' in page
    assert '<th scope="row">15</th>' not in page


def test_interrupted_again_it_ends_at_once(tmp_path: Path) -> None:
    """A second Ctrl-C is not waited for: no report, no traceback, status 130."""
    status, out, err = interrupt(tmp_path, "--html", "report.html", times=[14.2, 14.3])
    assert (status, err) == (130, "")
    assert "requests made" not in out
    assert not (tmp_path / "report.html").exists()


def test_interrupted_while_the_last_answers_are_waited_for(tmp_path: Path) -> None:
    """When no calls are made any more it says that instead of a second beyond the end."""
    status, out, err = interrupt(tmp_path, times=[40.1], changes="[[39, 0]]")
    assert (status, err) == (130, "")
    assert "Interrupted at virtual second 41, when only the last answers were waited for." in " ".join(out.split())


def run(path: Path, *arguments: str) -> tuple[int, str, str]:
    command = simulated.process(simulated.folder(path, stuck=STUCK), *arguments)
    out, err = command.communicate(timeout=50)
    return command.returncode, out, err


def test_a_stack_that_repeats_without_end(tmp_path: Path) -> None:
    """It is stopped; what was played until then is reported, with the reason, and the status is 1."""
    (tmp_path / "down.toml").write_text(
        simulated.SCENARIO.replace("[server]", "[server]\nfailing = { value = 0, changes = [[5, 1]] }")
    )
    arguments = "--against", "stuck:stubborn", "--scenario-file", "down.toml", "--html", "report.html"
    status, out, err = run(tmp_path, "bare", *arguments)
    assert (status, err) == (1, "")
    said = " ".join(out.split())
    assert re.search(
        r"stuck:stubborn could not go on at virtual second 5\.\d+: RuntimeError: a call of traffic [01] made more "
        r"than 10,000 attempts: this stack repeats without end",
        said,
    )
    assert "requests made" in out
    assert "could not go on" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_fault_in_a_policy(tmp_path: Path) -> None:
    """An error of a policy's own is told with its place, without a traceback."""
    status, out, err = run(tmp_path, "stuck:wrong", "--scenario-file", "pause.toml")
    assert (status, err) == (1, "")
    line = STUCK.splitlines().index("        return await next(call.nothing)") + 1
    place = f"AttributeError: 'Call' object has no attribute 'nothing' ({tmp_path / 'stuck.py'}, line {line})"
    assert place.replace(" ", "") in "".join(out.split())


def test_a_scenario_that_would_not_end(tmp_path: Path) -> None:
    """A scenario lasts for a day at most."""
    path = simulated.folder(tmp_path)
    (path / "long.toml").write_text(simulated.SCENARIO.replace("duration = 40", "duration = 1e12"))
    status, _, err = run(tmp_path, "bare", "--scenario-file", "long.toml")
    assert status == 2
    assert "86400" in err
    assert "Traceback" not in err
