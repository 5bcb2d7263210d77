"""Policy-only artefacts: the same policy in every container, readable by the containers' own libraries."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from trader_sdk import NativeModelWrapper, SdkError
from trader_sdk.checkpoint import policy_sha256, read_checkpoint
from trader_sdk.checkpoint.artefacts import raw_policy_sha256, write_policy_pt, write_policy_safetensors

WRITERS = [write_policy_safetensors, write_policy_pt]


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize(
    "name",
    [
        "2.7.0",
        "2.3.0",
        "legacy/adam-state",
        "legacy/separate-trunks",
        "legacy/dtype-bfloat16",
        "legacy/probe-tells-relu",
    ],
)
def test_artefact_decides_as_its_checkpoint_and_shares_its_policy_digest(
    tmp_path: Path, golden: Callable[[str], Path], name: str, write: Callable[..., object]
) -> None:
    """Weights, version, activation and probe survive; critic and optimizer are left behind."""
    source = NativeModelWrapper(golden(name))
    write(tmp_path / "policy", read_checkpoint(golden(name)))
    artefact = NativeModelWrapper(tmp_path / "policy", strict_version=True)
    assert artefact.policy_sha256 == source.policy_sha256
    assert (artefact.model_version, artefact.activation) == (source.model_version, source.activation)
    obs = np.random.default_rng(3).standard_normal((4, source.model_spec.obs_dim)).astype(np.float32)
    assert [d.logits for d in artefact.decide(obs)] == [d.logits for d in source.decide(obs)]
    assert "optimizer_state_dict" not in read_checkpoint(tmp_path / "policy").metadata
    assert not any("critic" in tensor for tensor in read_checkpoint(tmp_path / "policy").tensors)


def test_pt_artefact_is_read_by_torch(tmp_path: Path, golden: Callable[[str], Path]) -> None:
    """A file written without torch opens with torch.load(weights_only=True), mapped too."""
    written = write_policy_pt(tmp_path / "p.pt", read_checkpoint(golden("2.7.0")))
    for mmap in (False, True):
        loaded = torch.load(written.path, weights_only=True, mmap=mmap)
        assert loaded["action_meanings"][4] == "SELL_25%"
        assert loaded["policy_state_dict"]["trunk.0.weight"].shape == (8, 5900)


@pytest.mark.parametrize("write", WRITERS)
def test_artefact_bytes_depend_on_nothing_but_the_policy(
    tmp_path: Path, golden: Callable[[str], Path], write: Callable[..., object]
) -> None:
    """Two writes give the same file, so that a digest can be compared across machines."""
    raw = read_checkpoint(golden("2.7.0"))
    write(tmp_path / "a", raw)
    write(tmp_path / "b", raw)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_artefact_of_an_unknown_model_is_refused(tmp_path: Path, golden: Callable[[str], Path]) -> None:
    """Nothing is written for a checkpoint whose version cannot be told."""
    with pytest.raises(SdkError, match="E204"):
        write_policy_safetensors(tmp_path / "p", read_checkpoint(golden("legacy/no-metadata-1000-3")))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("write", WRITERS)
def test_field_that_is_no_plain_data_is_refused(
    tmp_path: Path, golden: Callable[[str], Path], write: Callable[..., object]
) -> None:
    """Bytes in a lineage cannot be written as JSON, nor by hand: typed, and nothing is left behind."""
    raw = read_checkpoint(golden("2.7.0"))
    stained = replace(raw, metadata={**raw.metadata, "lineage": {"digest": b"raw"}})
    with pytest.raises(SdkError, match="no plain data"):
        write(tmp_path / "p", stained)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("write", WRITERS)
def test_artefact_keeps_numbers_of_every_kind(
    tmp_path: Path, golden: Callable[[str], Path], write: Callable[..., object]
) -> None:
    """Floats, large and negative integers, None, lists and nested mappings come back as they were."""
    raw = read_checkpoint(golden("2.7.0"))
    lineage = {"reward": 0.1, "seed": -(2**40), "parent": None, "flags": [True, False, []], "nested": {"a": {}}}
    write(tmp_path / "p", replace(raw, metadata={**raw.metadata, "lineage": lineage}))
    assert read_checkpoint(tmp_path / "p").metadata["lineage"] == lineage


def test_policy_digest_is_over_layers_in_order() -> None:
    """The digest changes with any weight, any shape and the order of layers."""
    rng = np.random.default_rng(0)

    def layer(out: int, into: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return rng.standard_normal((out, into)).astype(np.float32), rng.standard_normal(out).astype(np.float32)

    first, second = layer(3, 3), layer(3, 3)
    nudged = (np.nextafter(first[0], np.float32(9)), first[1])
    digests = {policy_sha256(layers) for layers in ([first, second], [second, first], [nudged, second], [first])}
    assert len(digests) == 4


def test_raw_policy_digest_ignores_names_and_prefixes(golden: Callable[[str], Path]) -> None:
    """The same weights under another prefix are the same policy."""
    names = ("legacy/prefix-module", "legacy/prefix-orig-mod-module", "legacy/prefix-inside")
    assert len({raw_policy_sha256(read_checkpoint(golden(name))) for name in names}) == 1
