"""The hostile corpus: one right code each, nothing run, bounded memory."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from corpus import corpus
from hostile import MIB, Outcome, run, table
from hostile_case import Hostile
from opcodes import checkpoint, container

from trader_sdk.checkpoint import read_checkpoint
from trader_sdk.contract.errors import CheckpointError

ROOT = Path(__file__).parents[2]

AUDIT = """
import sys
from pathlib import Path
import numpy
import trader_sdk.checkpoint.reader, trader_sdk.checkpoint.safetensors_format, trader_sdk.checkpoint.torch_legacy
from trader_sdk.checkpoint import read_checkpoint
from trader_sdk.contract.errors import CheckpointError
from trader_sdk.contract.errors import SdkError
seen = []
files = sys.argv[1:]
sys.addaudithook(lambda event, args: seen.append((event, args)))
for file in files:
    try:
        read_checkpoint(file)
    except SdkError:
        pass
watched = ("exec", "compile", "import", "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "socket.connect",
           "pickle.find_class", "marshal.loads", "ctypes.dlopen", "shutil.rmtree", "os.remove", "os.rename")
foreign = [(e, a) for e, a in seen if e in watched or (e == "open" and str(a[0]) not in files)]
print(foreign or "clean")
"""


def _hostile(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "compat" / "hostile.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=170)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[Outcome]:
    """Return what every case did, each in a process of its own, from the command's own file."""
    file = tmp_path_factory.mktemp("hostile") / "outcomes.json"
    _hostile("--json-file", str(file))
    rows = json.loads(file.read_text("utf-8"))
    return [Outcome(**{name: value for name, value in row.items() if name != "passed"}) for row in rows]


def test_corpus_holds_four_hundred_cases_of_every_kind(results: list[Outcome]) -> None:
    """Payloads, broken containers, bombs, lying tensors and models, other kinds of file, and controls that load."""
    names = [result.case for result in results]
    assert len(names) == len(set(names)) >= 400
    groups = {name.partition("-")[0] for name in names}
    assert {
        "call",
        "pickle",
        "bomb",
        "zip",
        "tensor",
        "schema",
        "look",
        "old",
        "safetensors",
        "file",
        "model",
    } <= groups
    assert sum(result.expected is None for result in results) >= 5


def test_every_case_gives_its_one_code_and_runs_nothing(results: list[Outcome]) -> None:
    """Each is refused for its own fault, no marker, no crash, no hang; the controls load."""
    wrong = [result for result in results if result.found != (result.expected or "loaded") or result.ran]
    assert wrong == []


def test_every_case_stays_within_its_memory(results: list[Outcome]) -> None:
    """What a file claims is not allocated: each peak is measured in the process that loads it."""
    assert [result for result in results if result.mib >= MIB] == []


@pytest.fixture
def case() -> Hostile:
    """Return a good file that claims to be hostile."""
    return Hostile("good", container(checkpoint()), "E102")


def test_runner_is_red_when_a_case_is_not_refused(tmp_path: Path, case: Hostile) -> None:
    """A case that loads although it must not is shown as different."""
    outcome = run(case, tmp_path, tmp_path / "marker")
    assert (outcome.found, outcome.passed) == ("loaded", False)
    assert "differs: good: loaded, expected E102" in table([outcome])


def test_runner_is_red_when_a_payload_ran(tmp_path: Path, case: Hostile) -> None:
    """The marker is seen, named, and taken away for the next case."""
    (tmp_path / "marker").touch()
    outcome = run(case, tmp_path, tmp_path / "marker")
    assert outcome.ran
    assert "A PAYLOAD RAN" in table([outcome])
    assert not (tmp_path / "marker").exists()


def test_command_prints_a_summary_and_exits_zero(tmp_path: Path) -> None:
    """One line a group, and the outcomes as JSON."""
    done = _hostile("--only", "good-zip", "--json-file", str(tmp_path / "o.json"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split()[:6] == ["group", "cases", "right", "slowest", "most", "memory"]
    assert '"passed": true' in (tmp_path / "o.json").read_text()


def test_command_is_red_when_nothing_was_checked() -> None:
    """A name that no case has proves nothing: exit 3."""
    assert _hostile("--only", "no such case").returncode == 3


def test_reading_imports_executes_and_opens_nothing_else(tmp_path: Path) -> None:
    """The interpreter's own audit events show no import, code, process or foreign file during any load."""
    files = []
    for index, case in enumerate(corpus(tmp_path / "marker")):
        if isinstance(case.content, bytes) and len(case.content) < 1 << 20:
            files.append(tmp_path / f"{index}.pt")
            files[-1].write_bytes(case.content)
    files += sorted((ROOT / "compat" / "golden").glob("**/checkpoint.pt"))
    done = subprocess.run(
        [sys.executable, "-c", AUDIT, *map(str, files)], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.stdout.strip() == "clean", done.stdout[-2000:] + done.stderr[-2000:]


def test_refusals_are_typed_brief_and_say_where(tmp_path: Path) -> None:
    """What a person reads has the code, the file's name, and no more than a page, whatever the input was."""
    path = tmp_path / "case.pt"
    for case in corpus(tmp_path / "marker"):
        if isinstance(case.content, bytes) and case.code is not None and not case.model:
            path.write_bytes(case.content)
            with pytest.raises(CheckpointError) as caught:
                read_checkpoint(path, optimizer=True)
            assert caught.value.code == case.code, case.name
            assert str(path) in caught.value.where, case.name
            assert len(str(caught.value)) < 1500, case.name


def test_good_file_of_the_corpus_loads(tmp_path: Path) -> None:
    """The cases differ from a file that is accepted, with the values that were written."""
    (tmp_path / "good.pt").write_bytes(container(checkpoint()))
    assert read_checkpoint(tmp_path / "good.pt").tensors["w.weight"].tolist() == [[0, 1, 2], [3, 4, 5]]
