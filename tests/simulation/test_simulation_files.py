"""Scenarios in TOML files: what can be said in them, and what is said of a file that cannot be."""

import re
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from seawall.testing.simulation import (
    SCENARIOS,
    Bursts,
    Closed,
    Constant,
    Empirical,
    Exponential,
    Lognormal,
    Poisson,
    Quota,
    Scenario,
    Schedule,
    Server,
    Sometimes,
    Trace,
    Traffic,
    read_scenario,
    scenario_toml,
)

EVERYTHING = """\
name = "everything"
about = "All there is to say."
duration = 30
drain = 5
fault = [10, 15.5]
attempt_timeout = 0.5
attempts = 4

[server]
slots = { value = 5, changes = [[10, 0], [15.5, 5]] }
service = { kind = "sometimes", usual = { kind = "lognormal", seconds = 0.1, cv = 2 }, share = 0.1, factor = 3 }
per_concurrent = 0.01
slowdown = { value = 1, changes = [[20, 2]] }
queue = 100
queue_seconds = 2
discipline = "lifo"
serves_the_gone = false
failing = 0.01
failure = "ReadError"
replicas = 3
balance = "least busy"

[server.quota]
rate = 100
per = 60
burst = 20
status = 503
dialect = "x-ratelimit-epoch"
always = true
retry_after = 5

[[traffic]]
name = "users"
arrivals = { kind = "poisson", rate = { value = 10, changes = [[10, 30], [15, 10]] } }
clients = 4
state = "shared"
method = "PUT"
url = "https://api.example.com/items"
patience = 3
options = { priority = 1, tenant = "acme", skip = ["retry"] }

[[traffic]]
name = "batch"
arrivals = { kind = "closed", users = 3, think = { kind = "empirical", samples = [0.5, 1] }, after_failure = 0.2 }

[[traffic]]
name = "cron"
arrivals = { kind = "bursts", size = 10, first = 1, every = 10 }

[[traffic]]
name = "replayed"
arrivals = { kind = "trace", at = [0, 0.5, 2] }
"""

SAID = Scenario(
    name="everything",
    about="All there is to say.",
    duration=30,
    drain=5,
    fault=(10, 15.5),
    attempt_timeout=0.5,
    attempts=4,
    server=Server(
        slots=Schedule(5, [(10, 0), (15.5, 5)]),
        service=Sometimes(Lognormal(0.1, 2), share=0.1, factor=3),
        per_concurrent=0.01,
        slowdown=Schedule(1, [(20, 2)]),
        queue=100,
        queue_seconds=2,
        discipline="lifo",
        serves_the_gone=False,
        failing=0.01,
        failure="ReadError",
        quota=Quota(rate=100, per=60, burst=20, status=503, dialect="x-ratelimit-epoch", always=True, retry_after=5),
        replicas=3,
        balance="least busy",
    ),
    traffic=[
        Traffic(
            name="users",
            arrivals=Poisson(Schedule(10, [(10, 30), (15, 10)])),
            clients=4,
            state="shared",
            method="PUT",
            url="https://api.example.com/items",
            patience=3,
            options={"priority": 1, "tenant": "acme", "skip": ["retry"]},
        ),
        Traffic(name="batch", arrivals=Closed(3, think=Empirical([0.5, 1]), after_failure=0.2)),
        Traffic(name="cron", arrivals=Bursts(size=10, first=1, every=10)),
        Traffic(name="replayed", arrivals=Trace([0, 0.5, 2])),
    ],
)

SMALL = """\
name = "small"
duration = 10

[server]

[[traffic]]
arrivals = { kind = "poisson", rate = 5 }
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "scenario.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_can_say_all_that_a_scenario_can(tmp_path: Path) -> None:
    """Every field of every part has a key of its name, and means the same."""
    assert read_scenario(written(tmp_path, EVERYTHING)) == SAID
    keys = set(re.findall(r"(\w+) = ", EVERYTHING)) | {"server", "quota", "traffic"}
    for part in (Scenario, Server, Quota, Traffic, Schedule, Poisson, Closed, Bursts, Trace, Lognormal, Sometimes):
        assert {field.name for field in fields(part)} <= keys


def test_what_is_left_out_has_its_default(tmp_path: Path) -> None:
    """A small file is enough: a server with its defaults, and a group of callers."""
    expected = Scenario(name="small", duration=10, server=Server(), traffic=[Traffic(arrivals=Poisson(5))])
    assert read_scenario(str(written(tmp_path, SMALL))) == expected


def test_any_number_of_slots(tmp_path: Path) -> None:
    """Slots may be "unbounded", and distributions constant or exponential."""
    text = SMALL.replace("[server]", '[server]\nslots = "unbounded"\nservice = { kind = "constant", seconds = 1 }')
    assert read_scenario(written(tmp_path, text)).server == Server(slots=None, service=Constant(1))
    text = SMALL.replace("[server]", '[server]\nservice = { kind = "exponential", seconds = 1 }')
    assert read_scenario(written(tmp_path, text)).server == Server(service=Exponential(1))


@pytest.mark.parametrize("scenario", [SAID, *SCENARIOS.values()], ids=lambda scenario: scenario.name)
def test_what_is_written_can_be_read(scenario: Scenario, tmp_path: Path) -> None:
    """Each scenario is the same after it was written to a file and read from it."""
    assert read_scenario(written(tmp_path, scenario_toml(scenario))) == scenario


def test_odd_values_can_be_written(tmp_path: Path) -> None:
    """Quotes and control characters in names, sets and None among options, and no arrivals at all."""
    options = {"skip": frozenset({"retry", "hedge"}), "tenant": None}
    odd = Scenario(
        name='a "b" \\ \n\x7f\u2028 \u00e9',
        duration=1,
        server=Server(),
        traffic=[Traffic(arrivals=Trace(()), options=options)],
    )
    text = scenario_toml(odd)
    assert tomllib.loads(text)["traffic"][0]["options"] == {"skip": ["hedge", "retry"]}
    read = read_scenario(written(tmp_path, text))
    assert (read.name, read.traffic[0].arrivals) == (odd.name, Trace(()))


WRONG = [
    ("name = \n", r"Invalid value \(at line 1, column 8\)"),
    (
        SMALL.replace("duration", "lasts"),
        "the top of the file has no 'lasts'; there are name, about, server, traffic, d",
    ),
    (
        SMALL.replace("[server]", "[sever]"),
        "the top of the file has no 'sever'; there are server, name, about, traffic",
    ),
    (SMALL.replace("duration = 10", ""), "the top of the file lacks duration"),
    (
        SMALL.replace("duration = 10", "duration = -1"),
        "in the top of the file: Scenario: duration must be a number above 0",
    ),
    (SMALL.replace("duration = 10", "duration = nan"), "Scenario: duration must be a number above 0.*, not nan"),
    (
        SMALL.replace("duration = 10", "duration = 10\nfault = 5"),
        "Scenario: fault must be a pair of seconds or None, not 5",
    ),
    (SMALL.replace("[server]", "server = 5"), "server must be a table, not 5"),
    (SMALL.replace("[server]", "[server]\nslot = 5"), r"\[server\] has no 'slot'; there are slots, service, per_conc"),
    (
        SMALL.replace("[server]", "[server]\nslots = -5"),
        r"in \[server\]: Server: slots must be a number of at least 0",
    ),
    (
        SMALL.replace("[server]", '[server]\nslots = "many"'),
        "Server: slots must be a number of at least 0 or None, not 'm",
    ),
    (SMALL.replace("[server]", "[server]\nslots = { changes = [] }"), r"\[server.slots\] lacks value"),
    (
        SMALL.replace("[server]", "[server]\nslots = { value = 5, kind = 1 }"),
        r"\[server.slots\] has no 'kind'; there are",
    ),
    (
        SMALL.replace("[server]", "[server]\nslots = { value = 5, changes = [[9, 1], [8, 1]] }"),
        r"in \[server.slots\]: Schedule: the time of a change must be a number of at least 9, not 8",
    ),
    (
        SMALL.replace("[server]", "[server]\nservice = 0.1"),
        "server.service must be a table such as { kind = 'constant'",
    ),
    (
        SMALL.replace("[server]", "[server]\nservice = { seconds = 1 }"),
        r"\[server.service\] lacks kind; there are constant",
    ),
    (
        SMALL.replace("[server]", '[server]\nservice = { kind = "exponental" }'),
        "server.service.kind is 'exponental'; there are exponential, constant, lognormal, empirical, sometimes",
    ),
    (
        SMALL.replace("[server]", "[server]\nservice = { kind = 5 }"),
        "server.service.kind is 5; there are constant, exp",
    ),
    (
        SMALL.replace("[server]", '[server]\nservice = { kind = "lognormal", seconds = 1 }'),
        r"\[server.service\] lacks cv",
    ),
    (
        SMALL.replace("[server]", '[server]\nservice = { kind = "sometimes", usual = 1, share = 0, factor = 1 }'),
        "server.service.usual must be a table such as",
    ),
    (
        SMALL.replace("[server]", "[server]\nquota = { rate = 1, dialekt = 1 }"),
        r"\[server.quota\] has no 'dialekt'; there a",
    ),
    (
        SMALL.replace("[server]", '[server.quota]\nrate = 1\ndialect = "x"'),
        r"in \[server.quota\]: Quota: dialect must be one of 'none', 'retry-after'",
    ),
    (
        SMALL.replace("poisson", "poison"),
        r"traffic\[0\].arrivals.kind is 'poison'; there are poisson, bursts, closed, tra",
    ),
    (
        SMALL.replace("rate = 5", 'rate = "5"'),
        r"in \[traffic\[0\].arrivals\]: Poisson: rate must be a number of at least 0",
    ),
    (SMALL + 'url = "server"\n', r"in \[traffic\[0\]\]: Traffic: url must be such as http://server/, not 'server'"),
    (SMALL + 'url = "http://a:b/"\n', "Traffic: url must be such as http://server/, not 'http://a:b/' "),
    (SMALL + "url = 5\n", "Traffic: url must be a string, not 5"),
    (
        SMALL + "options = { prio = 1 }\n",
        r"in \[traffic\[0\]\]: unknown seawall option 'prio'; the known ones are: cost",
    ),
    (SMALL.replace("[[traffic]]", "[traffic]"), r"traffic must be tables under \[\[traffic\]\], not {'arrivals'"),
    (SMALL + SMALL[SMALL.index("[[") :], r"of different names, not \['traffic', 'traffic'\]"),
    ("traffic = [5]\nname = 'x'\nduration = 1\n[server]\n", r"traffic\[0\] must be a table, not 5"),
]


@pytest.mark.parametrize(("text", "message"), WRONG, ids=[message[:40] for _, message in WRONG])
def test_a_malformed_file_says_where(text: str, message: str, tmp_path: Path) -> None:
    """The error names the file, the table and the key, what was given and what there is, the nearest first."""
    path = written(tmp_path, text)
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: .*{message}"):
        read_scenario(path)


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    """Bytes that are no UTF-8 are told with the file's name, and so is a file that is not there."""
    path = tmp_path / "scenario.toml"
    path.write_bytes(b"name = '\xff'")
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: 'utf-8' codec can't decode"):
        read_scenario(path)
    with pytest.raises(FileNotFoundError):
        read_scenario(tmp_path / "other.toml")
