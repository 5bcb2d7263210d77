"""The hostile corpus: one right code each, nothing run, bounded memory."""

import subprocess
import sys
import tracemalloc
import warnings
from pathlib import Path

import pytest
from hostile import Hostile, corpus
from opcodes import checkpoint, container

from trader_sdk.checkpoint import read_checkpoint
from trader_sdk.contract.errors import CheckpointError

MARKER = Path("/tmp/trader-sdk-hostile-marker")  # noqa: S108 - a payload's target must be known when it is made
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # zipfile warns of the duplicate names that are wanted here
    CASES = list(corpus(MARKER))

AUDIT = """
import sys
from pathlib import Path
import numpy
import trader_sdk.checkpoint.reader, trader_sdk.checkpoint.safetensors_format
from trader_sdk.checkpoint import read_checkpoint
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


def test_corpus_holds_a_good_checkpoint_that_loads(tmp_path: Path) -> None:
    """The cases differ from a file that is accepted, so each is refused for its own fault."""
    (tmp_path / "good.pt").write_bytes(container(checkpoint()))
    assert read_checkpoint(tmp_path / "good.pt").tensors["w.weight"].tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_hostile_file_is_refused_with_its_code_and_runs_nothing(tmp_path: Path, case: Hostile) -> None:
    """Every case gives the one code it must, and its payload leaves no marker."""
    path = tmp_path / "case.pt"
    path.write_bytes(case.content)
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(path)
    assert caught.value.code == case.code, str(caught.value)
    assert len(str(caught.value)) < 1500
    assert not MARKER.exists()


def test_bombs_take_little_memory(tmp_path: Path) -> None:
    """What a file claims is not allocated: the whole corpus stays far below 256 MiB."""
    path = tmp_path / "case.pt"
    tracemalloc.start()
    try:
        for case in (case for case in CASES if case.name.startswith(("bomb", "claim", "laughs"))):
            path.write_bytes(case.content)
            with pytest.raises(CheckpointError):
                read_checkpoint(path)
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()


def test_reading_imports_executes_and_opens_nothing_else(tmp_path: Path) -> None:
    """The interpreter's own audit events show no import, code, process or foreign file during any load."""
    files = []
    for index, case in enumerate(case for case in CASES if len(case.content) < 1 << 20):
        files.append(tmp_path / f"{index}.pt")
        files[-1].write_bytes(case.content)
    files += sorted((Path(__file__).parents[2] / "compat" / "golden").glob("**/checkpoint.pt"))
    done = subprocess.run(
        [sys.executable, "-c", AUDIT, *map(str, files)], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.stdout.strip() == "clean", done.stdout[-2000:] + done.stderr[-2000:]
