"""Stamping: assertions go into a new file, never against what the file itself says, and a probe proves them."""

import hashlib
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networks
import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from trader_sdk import NativeModelWrapper, ObservationBuilder, SdkError
from trader_sdk.checkpoint.stamp import Assertion, stamp
from trader_sdk.cli import build_app, run_app
from trader_sdk.contract.compatibility import Mode
from trader_sdk.contract.errors import CheckpointError, ContractError, UsageError
from trader_sdk.contract.metadata import get_checkpoint_metadata

LEGACY = Path(__file__).parents[2] / "compat" / "golden" / "legacy"
AMBIGUOUS = LEGACY / "no-metadata-5600-3-ambiguous" / "checkpoint.pt"
PROVIDER = "trader_sdk.features:Ohlcv53Provider"


def trader(*arguments: object) -> int:
    argv = [str(argument) for argument in arguments]
    return run_app(build_app(argv), argv)


class Author:
    """A trainer of its own: saves weights without a word about the activation, and records what its code decides."""

    def __init__(self, folder: Path, activation: str = "relu", hidden: tuple[int, ...] = (8, 8)) -> None:
        self.network = networks.seeded(networks.ActorCritic(5600, 3, hidden, activation), 11)
        self.path = folder / "theirs.pt"
        torch.save({"policy_state_dict": self.network.state_dict()}, self.path)

    def record(self, path: Path, observations: torch.Tensor | None = None, **others: Any) -> Path:
        """Write a probe as numpy writes it."""
        obs = networks.observations(6, 5600) if observations is None else observations
        with torch.no_grad():
            logits = self.network.logits(obs)  # type: ignore[operator] # the network's own method
        np.savez(path, **{"observations": obs.numpy(), "logits": logits.numpy(), **others})
        return path


@pytest.fixture
def author(tmp_path: Path) -> Author:
    """Return an author whose network uses ReLU, two hidden layers of one shape."""
    (tmp_path / "theirs").mkdir()
    return Author(tmp_path / "theirs")


def refusal(code: str, path: Path, out: Path, **said: Any) -> SdkError:
    """Stamp, expect a refusal that wrote nothing, and return it."""
    with pytest.raises(SdkError) as caught:
        stamp(path, out, Assertion(model_version="2.6.0", **said))
    assert caught.value.code == code
    assert not out.exists()
    return caught.value


def test_stamp_cures_features_not_proven(tmp_path: Path) -> None:
    """The line that E309 prints works: the same policy, now with features that the live trader accepts."""
    before = NativeModelWrapper(AMBIGUOUS)
    with pytest.raises(SdkError) as refused:
        ObservationBuilder.for_model(before)
    assert refused.value.code == "E309"
    code = trader(
        "compat", "stamp", AMBIGUOUS, "--features", PROVIDER, "--model-version", "2.6.0",
        "--activation", "tanh", "--symbol", "AAPL", "--out", tmp_path,
    )  # fmt: skip
    after = NativeModelWrapper(tmp_path / AMBIGUOUS.name)
    assert code == 0
    assert (after.policy_sha256, after.model_version) == (before.policy_sha256, "2.6.0")
    assert [finding.code for finding in after.report.refusals(Mode.STRICT)] == ["W311"]
    assert ObservationBuilder.for_model(after).schema.names[0]


def test_stamp_asks_which_version_when_several_fit(tmp_path: Path) -> None:
    """An ambiguous file is not stamped by guess."""
    assert trader("compat", "stamp", AMBIGUOUS, "--features", PROVIDER, "--out", tmp_path) == 4
    assert list(tmp_path.iterdir()) == []


def test_stamp_refuses_what_the_file_contradicts_and_what_exists(tmp_path: Path) -> None:
    """A stated activation stands, and no file is overwritten, not even one that a dangling link names."""
    golden = next((Path(__file__).parents[2] / "compat" / "golden" / "2.7.0").glob("*.pt"))
    stated = NativeModelWrapper(golden).activation
    other = "relu" if stated == "tanh" else "tanh"
    assert trader("compat", "stamp", golden, "--activation", other, "--out", tmp_path) == 4
    assert list(tmp_path.iterdir()) == []
    (tmp_path / golden.name).write_bytes(b"mine")
    assert trader("compat", "stamp", golden, "--out", tmp_path) == 2
    assert (tmp_path / golden.name).read_bytes() == b"mine"
    (tmp_path / golden.name).unlink()
    (tmp_path / golden.name).symlink_to(tmp_path / "nowhere")
    assert trader("compat", "stamp", golden, "--out", tmp_path) == 2
    assert not (tmp_path / "nowhere").exists()


def test_newer_model_that_carries_its_contract_is_stamped_and_stays_newer(tmp_path: Path) -> None:
    """What it leaves open can be asserted; that this release does not know its version is still said (W206)."""
    source = LEGACY / "newer-self-contained-2.99" / "checkpoint.pt"
    saved = stamp(source, tmp_path, Assertion(symbol="AAPL", who="ann", why="hers"))
    model = NativeModelWrapper(saved.path, symbol="AAPL")
    assert (model.model_version, model.metadata["version_source"]) == ("2.99.0", "asserted")
    assert model.metadata["requires_trader"] == NativeModelWrapper(source).metadata["requires_trader"]
    assert {"W206", "W311"} <= {finding.code for finding in model.report.findings}
    rows = np.zeros((1, model.model_spec.obs_dim), np.float32)
    assert model.decide(rows)[0].logits == NativeModelWrapper(source).decide(rows)[0].logits
    with pytest.raises(SdkError, match=r"E202|E203"):
        stamp(source, tmp_path / "other", Assertion(model_version="2.7.0"))


def test_what_is_not_said_is_not_stamped(tmp_path: Path) -> None:
    """No timeframe, no symbol and no activation are invented."""
    saved = stamp(AMBIGUOUS, tmp_path / "out", Assertion(model_version="v2.6"))
    assert {"symbol", "timeframe", "feature_schema"} & set(saved.metadata) == set()
    assert saved.metadata["model_version"] == "2.6.0"


def test_range_of_traders_stays_the_authors(author: Author, tmp_path: Path) -> None:
    """A stamp does not widen what the file says itself."""
    own = {**get_checkpoint_metadata("2.6.0"), "min_trader_version": "2.7.0", "requires_trader": "<3"}
    torch.save({"policy_state_dict": author.network.state_dict(), **own}, author.path)
    after = stamp(author.path, tmp_path / "out", Assertion(symbol="AAPL")).metadata
    assert (after["min_trader_version"], after["requires_trader"]) == ("2.7.0", "<3")


def test_file_that_changes_meanwhile_is_not_stamped(
    author: Author, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was checked is what is written: other bytes under the name are E103, and nothing is left."""
    from trader_sdk.checkpoint import stamp as module

    read = module.read_checkpoint

    def read_then_change(path: Any, **options: Any) -> Any:
        raw = read(path, **options)
        if not options["expected_sha256"]:
            Author(author.path.parent, "tanh")
        return raw

    monkeypatch.setattr(module, "read_checkpoint", read_then_change)
    author.path.write_bytes((LEGACY / "no-metadata-5600-3-ambiguous" / "checkpoint.pt").read_bytes())
    refusal("E103", author.path, tmp_path / "out")
    assert not list(tmp_path.glob("out*"))


def test_probe_proves_activation_and_is_stamped(author: Author, tmp_path: Path) -> None:
    """Nobody said ReLU: the author's recording tells it, and from then on every load runs it."""
    original = author.path.read_bytes()
    probe = author.record(tmp_path / "probe.npz")
    code = trader(
        "compat", "stamp", author.path, "--probe", probe, "--model-version", "2.6.0", "--who", "zoë",
        "--why", "own code", "--out", tmp_path / "out",
    )  # fmt: skip
    model = NativeModelWrapper(tmp_path / "out" / "theirs.pt", strict_version=True)
    assert (code, model.activation, model.metadata["semantics"]) == (0, "relu", "proven")
    assert model.metadata["lineage"] == {
        "stamped_from": f"sha256:{hashlib.sha256(original).hexdigest()}",
        "stamped_by": "zoë",
        "stamped_why": "own code",
    }
    assert author.path.read_bytes() == original
    assert len(model.metadata["golden_probe"]["logits"]) == 6


@pytest.mark.parametrize("said", [{}, {"activation": "relu"}])
def test_probe_is_read_from_either_format_and_shape(author: Author, tmp_path: Path, said: dict[str, str]) -> None:
    """safetensors, compressed npz, float64 logits, and observations by bar are one recording."""
    probe = np.load(author.record(tmp_path / "probe.npz"))
    save_file(dict(probe), tmp_path / "probe.safetensors")
    by_bar = {"observations": probe["observations"].reshape(6, 100, 56), "logits": probe["logits"].astype(np.float64)}
    np.savez_compressed(tmp_path / "by_bar.npz", **by_bar)
    for number, name in enumerate(("probe.npz", "probe.safetensors", "by_bar.npz")):
        assertion = Assertion(model_version="2.6.0", probe=tmp_path / name, **said)
        assert stamp(author.path, tmp_path / str(number), assertion).metadata["activation"] == "relu"


def test_probe_of_another_reading_is_refused_and_named(author: Author, tmp_path: Path) -> None:
    """A wrong activation, swapped layers and observations in another order: E308 says what would reproduce it."""
    probe = author.record(tmp_path / "probe.npz")
    out = tmp_path / "out"
    assert "reproduced with activation relu" in str(refusal("E308", author.path, out, probe=probe, activation="tanh"))
    state = author.network.state_dict()
    state["trunk.0.weight"] = state["trunk.0.weight"].reshape(8, 100, 56).flip(1).reshape(8, 5600)
    torch.save({"policy_state_dict": state}, tmp_path / "reversed.pt")
    error = refusal("E308", tmp_path / "reversed.pt", out, probe=probe)
    assert "bars from newest to oldest" in str(error)
    state = author.network.state_dict()
    state["trunk.0.weight"] = state["trunk.0.weight"].reshape(8, 100, 56).transpose(1, 2).reshape(8, 5600)
    torch.save({"policy_state_dict": state}, tmp_path / "columns.pt")
    assert "columns before bars" in str(refusal("E308", tmp_path / "columns.pt", out, probe=probe))


def test_layers_in_another_order_are_found(tmp_path: Path) -> None:
    """Two hidden layers of one shape, saved under each other's number, are told by the probe."""
    author = Author(tmp_path, "tanh", (8, 8, 8))
    probe = author.record(tmp_path / "probe.npz")
    state = author.network.state_dict()
    for kind in ("weight", "bias"):
        state[f"trunk.2.{kind}"], state[f"trunk.4.{kind}"] = state[f"trunk.4.{kind}"], state[f"trunk.2.{kind}"]
    torch.save({"policy_state_dict": state}, tmp_path / "swapped.pt")
    error = refusal("E308", tmp_path / "swapped.pt", tmp_path / "out", probe=probe, activation="tanh")
    assert "hidden layers 2 and 3 the other way round" in str(error)


def test_probe_that_proves_nothing_is_refused(author: Author, tmp_path: Path) -> None:
    """Zeros do not tell one weight from another."""
    zeros = author.record(tmp_path / "zeros.npz", torch.zeros(3, 5600))
    error = refusal("E308", author.path, tmp_path / "out", probe=zeros, activation="relu")
    assert "another reading reproduces it too" in str(error)
    assert "bars from newest to oldest" in str(error)


def test_probe_that_does_not_tell_the_activation_is_refused(author: Author, tmp_path: Path) -> None:
    """Far from zero, ReLU and SiLU are one function: a stated activation stays unproven."""
    with torch.no_grad():
        for layer in (author.network.trunk[0], author.network.trunk[2]):  # type: ignore[index] # a Sequential
            layer.bias.fill_(500.0)
    torch.save({"policy_state_dict": author.network.state_dict()}, author.path)
    probe = author.record(tmp_path / "probe.npz")
    error = refusal("E308", author.path, tmp_path / "out", probe=probe, activation="relu")
    assert "another reading reproduces it too" in str(error)
    assert "activation silu" in str(error)


@pytest.mark.parametrize(
    "wrong", ["few logits", "narrow", "nan", "empty", "scalar", "absent", "strings", "many", "pickle"]
)
def test_malformed_probe_is_refused(author: Author, tmp_path: Path, wrong: str) -> None:
    """What is no table of finite floats of the model's shape proves nothing and runs nothing."""
    good = np.load(author.record(tmp_path / "probe.npz"))
    obs, logits = good["observations"], good["logits"]
    changed: dict[str, dict[str, Any]] = {
        "few logits": {"logits": logits[:2]},
        "narrow": {"observations": obs[:, :-1]},
        "nan": {"observations": np.where(obs == obs[0, 0], np.nan, obs)},
        "empty": {"observations": obs[:0], "logits": logits[:0]},
        "scalar": {"observations": np.float32(1)},
        "absent": {"observation": obs},
        "strings": {"logits": logits.astype(str)},
        "many": {"observations": np.zeros((300, 5600), np.float32)},
        "pickle": {"logits": np.array([Marker(tmp_path / "ran")], dtype=object)},
    }
    arrays = {"observations": obs, "logits": logits, **changed[wrong]}
    if wrong == "absent":
        del arrays["observations"]
    np.savez(tmp_path / "wrong.npz", **arrays)
    refusal("E308", author.path, tmp_path / "out", probe=tmp_path / "wrong.npz")
    assert not (tmp_path / "ran").exists()


class Marker:
    """A pickle that writes a file when it is executed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return (Path.touch, (self.path,))


LYING = b"{'descr': '<f4', 'fortran_order': False, 'shape': (999999999, 999999), }".ljust(117) + b"\n"
DAMAGED_MEMBERS: dict[str, list[tuple[str, bytes, int]]] = {
    "70 MiB of zeros, deflated": [("observations.npy", bytes(70 * 1024 * 1024), zipfile.ZIP_DEFLATED)],
    "another compression": [("observations.npy", b"1", zipfile.ZIP_LZMA)],
    "an array twice": [("logits.npy", b"1", zipfile.ZIP_STORED)] * 2,
    "a shape that lies": [("observations.npy", np.lib.format.magic(1, 0) + b"\x76\x00" + LYING, zipfile.ZIP_STORED)],
    "no array inside": [("observations.npy", b"hello", zipfile.ZIP_STORED)],
}


def damaged(damage: str, whole: bytes) -> bytes:
    """Return the bytes of a probe with that damage."""
    if damage in DAMAGED_MEMBERS:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, content, method in DAMAGED_MEMBERS[damage]:
                archive.writestr(zipfile.ZipInfo(name), content, method)
        return buffer.getvalue()
    return {"cut": whole[:-40], "text": b"hello, probe", "an empty header": b"\x02" + bytes(7) + b"{}"}[damage]


@pytest.mark.filterwarnings("ignore:Duplicate name")  # that is the damage
@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("cut", "damaged .npz"),
        ("text", "neither .npz nor .safetensors"),
        ("an empty header", "holds no policy"),
        ("70 MiB of zeros, deflated", "73400320 bytes"),
        ("another compression", "compressed in a way"),
        ("an array twice", "twice"),
        ("a shape that lies", "not as long as its shape"),
        ("no array inside", "no plain array"),
    ],
)
def test_damaged_probe_is_refused_and_named(author: Author, tmp_path: Path, damage: str, words: str) -> None:
    """Bytes that claim, repeat or lack something are refused before they are believed."""
    path = author.record(tmp_path / "probe.npz")
    path.write_bytes(damaged(damage, path.read_bytes()))
    assert words in str(refusal("E308", author.path, tmp_path / "out", probe=path))


def test_probe_that_is_not_there_is_said(author: Author, tmp_path: Path) -> None:
    """An absent file is no weak proof."""
    assert isinstance(refusal("E101", author.path, tmp_path / "out", probe=tmp_path / "absent.npz"), CheckpointError)


def test_stamping_again_keeps_proof_and_ancestors(author: Author, tmp_path: Path) -> None:
    """A copy of a proven copy is proven by the probe it holds, and recalls of either original reach it."""
    probe = author.record(tmp_path / "probe.npz")
    first = stamp(author.path, tmp_path / "1", Assertion(model_version="2.6.0", probe=probe))
    second = stamp(first.path, tmp_path / "2", Assertion(symbol="AAPL"))
    third = stamp(second.path, tmp_path / "3", Assertion(timeframe="1Day"))
    assert third.metadata["semantics"] == "proven"
    assert third.metadata["symbol"] == "AAPL"
    original = f"sha256:{hashlib.sha256(author.path.read_bytes()).hexdigest()}"
    assert third.metadata["lineage"]["stamped_from"] == second.sha256
    assert third.metadata["lineage"]["stamped_earlier"] == [original, first.sha256]
    assert third.policy_sha256 == first.policy_sha256


def test_proven_copy_as_safetensors_reads_back(author: Author, tmp_path: Path) -> None:
    """The other container carries the probe too."""
    state = {name: tensor.numpy() for name, tensor in author.network.state_dict().items()}
    save_file(state, tmp_path / "m.safetensors")
    probe = author.record(tmp_path / "probe.npz")
    saved = stamp(tmp_path / "m.safetensors", tmp_path / "out", Assertion(model_version="2.6.0", probe=probe))
    assert NativeModelWrapper(saved.path, strict_version=True).activation == "relu"


def test_race_for_the_name_is_lost_without_a_trace(
    author: Author, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that appears while the copy is made is left alone, and the copies beside it are taken back."""
    from trader_sdk.checkpoint import stamp as module

    out = tmp_path / "out"
    write = module.write_policy_pt

    def slow(path: Any, checkpoint: Any) -> Any:
        saved = write(path, checkpoint)
        (out / "b.pt").write_bytes(b"somebody else's")
        return saved

    monkeypatch.setattr(module, "write_policy_pt", slow)
    said = Assertion(model_version="2.6.0")
    out.mkdir()
    with pytest.raises(UsageError):
        module.stamp_all([module.Stamping(author.path, name, said) for name in ("a.pt", "b.pt")], out)
    assert [path.name for path in out.iterdir()] == ["b.pt"]
    assert (out / "b.pt").read_bytes() == b"somebody else's"


def test_all_faults_come_together_and_nothing_is_written(tmp_path: Path) -> None:
    """Two bad files of three: both are named, and the good one is not stamped."""
    for name in ("weights-nan", "semantics-unproven", "normaliser"):
        (tmp_path / "in" / name).mkdir(parents=True)
        (tmp_path / "in" / name / "m.pt").write_bytes((LEGACY / name / "checkpoint.pt").read_bytes())
    from trader_sdk.checkpoint.stamp import Stamping, stamp_all

    files = sorted((tmp_path / "in").rglob("*.pt"))
    with pytest.raises(ContractError) as caught:
        stamp_all([Stamping(path, path.parent.name, Assertion()) for path in files], tmp_path / "out")
    assert "2 of 3" in str(caught.value)
    assert "E105" in str(caught.value)
    assert "E306" in str(caught.value)
    assert not (tmp_path / "out").exists()
