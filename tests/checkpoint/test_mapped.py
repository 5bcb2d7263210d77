"""Mapping instead of copying: only what is an archive's own, and only after its digest was checked."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import trader_sdk
from trader_sdk.checkpoint.mapped import map_own_artefact
from trader_sdk.checkpoint.reader import parse_source
from trader_sdk.checkpoint.safetensors_format import safetensors_bytes
from trader_sdk.contract.errors import CheckpointError

WEIGHTS = np.arange(6000, dtype=np.float32).reshape(2, 3000)
CONTENT = safetensors_bytes({"w": WEIGHTS, "b": np.ones(2, np.float32)}, {})
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def artefact(tmp_path: Path) -> Path:
    """Return an artefact as an archive names and protects it."""
    path = tmp_path / f"{DIGEST}.safetensors"
    path.write_bytes(CONTENT)
    path.chmod(0o644)
    return path


def test_own_artefact_is_mapped_and_its_weights_are_the_files_pages(artefact: Path) -> None:
    """Nothing is copied: the tensors lie in the map, equal to what was written, and cannot be written to."""
    raw = parse_source(map_own_artefact(artefact, f"sha256:{DIGEST}"))
    assert raw.mapped
    assert not raw.tensors["w"].flags.owndata
    assert np.array_equal(raw.tensors["w"], WEIGHTS)
    with pytest.raises(ValueError, match="WRITEABLE"):
        raw.tensors["w"].setflags(write=True)


def test_map_outlives_the_files_name(artefact: Path) -> None:
    """An archive may be pruned under a running trader."""
    raw = parse_source(map_own_artefact(artefact, DIGEST))
    artefact.unlink()
    assert np.array_equal(raw.tensors["w"], WEIGHTS)


def test_file_that_is_not_named_by_its_digest_is_copied(tmp_path: Path) -> None:
    """A download, or anybody's checkpoint, is never mapped, whoever asks for it."""
    (tmp_path / "model.safetensors").write_bytes(CONTENT)
    source = map_own_artefact(tmp_path / "model.safetensors", DIGEST)
    assert not source.mapped
    (tmp_path / "model.safetensors").write_bytes(b"x" * len(CONTENT))
    assert bytes(source.data) == CONTENT


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666])
def test_file_that_others_may_write_to_is_copied(artefact: Path, mode: int) -> None:
    """What somebody else can change after the check is taken into memory of our own."""
    artefact.chmod(mode)
    assert not map_own_artefact(artefact, DIGEST).mapped


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_file_of_another_user_is_copied(artefact: Path) -> None:
    """Its owner can change it at any time."""
    os.chown(artefact, 12345, 12345)
    assert not map_own_artefact(artefact, DIGEST).mapped


def test_changed_artefact_is_refused_before_it_is_parsed(artefact: Path) -> None:
    """The digest is of the mapped bytes themselves."""
    artefact.write_bytes(b"\xff" * len(CONTENT))
    with pytest.raises(CheckpointError) as refused:
        map_own_artefact(artefact, DIGEST)
    assert refused.value.code == "E103"


@pytest.mark.parametrize("path", ["absent.safetensors", "."])
def test_what_is_no_file_is_refused_as_by_the_reader(tmp_path: Path, path: str) -> None:
    """Mapping changes how bytes are taken, and none of the checks around it."""
    with pytest.raises(CheckpointError) as refused:
        map_own_artefact(tmp_path / path, DIGEST)
    assert refused.value.code == "E101"


def test_only_the_archives_door_can_ask_for_a_map() -> None:
    """No public way of loading by path reaches the map: only the model and the archive's door name it."""
    package = Path(trader_sdk.__file__).parent
    naming = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if "own_artefact" in path.read_text("utf-8")
    }
    assert naming == {"approved.py", "door.py", "loading.py", "checkpoint/mapped.py"}


def test_loading_by_path_imports_no_map() -> None:
    """Process start does not pay for it either."""
    code = "import sys, trader_sdk.model; assert 'trader_sdk.checkpoint.mapped' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
