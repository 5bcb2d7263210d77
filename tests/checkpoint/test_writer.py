"""save(): stamps what is, refuses what disagrees, and then writes nothing."""

import inspect
import io
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from trader_sdk import NativeModelWrapper, SdkError, save
from trader_sdk.checkpoint import files, read_checkpoint, writer
from trader_sdk.contract.errors import StorageError


class Policy(nn.Module):
    """A user's own policy, with whatever forward they like."""

    def __init__(self, obs_dim: int = 5900, n_actions: int = 7, activation: type[nn.Module] = nn.Tanh) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(obs_dim, 3), activation(), nn.Linear(3, 4), activation())
        self.actor_head = nn.Linear(4, n_actions)
        self.critic_head = nn.Linear(4, 1)

    def forward(self, obs: torch.Tensor) -> tuple[torch.distributions.Categorical, torch.Tensor]:
        features = self.trunk(obs)
        return torch.distributions.Categorical(logits=self.actor_head(features)), self.critic_head(features)


class Functional(nn.Module):
    """A policy whose activation is a function, which no one can read from the module."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(5900, 3)
        self.actor = nn.Linear(3, 7)

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        return self.actor(torch.relu(self.fc(obs)))


@dataclass
class Config:
    """A config that is an instance."""

    lr: float = 0.1


@pytest.fixture
def policy() -> Policy:
    """Return a seeded policy of model 2.7.0."""
    torch.manual_seed(5)
    return Policy()


def test_save_has_the_signature_that_users_know() -> None:
    """Names and defaults of the contract."""
    parameters = inspect.signature(save).parameters
    assert list(parameters) == [
        "path", "policy", "optimizer", "global_step", "config", "model_version", "activation", "feature_schema",
        "constants", "symbol", "timeframe", "probe_observations", "extra",
    ]  # fmt: skip
    assert parameters["config"].default == {}


def test_save_from_a_plain_loop_gives_a_model_that_loads_strictly(
    tmp_path: Path, policy: Policy, rows: np.ndarray[Any, Any]
) -> None:
    """A plain torch loop's module and optimizer become a file that decides as the module does."""
    optimizer = torch.optim.Adam(policy.parameters())
    policy(torch.from_numpy(rows))[1].sum().backward()
    optimizer.step()
    saved = save(tmp_path / "m.pt", policy=policy, optimizer=optimizer, global_step=9, config={"lr": np.float32(0.5)})
    model = NativeModelWrapper(saved.path, strict_version=True, expected_sha256=saved.sha256)
    with torch.no_grad():
        wanted = policy.actor_head(policy.trunk(torch.from_numpy(rows))).numpy()
    assert np.allclose([decision.logits for decision in model.decide(rows)], wanted, atol=1e-5)
    assert model.metadata["config"] == {"lr": 0.5}
    assert (model.metadata["global_step"], model.activation, model.model_version) == (9, "tanh", "2.7.0")
    assert model.policy_sha256 == saved.policy_sha256
    theirs = torch.load(saved.path, weights_only=True)
    assert theirs["optimizer_state_dict"]["state"][0]["step"] == 1


def test_save_stamps_exactly_what_was_said(tmp_path: Path, policy: Policy) -> None:
    """What was not said is absent, never invented."""
    raw = read_checkpoint(save(tmp_path / "m.pt", policy=policy).path)
    assert set(raw.metadata) == {
        "optimizer_state_dict", "global_step", "config", "model_version", "n_features", "n_actions", "obs_dim",
        "action_meanings", "min_trader_version", "contract_schema", "requires", "hidden_dims", "activation",
    }  # fmt: skip
    assert raw.metadata["optimizer_state_dict"] == {}
    assert raw.metadata["hidden_dims"] == [3, 4]


def test_save_stamps_schema_and_constants_with_their_digests(tmp_path: Path, policy: Policy) -> None:
    """The digests beside them hold when the file is checked."""
    saved = save(
        tmp_path / "m.pt",
        policy=policy,
        feature_schema={"feature_sets": ["ohlcv53@1"]},
        constants={"mean": [0.0]},
        symbol="AAPL",
        timeframe="1Day",
        extra={"label": "mine", "lineage": {"seed": 7}},
    )
    model = NativeModelWrapper(saved.path, strict_version=True)
    assert not model.report.findings
    assert model.metadata["label"] == "mine"


@pytest.mark.parametrize("wrap", [lambda m: nn.DataParallel(m), lambda m: torch.compile(m, backend="eager")])
def test_save_strips_nothing_and_reads_wrapped_modules(tmp_path: Path, policy: Policy, wrap: Any) -> None:
    """A module wrapped for parallel or compiled training saves as it is; the reader strips its prefixes."""
    saved = save(tmp_path / "m.pt", policy=wrap(policy))
    plain = save(tmp_path / "p.pt", policy=policy)
    assert saved.policy_sha256 == plain.policy_sha256


def test_probe_records_the_modules_own_logits(tmp_path: Path, policy: Policy, rows: np.ndarray[Any, Any]) -> None:
    """The probe comes from the author's forward, caught at the policy head, and proves every load."""
    policy.train()
    saved = save(tmp_path / "m.pt", policy=policy, probe_observations=rows)
    assert policy.training
    with torch.no_grad():
        wanted = policy.actor_head(policy.trunk(torch.from_numpy(rows))).numpy()
    assert np.allclose(saved.metadata["golden_probe"]["logits"], wanted)
    assert NativeModelWrapper(saved.path, strict_version=True).activation == "tanh"


def test_probe_tells_an_activation_that_nothing_else_says(tmp_path: Path, rows: np.ndarray[Any, Any]) -> None:
    """A functional activation cannot be read from the module; the probe proves which it is."""
    torch.manual_seed(1)
    saved = save(tmp_path / "m.pt", policy=Functional(), probe_observations=rows)
    assert "activation" not in saved.metadata
    assert NativeModelWrapper(saved.path, strict_version=True).activation == "relu"


@pytest.mark.parametrize(
    ("activation", "name"),
    [(nn.Tanh, "tanh"), (nn.ReLU, "relu"), (nn.ELU, "elu"), (nn.LeakyReLU, "leaky_relu"), (nn.SiLU, "silu")],
)
def test_every_known_activation_is_read_and_computed_as_torch_does(
    tmp_path: Path, rows: np.ndarray[Any, Any], activation: type[nn.Module], name: str
) -> None:
    """Each activation is read from the module and its probe is reproduced by the numpy engine."""
    torch.manual_seed(2)
    saved = save(tmp_path / "m.pt", policy=Policy(activation=activation), probe_observations=3 * rows)
    assert NativeModelWrapper(saved.path, strict_version=True).activation == name


def _broken(policy: nn.Module) -> nn.Module:
    with torch.no_grad():
        policy.trunk[0].weight[0, 0] = float("nan")
    return policy


REFUSALS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "ambiguous version": ("E202", {"policy": Policy(5600, 3)}),
    "version against shapes": ("E302", {"model_version": "2.4.0"}),
    "unknown version": ("E203", {"model_version": "2.5.1"}),
    "malformed version": ("E203", {"model_version": "newest"}),
    "unknown shapes": ("E204", {"policy": Policy(1000, 3)}),
    "another activation stated": ("USAGE", {"activation": "relu"}),
    "unknown activation": ("USAGE", {"activation": "swish"}),
    "unsupported activation": ("USAGE", {"policy": Policy(activation=nn.Hardtanh)}),
    "parametrised activation": ("USAGE", {"policy": Policy(activation=lambda: nn.ELU(alpha=2.0))}),
    "config is an instance": ("USAGE", {"config": {"train": Config()}}),
    "config with odd keys": ("USAGE", {"config": {(1, 2): 3}}),
    "unknown extra field": ("USAGE", {"extra": {"wandb": "x"}}),
    "extra repeats an argument": ("USAGE", {"extra": {"symbol": "AAPL"}}),
    "extra of the wrong type": ("E301", {"extra": {"validation_interval": "often"}}),
    "negative step": ("USAGE", {"global_step": -1}),
    "step is a bool": ("USAGE", {"global_step": True}),
    "probe of the wrong width": ("USAGE", {"probe_observations": np.zeros((2, 5600), np.float32)}),
    "probe not finite": ("USAGE", {"probe_observations": np.full((2, 5900), np.nan, np.float32)}),
    "probe without a module": ("USAGE", {"policy": Policy().state_dict(), "probe_observations": np.zeros((1, 5900))}),
    "weights not finite": ("E105", {"policy": _broken(Policy())}),
    "state is no tensor": ("USAGE", {"policy": {"w": 1}}),
    "normaliser in the state": ("E306", {"policy": {**Policy().state_dict(), "obs_rms.mean": torch.zeros(5900)}}),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_save_refuses_and_writes_nothing(tmp_path: Path, name: str) -> None:
    """Each disagreement is one typed error, and the folder is as it was."""
    code, arguments = REFUSALS[name]
    (tmp_path / "m.pt").write_bytes(b"older")
    with pytest.raises(SdkError) as caught:
        save(tmp_path / "m.pt", **{"policy": Policy(), **arguments})
    assert caught.value.code == code
    assert [file.name for file in tmp_path.iterdir()] == ["m.pt"]
    assert (tmp_path / "m.pt").read_bytes() == b"older"


@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
def test_save_leaves_the_older_file_when_the_disk_refuses(
    tmp_path: Path, policy: Policy, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """A full or failing disk: a typed error, the older file whole, no temporary file left."""

    def refuse(*_arguments: object, **_options: object) -> None:
        raise OSError(28, os.strerror(28))

    (tmp_path / "m.pt").write_bytes(b"older")
    if step == "write":
        monkeypatch.setattr(files, "_write_synced", refuse)
    elif step == "fsync":
        monkeypatch.setattr(files.os, "fsync", refuse)
    else:
        monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(StorageError):
        save(tmp_path / "m.pt", policy=policy)
    assert [file.name for file in tmp_path.iterdir()] == ["m.pt"]
    assert (tmp_path / "m.pt").read_bytes() == b"older"


def test_save_refuses_a_folder_that_is_not_there(tmp_path: Path, policy: Policy) -> None:
    """No folder is made on the side."""
    with pytest.raises(StorageError):
        save(tmp_path / "absent" / "m.pt", policy=policy)
    assert not list(tmp_path.iterdir())


def test_state_of_shared_storage_is_saved_alone(tmp_path: Path, policy: Policy) -> None:
    """Views of one large buffer are written as themselves, not with all of it."""
    buffer = torch.zeros(1_000_000)
    state = {name: buffer[: tensor.numel()].view_as(tensor) for name, tensor in policy.state_dict().items()}
    assert save(tmp_path / "m.pt", policy=state, activation="tanh").size < 200_000


def test_saved_file_is_read_by_torch_backend_equally(tmp_path: Path, policy: Policy) -> None:
    """Both readers behind the door give the same fields and tensors."""
    path = save(tmp_path / "m.pt", policy=policy, config={"a": (1, [2.5, None])}).path
    strict, torchs = read_checkpoint(path), read_checkpoint(path, backend="torch")
    assert dict(strict.metadata) == dict(torchs.metadata)
    assert all(np.array_equal(strict.tensors[name], torchs.tensors[name]) for name in strict.tensors)


def test_torch_backend_reads_what_the_strict_reader_names(tmp_path: Path) -> None:
    """A file with a tensor of a type that the strict reader does not know is refused with the way out, which works."""
    path = tmp_path / "m.pt"
    saved = torch.load(Path(__file__).parents[2] / "compat" / "golden" / "2.7.0" / "checkpoint.pt", weights_only=True)
    torch.save(saved | {"config": {"activation": "tanh", "phase": torch.ones(2, dtype=torch.complex64)}}, path)
    with pytest.raises(SdkError, match='backend="torch"'):
        NativeModelWrapper(path)
    assert NativeModelWrapper(path, backend="torch").model_version == "2.7.0"


@pytest.mark.parametrize("content", [b"noise" * 20, b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00exit\x85R.", b"PK\x03\x04"])
def test_torch_backend_gives_typed_errors(tmp_path: Path, content: bytes) -> None:
    """Whatever torch raises arrives as E101."""
    (tmp_path / "f").write_bytes(content)
    with pytest.raises(SdkError) as caught:
        read_checkpoint(tmp_path / "f", backend="torch")
    assert caught.value.code == "E101"


@pytest.mark.parametrize(
    ("installed", "message"), [(None, "not installed"), (SimpleNamespace(__version__="2.9.1"), "too old")]
)
def test_torch_backend_needs_a_torch_that_reads_safely(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: Policy, installed: object, message: str
) -> None:
    """No torch, or one with published holes: a typed error that says so."""
    path = save(tmp_path / "m.pt", policy=policy).path
    monkeypatch.setitem(sys.modules, "torch", installed)
    with pytest.raises(SdkError, match=message):
        read_checkpoint(path, backend="torch")


@pytest.mark.parametrize("content", [[1], {"config": 1}, {"policy_state_dict": {"w": 1}}])
def test_torch_backend_refuses_what_is_no_checkpoint(tmp_path: Path, content: object) -> None:
    """A list, a mapping without a policy, a policy of numbers."""
    torch.save(content, tmp_path / "f")
    with pytest.raises(SdkError) as caught:
        read_checkpoint(tmp_path / "f", backend="torch")
    assert caught.value.code == "E101"


def test_torch_backend_reads_fields_as_the_strict_reader_does(tmp_path: Path, policy: Policy) -> None:
    """Tensors, types and sizes among the fields become the same plain values."""
    config = {"shape": torch.Size([2]), "t": torch.ones(2), "nested": [{"a": (1, None)}], "device": torch.device("cpu")}
    torch.save({"policy_state_dict": policy.state_dict(), "config": config}, tmp_path / "f")
    strict, theirs = (read_checkpoint(tmp_path / "f", backend=name).metadata["config"] for name in ("numpy", "torch"))
    assert np.array_equal(strict.pop("t"), theirs.pop("t"))
    assert strict == theirs


class NeedsMore(Policy):
    """A forward that needs more than observations."""

    def forward(self, obs: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:  # type: ignore[override] # on purpose
        return self.actor_head(self.trunk(obs)) + mask


class Twice(Policy):
    """A forward that runs its head twice."""

    def forward(self, obs: torch.Tensor) -> torch.Tensor:  # type: ignore[override] # on purpose
        return self.actor_head(self.trunk(obs)) + self.actor_head(self.trunk(-obs))


@pytest.mark.parametrize("module", [NeedsMore, Twice])
def test_probe_of_a_module_that_cannot_be_called_is_refused(
    tmp_path: Path, rows: np.ndarray[Any, Any], module: type[nn.Module]
) -> None:
    """A recording that would not be the policy's own output is not made."""
    with pytest.raises(SdkError, match="probe_observations"):
        save(tmp_path / "m.pt", policy=module(), probe_observations=rows)
    assert not list(tmp_path.iterdir())


def test_softmax_behind_the_head_is_no_activation(tmp_path: Path) -> None:
    """A softmax over the logits does not change which action is best."""
    policy = nn.Sequential(nn.Linear(5900, 3), nn.ReLU(), nn.Linear(3, 7), nn.Softmax(dim=-1))
    assert save(tmp_path / "m.pt", policy=policy).metadata["activation"] == "relu"


def test_file_that_does_not_read_back_is_not_kept(
    tmp_path: Path, policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that changes a bit is caught before the rename."""
    plain = writer.read_checkpoint

    def other(path: Path) -> object:
        raw = plain(path)
        return replace(raw, tensors={name: tensor + 1 for name, tensor in raw.tensors.items()})

    monkeypatch.setattr(writer, "read_checkpoint", other)
    with pytest.raises(SdkError, match="read back"):
        save(tmp_path / "m.pt", policy=policy)
    assert not list(tmp_path.iterdir())


def test_unknown_backend_is_refused(tmp_path: Path) -> None:
    """There are two readers."""
    with pytest.raises(SdkError, match="numpy or torch"):
        read_checkpoint(tmp_path, backend="pickle")  # type: ignore[arg-type] # the wrong value is the test


def test_save_accepts_a_buffer_from_any_float_type(tmp_path: Path) -> None:
    """A half-precision module is stamped and read as it is stored."""
    torch.manual_seed(3)
    saved = save(tmp_path / "m.pt", policy=Policy().to(torch.bfloat16))
    buffer = io.BytesIO(saved.path.read_bytes())
    assert torch.load(buffer, weights_only=True)["policy_state_dict"]["trunk.0.weight"].dtype is torch.bfloat16
    assert NativeModelWrapper(saved.path, strict_version=True).model_version == "2.7.0"


def test_save_says_what_it_needs_where_torch_is_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The save hook of an environment without torch is a typed error, not a missing module."""
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(SdkError) as caught:
        save(tmp_path / "model.pt", policy={})
    assert "needs torch" in str(caught.value)


def test_save_needs_no_numpy_that_torch_was_built_for(
    tmp_path: Path, policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Torch releases older than numpy 2 cannot hand arrays over; nothing of save() asks them to."""

    def unavailable(*_: object, **__: object) -> None:
        raise RuntimeError("Numpy is not available")

    monkeypatch.setattr(torch.Tensor, "numpy", unavailable)
    monkeypatch.setattr(torch, "from_numpy", unavailable)
    saved = save(tmp_path / "model.pt", policy=policy, probe_observations=np.zeros((2, 5900), np.float32))
    assert saved.metadata["model_version"] == "2.7.0"
