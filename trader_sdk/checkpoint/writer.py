"""The save hook: stamp what a policy is, write it durably, and prove that it reads back."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from trader_sdk.checkpoint.artefacts import SavedCheckpoint, raw_policy_sha256
from trader_sdk.checkpoint.files import write_whole
from trader_sdk.checkpoint.reader import RawCheckpoint, read_checkpoint
from trader_sdk.contract.canonical import sha256_of
from trader_sdk.contract.detect import candidates_for, detect_version_from_checkpoint, parse_model_version
from trader_sdk.contract.errors import CheckpointError, UsageError, VersionError
from trader_sdk.contract.metadata import (
    ACTIVATIONS,
    OPTIONAL_FIELDS,
    get_checkpoint_metadata,
    measure,
)

if TYPE_CHECKING:
    import torch

_MODULE_ACTIVATIONS: Final[Mapping[str, str]] = {
    "Tanh": "tanh",
    "ReLU": "relu",
    "ELU": "elu",
    "LeakyReLU": "leaky_relu",
    "SiLU": "silu",
}
_DEFAULT_PARAMETERS: Final[Mapping[str, tuple[str, float]]] = {
    "ELU": ("alpha", 1.0),
    "LeakyReLU": ("negative_slope", 0.01),
}
_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
_STAMPED: Final = ("activation", "feature_schema", "constants", "symbol", "timeframe", "golden_probe")
_EXTRA: Final = frozenset(OPTIONAL_FIELDS) - {*_STAMPED, "hidden_dims", "contract_schema"}


def save(
    path: str | os.PathLike[str],
    *,
    policy: torch.nn.Module | Mapping[str, torch.Tensor],
    optimizer: torch.optim.Optimizer | Mapping[str, Any] | None = None,
    global_step: int = 0,
    config: Mapping[str, Any] = _NOTHING,
    model_version: str | None = None,
    activation: str | None = None,
    feature_schema: Mapping[str, Any] | None = None,
    constants: Mapping[str, Any] | None = None,
    symbol: str | None = None,
    timeframe: str | None = None,
    probe_observations: Any = None,
    extra: Mapping[str, Any] = _NOTHING,
) -> SavedCheckpoint:
    """Save a policy as a checkpoint that says what it is; works from a plain torch loop.

    What is stamped is measured: the first layer's input, the policy head's output, the activation of the module.
    What was not said is absent, never invented.

    Args:
        path: Target ``.pt`` file; replaced in one step.
        policy: A module, also wrapped by DDP or ``torch.compile``, or a state dict.
        optimizer: Its state is saved; ``{}`` when None.
        global_step: Environment steps so far, >= 0.
        config: Training settings, plain data.
        model_version: The version it is; None takes the one version whose shapes fit.
        activation: For a state dict, or a module whose activations are functions: ``tanh``, ``relu``, ``elu``,
            ``leaky_relu`` or ``silu``.
        feature_schema: Whose features; its sha256 is stamped beside it.
        constants: Fitted normalisers of the feature provider; its sha256 is stamped beside it.
        symbol: The symbol it was trained on.
        timeframe: The timeframe it was trained on.
        probe_observations: float32 (n, obs_dim); the module's own logits on them are recorded and every load
            proves itself against them.
        extra: Any other field of the contract; unknown names are refused.

    Returns:
        Path, sha256 and metadata of the written file.

    Raises:
        SdkError: The policy, a field or the version disagrees with the contract, or torch is not installed; nothing
            is written.
        StorageError: The disk refuses; an older file is left as it was.

    Source:
        docs/reference/checkpoint-format.md

    Example:
        >>> save("model.pt", policy=policy, optimizer=optimizer, global_step=step)  # doctest: +SKIP
    """
    _require_torch()
    state = _state(policy)
    metadata = get_checkpoint_metadata(_version(policy, model_version), policy=policy)
    stated = {
        "activation": _activation(policy, activation),
        "feature_schema": None if feature_schema is None else dict(feature_schema),
        "feature_schema_sha256": None if feature_schema is None else sha256_of(dict(feature_schema)),
        "constants": None if constants is None else dict(constants),
        "constants_sha256": None if constants is None else sha256_of(dict(constants)),
        "symbol": symbol,
        "timeframe": timeframe,
        **_extra(extra),
    }
    if probe_observations is not None:
        stated["golden_probe"] = _probe(policy, probe_observations, metadata["obs_dim"])
    fields = {
        "policy_state_dict": state,
        "optimizer_state_dict": _optimizer_state(optimizer),
        "global_step": _step(global_step),
        "config": _plain(dict(config), "config"),
        **metadata,
        **{name: value for name, value in stated.items() if value is not None},
    }
    return _write(Path(path), fields)


def _require_torch() -> None:
    try:
        import torch  # noqa: F401 - only whether it is there
    except ImportError as error:
        raise UsageError(
            "USAGE",
            "saving a policy needs torch, which is not installed here",
            where="save()",
            remedy="Install it as PyTorch's own page says, or trader-sdk[torch].",
        ) from error


def _version(policy: Any, stated: str | None) -> str:
    if stated is not None:
        return parse_model_version(stated)[0]
    architecture = measure(policy)
    fitting = candidates_for(architecture)
    if len(fitting) == 1:
        return fitting[0]
    shape = f"obs_dim {architecture.obs_dim}, n_actions {architecture.n_actions}"
    if fitting:
        raise VersionError(
            "E202",
            "several model versions have these shapes",
            where="model_version",
            expected=" or ".join(fitting),
            found=shape,
            remedy=f'Say which it is: model_version="{fitting[-1]}".',
        )
    raise VersionError("E204", "no model version has these shapes", where="policy", found=shape)


def _activation(policy: Any, stated: str | None) -> str | None:
    if stated is not None and stated not in ACTIVATIONS:
        raise UsageError(
            "USAGE", "no such activation", where="activation", expected=", ".join(ACTIVATIONS), found=f"{stated!r:.40}"
        )
    read = set() if isinstance(policy, Mapping) else _module_activations(policy)
    if len(read) > 1 or (stated is not None and read and read != {stated}):
        raise UsageError(
            "USAGE",
            "the module's activations are not one and the same",
            where="policy",
            expected=stated or "one activation",
            found=", ".join(sorted(read)),
        )
    return stated if stated is not None else next(iter(read), None)


def _module_activations(policy: torch.nn.Module) -> set[str]:
    import torch

    found = set()
    for module in policy.modules():
        name = type(module).__name__
        if type(module).__module__ != torch.nn.modules.activation.__name__:
            continue
        parameter, default = _DEFAULT_PARAMETERS.get(name, ("", 0.0))
        if name not in _MODULE_ACTIVATIONS or (parameter and getattr(module, parameter) != default):
            if name in ("Softmax", "LogSoftmax"):
                continue  # over the logits, behind the policy head
            raise UsageError(
                "USAGE",
                "the trader does not know this activation",
                where="policy",
                expected=", ".join(_MODULE_ACTIVATIONS),
                found=repr(module),
            )
        found.add(_MODULE_ACTIVATIONS[name])
    return found


def _extra(extra: Mapping[str, Any]) -> dict[str, Any]:
    unknown = sorted(set(map(str, extra)) - _EXTRA)
    if unknown:
        raise UsageError(
            "USAGE",
            "extra holds fields that a checkpoint does not have, or that have an argument of their own",
            where="extra",
            expected=", ".join(sorted(_EXTRA)),
            found=", ".join(unknown),
        )
    return {name: _plain(value, f"extra.{name}") for name, value in extra.items()}


def _step(global_step: int) -> int:
    if isinstance(global_step, bool) or not isinstance(global_step, int | np.integer) or global_step < 0:
        raise UsageError("USAGE", "global_step is no count", where="global_step", found=f"{global_step!r:.40}")
    return int(global_step)


def _plain(value: Any, where: str) -> Any:
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, np.bool_ | np.integer | np.floating):
        return value.item()
    if isinstance(value, Mapping):
        return {_plain_key(key, where): _plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        items = [_plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
        return items if isinstance(value, list) else tuple(items)
    raise UsageError(
        "USAGE",
        "a checkpoint holds plain data, never an instance",
        where=where,
        expected="dict, list, tuple, str, int, float, bool or None",
        found=type(value).__name__,
        remedy="Convert it first: dataclasses.asdict(config), str(path), enum.value.",
    )


def _plain_key(key: object, where: str) -> str | int:
    if type(key) is str or type(key) is int:
        return key
    raise UsageError("USAGE", "a mapping's key is no text or int", where=where, found=f"{key!r:.40}")


def _state(policy: Any) -> dict[str, torch.Tensor]:
    state = policy if isinstance(policy, Mapping) else policy.state_dict()
    import torch

    strays = [str(name) for name, tensor in state.items() if not isinstance(tensor, torch.Tensor)]
    if strays:
        raise UsageError("USAGE", "the policy's state holds something that is no tensor", where=", ".join(strays[:4]))
    # A clone owns its storage: a view would drag the whole of another tensor's into the file.
    return {str(name): tensor.detach().to("cpu").clone().contiguous() for name, tensor in state.items()}


def _optimizer_state(optimizer: Any) -> dict[str, Any]:
    if optimizer is None:
        return {}
    return dict(optimizer if isinstance(optimizer, Mapping) else optimizer.state_dict())


def _probe(policy: Any, observations: Any, obs_dim: int) -> dict[str, torch.Tensor]:
    import torch

    if isinstance(policy, Mapping):
        raise UsageError(
            "USAGE",
            "a state dict cannot decide, so no probe can be recorded",
            where="probe_observations",
            remedy="Pass the module itself as policy.",
        )
    rows = np.ascontiguousarray(observations, dtype=np.float32)
    if rows.ndim != 2 or rows.shape[1] != obs_dim or not len(rows) or not np.isfinite(rows).all():
        raise UsageError(
            "USAGE",
            "probe_observations are no table of finite observations",
            where="probe_observations",
            expected=f"(n, {obs_dim})",
            found=rows.shape,
        )
    # Not from_numpy(): an older torch is not built for the numpy that this package needs.
    tensor = torch.frombuffer(bytearray(rows.data), dtype=torch.float32).reshape(rows.shape)
    logits = _own_logits(policy, tensor.clone())
    best = logits.topk(2, dim=1).values
    return {"observations": tensor, "logits": logits, "margin": best[:, 0] - best[:, 1]}


def _own_logits(policy: torch.nn.Module, observations: torch.Tensor) -> torch.Tensor:
    # The policy head's output is caught on its way, whatever forward() makes of it afterwards.
    import torch

    head_weight = dict(policy.named_parameters())[measure(policy).actor.weight]
    head = next(module for module in policy.modules() if getattr(module, "weight", None) is head_weight)
    caught: list[torch.Tensor] = []
    hook = head.register_forward_hook(lambda _module, _inputs, output: caught.append(output.detach()))
    training = policy.training
    try:
        policy.eval()
        with torch.no_grad():
            policy(observations.to(head_weight.device))
    except (TypeError, ValueError, RuntimeError, AttributeError, NotImplementedError) as error:
        raise UsageError(
            "USAGE",
            "the module cannot be called with observations alone",
            where="probe_observations",
            found=f"{type(error).__name__}: {error}"[:160],
            remedy="Give it forward(obs), or save without probe_observations.",
        ) from error
    finally:
        hook.remove()
        policy.train(training)
    if len(caught) != 1 or caught[0].shape[0] != len(observations) or caught[0].ndim != 2:
        raise UsageError("USAGE", "the policy head did not run once for the probe", where="probe_observations")
    return caught[0].to("cpu", torch.float32).contiguous()


def _write(path: Path, fields: dict[str, Any]) -> SavedCheckpoint:
    import torch

    detect_version_from_checkpoint(fields)
    buffer = io.BytesIO()
    torch.save(fields, buffer)
    written: list[RawCheckpoint] = []

    def verify(partial: Path) -> None:
        raw = read_checkpoint(partial)
        _compare(raw, fields["policy_state_dict"])
        detect_version_from_checkpoint(raw.fields)
        written.append(raw)

    write_whole(path, buffer.getvalue(), verify=verify)
    (raw,) = written
    return SavedCheckpoint(path, raw.sha256, raw.metadata, raw_policy_sha256(raw), raw.size)


def _compare(raw: RawCheckpoint, state: Mapping[str, torch.Tensor]) -> None:
    import torch

    for name, tensor in state.items():
        found = raw.tensors[name]
        read = torch.frombuffer(bytearray(found.data), dtype=getattr(torch, found.dtype.name))
        if not torch.equal(read.reshape(tensor.shape), tensor.to(read.dtype)):
            raise CheckpointError("E101", "the file does not read back as it was written", where=name)
