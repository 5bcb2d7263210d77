"""Files that are read without fault and lie about the model in them."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Any

from hostile_case import Hostile
from opcodes import STOP, container, counts, plain, storage, tensor, text

_NAMES = ("HOLD", "BUY_25%", "BUY_50%", "BUY_75%", "SELL_25%", "SELL_50%", "SELL_75%")
_SHAPES = {"trunk.0.weight": (2, 5900), "trunk.0.bias": (2,), "actor_head.weight": (7, 2), "actor_head.bias": (7,)}
_GOOD: Mapping[str, Any] = {
    "optimizer_state_dict": {},
    "global_step": 1,
    "config": {"activation": "tanh"},
    "model_version": "2.7.0",
    "n_features": 59,
    "n_actions": 7,
    "obs_dim": 5900,
    "action_meanings": dict(enumerate(_NAMES)),
    "min_trader_version": "2.7.0",
}


def _model(fields: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> bytes:
    state, records = b"", {}
    for key, (name, shape) in enumerate(shapes.items()):
        numel, stride = 1, []
        for extent in reversed(shape):
            stride.insert(0, numel)
            numel *= extent
        of = storage(key=str(key), numel=numel)
        state += text(name) + tensor(of=of, shape=counts(*shape), stride=counts(*stride))
        records[f"data__{key}"] = struct.pack(f"<{numel}f", *[0.5] * numel)
    others = b"".join(plain(name) + plain(value) for name, value in fields.items())
    return container(b"\x80\x02}(" + text("policy_state_dict") + b"}(" + state + b"u" + others + b"u" + STOP, **records)


def _lie(name: str, code: str, shapes: Mapping[str, tuple[int, ...]] = _SHAPES, **fields: Any) -> Hostile:
    return Hostile(f"model-{name}", _model({**_GOOD, **fields}, shapes), code, model=True)


def _without(name: str) -> Hostile:
    fields = {key: value for key, value in _GOOD.items() if key != name}
    return Hostile(f"model-without-{name}", _model(fields, _SHAPES), "E301", model=True)


def controls() -> Iterator[Hostile]:
    """Yield the good model from which the cases differ."""
    yield Hostile("good-model", _model(_GOOD, _SHAPES), None, model=True)
    yield Hostile("good-model-without-metadata", _model({}, _SHAPES), None, model=True)


def models() -> Iterator[Hostile]:
    """Yield models whose version, numbers, action table, layers or probe lie."""
    yield from _versions()
    yield from _numbers()
    yield from _actions()
    yield from _layers()
    yield from _others()


def _versions() -> Iterator[Hostile]:
    codes: dict[str, tuple[str, ...]] = {
        "E203": ("", "v", "latest", "2.7.0 ", " 2.7.0", "2.7.0\n", "2.7.0\0", "\uff12.7.0", "2.7.0.dev1", "2.7.0.post1",
                 "1!2.7.0", "2.7.0+cpu", "2.7.0-1", "2..7", ".2.7", "2.7.0.0", "-2.7.0", "2,7,0", "2.7.0rc", "9" * 40,
                 "2.7.0;os.system", "$(touch x)", "../2.7.0", "2.7.x"),
        "E205": ("2.99.0", "2.100.0", "2.700.0", "3.0.0", "999999.0.0", "2.99.1", "2.99.0rc1"),
        "E207": ("2.2.9", "2.0.0", "1.9.9", "0.0.1", "0", "2.3.0rc1"),
        "E504": ("2.3.1", "2.5.1", "2.6.9", "2.7.0rc1", "2.6.99"),
        "E302": ("2.6.0", "2.4.0", "2.3.0"),
    }  # fmt: skip
    for code, texts in codes.items():
        yield from (_lie(f"version-{version[:12]!r}", code, model_version=version) for version in texts)
    for value in (2.7, 270, True, ["2.7.0"], {"v": "2.7.0"}):
        yield _lie(f"version-of-{type(value).__name__}", "E203", model_version=value)


def _numbers() -> Iterator[Hostile]:
    yield from (_without(name) for name in ("n_features", "n_actions", "obs_dim", "action_meanings"))
    for name, conflict in (("n_features", "E301"), ("n_actions", "E303"), ("obs_dim", "E302")):
        for value in (0, -1, True, 59.0, "59", [59], {}, 1 << 100):
            code = conflict if value == 1 << 100 else "E301"
            yield _lie(f"{name}-{str(value)[:8]}-{type(value).__name__}", code, **{name: value})
        yield _lie(f"{name}-other", conflict, **{name: 56})


def _actions() -> Iterator[Hostile]:
    swapped = dict(enumerate((*_NAMES[:1], *_NAMES[4:], *_NAMES[1:4])))
    tables: dict[str, object] = {
        "swapped": swapped,
        "of-three": {0: "HOLD", 1: "BUY", 2: "SELL"},
        "shifted": dict(enumerate(_NAMES, start=1)),
        "missing-one": dict(enumerate(_NAMES[:-1])),
        "one-more": dict(enumerate((*_NAMES, "SHORT"))),
        "lower-case": dict(enumerate(name.lower() for name in _NAMES)),
        "same-name-twice": dict(enumerate((*_NAMES[:-1], "BUY_25%"))),
        "empty": {},
        "list": list(_NAMES),
        "text": "HOLD",
        "keys-of-text": {name: index for index, name in enumerate(_NAMES)},
        "keys-bool": {False: "HOLD", True: "BUY_25%"},
        "keys-float": {float(index): name for index, name in enumerate(_NAMES)},
        "names-of-numbers": dict(enumerate(range(7))),
        "look-alike-letters": dict(enumerate(("\u041dOLD", *_NAMES[1:]))),
    }
    yield from (_lie(f"actions-{name}", "E401", action_meanings=table) for name, table in tables.items())


def _layers() -> Iterator[Hostile]:
    base = dict(_SHAPES)
    cases: dict[str, tuple[dict[str, tuple[int, ...]], str]] = {
        "normaliser": ({**base, "obs_rms.mean": (5900,), "obs_rms.var": (5900,)}, "E306"),
        "running-mean": ({**base, "norm.running_mean": (5900,)}, "E306"),
        "three-actions": ({**base, "actor_head.weight": (3, 2), "actor_head.bias": (3,)}, "E303"),
        "narrower": ({**base, "trunk.0.weight": (2, 5600)}, "E302"),
        "no-head": ({name: base[name] for name in list(base)[:2]}, "E303"),
        "no-bias": ({name: base[name] for name in base if name != "trunk.0.bias"}, "E204"),
        "bias-of-other-width": ({**base, "trunk.0.bias": (3,)}, "E204"),
        "chain-broken": ({**base, "actor_head.weight": (7, 3)}, "E204"),
        "two-heads": ({**base, "pi.weight": (7, 2), "pi.bias": (7,)}, "E204"),
        "stray-tensor": ({**base, "extra": (3, 3, 3)}, "E204"),
        "stray-tensors-of-long-names": ({**base, **{f"{n}" * 3000: (3,) for n in range(9)}}, "E204"),
        "normaliser-of-a-long-name": ({**base, "rms" * 1000: (2,)}, "E306"),
    }
    yield from (_lie(f"layers-{name}", code, shapes) for name, (shapes, code) in cases.items())


def _others() -> Iterator[Hostile]:
    newer = {
        "model_version": "2.99.0",
        "requires_trader": ">=2.7.0",
        "requires": ["actions/discrete7@1"],
        "contract_schema": 1,
    }
    lies: dict[str, tuple[str, dict[str, Any]]] = {
        "schema-newer": ("E208", {"contract_schema": 2}),
        "schema-bool": ("E301", {"contract_schema": True}),
        "schema-text": ("E301", {"contract_schema": "1"}),
        "capability-unknown": ("E307", {"requires": ["actions/continuous@1"]}),
        "capability-text": ("E301", {"requires": "actions/discrete7@1"}),
        "activation-unknown": ("E307", {"activation": "gelu"}),
        "activation-number": ("E301", {"activation": 1}),
        "hidden-dims-other": ("E301", {"hidden_dims": [3]}),
        "hidden-dims-bool": ("E301", {"hidden_dims": [True]}),
        "requires-trader-malformed": ("E301", {"requires_trader": "about 2.7"}),
        "bad-traders-malformed": ("E301", {"bad_traders": ["about 2.7"]}),
        "min-trader-malformed": ("E301", {"min_trader_version": "about 2.7"}),
        "symbol-number": ("E301", {"symbol": 1}),
        "probe-list": ("E301", {"golden_probe": []}),
        "probe-empty": ("E308", {"golden_probe": {}}),
        "probe-of-text": ("E308", {"golden_probe": {"observations": "x", "logits": "y"}}),
        "constants-list": ("E301", {"constants": []}),
        "newer-feature-schema-number": ("E301", {**newer, "feature_schema": 5}),
        "newer-feature-sets-number": ("E205", {**newer, "feature_schema": {"feature_sets": 5}}),
        "newer-without-schema": ("E205", newer),
        "newer-window-zero": ("E205", {**newer, "feature_schema": {}, "window": 0}),
    }  # fmt: skip
    yield from (_lie(name, code, **fields) for name, (code, fields) in lies.items())
    yield from (_lie(name, code, **fields) for name, (code, fields) in _odd_documents().items())


def _odd_documents() -> dict[str, tuple[str, dict[str, Any]]]:
    # Right types and no sense: each of these reached code that expected sense.
    digest = {"feature_schema_sha256": "sha256:00"}
    return {
        "min-trader-range": ("E301", {"min_trader_version": "2.0,<3"}),
        "min-trader-empty": ("E301", {"min_trader_version": ""}),
        "feature-schema-nan": ("E301", {"feature_schema": {"x": float("nan")}, **digest}),
        "feature-schema-number-keys": ("E301", {"feature_schema": {1: 2, "a": 3}, **digest}),
        "constants-infinite": ("E301", {"constants": {"x": [float("inf")]}}),
        "activation-long": ("E307", {"activation": "x" * 4000}),
        "activation-of-config-long": ("E307", {"config": {"activation": "x" * 4000}}),
        "hidden-dims-long": ("E301", {"hidden_dims": [1] * 5000}),
        "capabilities-many": ("E301", {"requires": ["x"] * 5000}),
        "bad-traders-many": ("E301", {"bad_traders": ["2.0.0"] * 5000}),
        "actions-many": ("E401", {"action_meanings": dict.fromkeys(range(5000), "x" * 100)}),
        "version-long": ("E203", {"model_version": "2" * 4000}),
        "requires-trader-long": ("E301", {"requires_trader": "x" * 4000}),
        "symbol-of-controls": ("E301", {"symbol": ["\x1b[2J\u202e"]}),
    }  # fmt: skip
