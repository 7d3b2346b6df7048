"""The types that users see: examples of the whole public surface, checked by mypy and run."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import seawall

EXAMPLES = Path(__file__).parent / "typed" / "examples.py"
MISUSES = {
    "Timeout('30')": "arg-type",
    "Timeout(30, False)": "misc|call-arg",
    "Retry(3, statuse={503})": "call-arg",
    "IdempotencyKey('POST')": "arg-type",
    "Retry(methods='GET')": "arg-type",
    "CircuitBreaker(5)": "misc|call-arg",
    "Throttle(10, key='orgin')": "arg-type",
    "ConcurrencyLimit(1, release_on='end')": "arg-type",
    "Stack(Retry)": "arg-type",
    "Endpoints({'*': Retry()})": "dict-item",
    "Client(5)": "arg-type",
    "Client(listeners=[5])": "list-item",
    "seawall.options(priorty=1)": "call-arg",
    "seawall.Rety": "attr-defined",
    "Client().get('x').nothing": "attr-defined",
    "Client().send(5)": "arg-type",
}


def mypy(path: Path, cache: Path) -> str:
    """What mypy says of a file, in strict mode, about the package that is being tested."""
    command = [sys.executable, "-m", "mypy", "--strict", "--python-version", "3.11", "--cache-dir", str(cache)]
    ran = subprocess.run(
        [*command, "--config-file", "", str(path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=path.parent,
        env={"MYPYPATH": _package_root(), "PATH": "", "HOME": str(cache)},
    )
    assert ran.stderr == ""
    return ran.stdout


def _package_root() -> str:
    """Where the package stands, if mypy would not find it as an installed one."""
    root = Path(seawall.__file__).parents[1]
    return "" if root.name == "site-packages" else str(root)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mypy", reason="mypy is in the extra `dev`; CI has it")
    return tmp_path_factory.mktemp("mypy")


@pytest.mark.timeout(300)
def test_typed_programs_pass_strict_type_checks(cache: Path) -> None:
    """The typed examples, which use every public name, pass `mypy --strict`."""
    assert mypy(EXAMPLES, cache).startswith("Success"), mypy(EXAMPLES, cache)


@pytest.mark.timeout(300)
def test_misuse_is_found_by_type_checkers(cache: Path, tmp_path: Path) -> None:
    """A wrong argument, a misspelt name and a type that is not there are errors of the type checker."""
    program = tmp_path / "misuse.py"
    lines = [
        "import seawall",
        "from seawall import CircuitBreaker, ConcurrencyLimit, Endpoints, IdempotencyKey",
        "from seawall import Retry, Stack, Throttle, Timeout",
        "from seawall.httpx import Client",
        *MISUSES,
    ]
    program.write_text("\n".join(lines) + "\n")
    said = mypy(program, cache)
    for number, (misuse, code) in enumerate(MISUSES.items(), 5):
        errors = [line for line in said.splitlines() if line.startswith(f"misuse.py:{number}: error")]
        assert any(f"[{name}]" in line for line in errors for name in code.split("|")), f"{misuse}: {errors}\n{said}"


def test_typed_programs_run() -> None:
    """The typed examples do what they say when they are run."""
    spec = importlib.util.spec_from_file_location("typed_examples", EXAMPLES)
    assert spec is not None
    assert spec.loader is not None
    examples: ModuleType = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = examples  # dataclasses look their module up
    try:
        spec.loader.exec_module(examples)
        examples.run_all()
    finally:
        del sys.modules[spec.name]


def test_the_examples_use_every_public_name() -> None:
    """No public name is missing from the typed examples, errors' bases and the records' own names aside."""
    import ast

    tree = ast.parse(EXAMPLES.read_text())
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    used |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    unused = set(seawall.__all__) - used
    assert unused <= {"SeawallError", "StackError", "OptionError", "WaitTooLong"}
