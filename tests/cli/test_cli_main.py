"""The `seawall` command itself."""

import subprocess
import sys

import pytest

from seawall.cli import main
from seawall.cli.redaction import printable, redacted

MISSING = "seawall's command line needs the extra: pip install 'seawall[cli]'\n"


def test_without_rich() -> None:
    """Without the extra the command says in one line which one it needs, and exits 2."""
    code = "import sys; sys.modules['rich'] = None; from seawall.cli import main; sys.exit(main(['demo']))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (2, "", MISSING)


def test_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a command the usage is shown and the status is 2."""
    with pytest.raises(SystemExit) as exit_:
        main([])
    assert exit_.value.code == 2
    assert "usage: seawall" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["--help"], ["demo", "--help"], ["get", "--help"], ["simulate", "--help"], ["--version"]]
)
def test_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Help and version exit 0."""
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 0
    assert capsys.readouterr().out.startswith(("usage: seawall", "seawall "))


def test_as_module() -> None:
    """`python -m seawall.cli` is the same command."""
    ran = subprocess.run([sys.executable, "-m", "seawall.cli", "get"], capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert ran.stderr.startswith("usage: seawall get")


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("http://host/path", "http://host/path"),
        ("http://me:pw@host/path", "http://***@host/path"),
        ("http://me:p/w@host/path", "http://***@host/path"),
        ("http://me:p@w@host/path", "http://***@host/path"),
        ("me:pw@host", "***@host"),
        ("http://host/\x1b[31m", "http://host/\\x1b[31m"),
    ],
)
def test_redacted(given: str, shown: str) -> None:
    """Whatever may be a user name or a password is left out, and control characters are escaped."""
    assert redacted(given) == shown


def test_printable() -> None:
    """Text from outside cannot steer the terminal."""
    assert printable("a\x1b[2J\nb\u202ec\xe9") == "a\\x1b[2J\\nb\\u202ec\xe9"
