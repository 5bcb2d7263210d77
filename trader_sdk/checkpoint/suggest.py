"""The draft of a map: what a file tells is filled in, what a person must say is left as a comment with the choices."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from typing import Final

from trader_sdk.checkpoint.policy import policy_layers
from trader_sdk.checkpoint.proof import prove_reading
from trader_sdk.checkpoint.reader import RawCheckpoint, read_checkpoint
from trader_sdk.checkpoint.stamp_map import Found
from trader_sdk.contract.detect import Detection, detect_version_from_checkpoint
from trader_sdk.contract.errors import ContractError, SdkError
from trader_sdk.contract.metadata import ACTIVATIONS
from trader_sdk.contract.timeframe import Timeframe
from trader_sdk.engine.probe import read_probe

_INTRODUCTION: Final = """\
# Which checkpoint is what. Written by `trader compat stamp --suggest`; nothing in it is an assertion yet.
# Fill in who and why, uncomment what you know, delete the tables of files that you do not stamp, then:
#   trader compat stamp PATH --map THIS_FILE --out FOLDER
# A table may name many files: match = "AAPL_*.pt" instead of sha256.
"""


def suggest_map(files: Iterable[Found]) -> str:
    """Return the draft of a map as TOML.

    Args:
        files: What was found; a file that does not load becomes a comment that says why.
    """
    return _INTRODUCTION + "".join("\n" + "\n".join(_table(file)) + "\n" for file in files)


def _table(file: Found) -> Iterator[str]:
    try:
        raw = read_checkpoint(file.path)
        detection = detect_version_from_checkpoint(raw.fields)
        activation, proven = _activation(raw, detection)
    except SdkError as error:
        yield f"# {_printable(file.name)}: {error.code} {_printable(error.message)}; it cannot be stamped"
        return
    architecture = detection.architecture
    shape = f"{architecture.obs_dim} inputs, {architecture.n_actions} actions, hidden {architecture.hidden_dims}"
    yield f"# {_printable(file.name)}: {shape}, version told by {detection.source}"
    yield "[[file]]"
    yield f'sha256 = "{raw.sha256}"'
    yield from _version(detection)
    yield from _told("activation", activation, f"one of {', '.join(ACTIVATIONS)}; unsaid, tanh is assumed (W310)")
    yield from _features(detection)
    metadata = detection.metadata
    yield from _told("symbol", metadata.text("symbol"), "what it was trained on, as the venue writes it: AAPL")
    yield from _told("timeframe", metadata.text("timeframe"), f"length of its bars: {', '.join(Timeframe)}")
    if proven:
        yield "# the file holds a golden probe that proves its reading"
    else:
        yield '# probe = ""  # .npz or .safetensors: observations and logits that your own code made; without it W311'
    yield '# who = ""  # your name'
    yield '# why = ""  # how you know'


def _version(detection: Detection) -> Iterator[str]:
    if detection.ambiguous:
        yield f'# version = ""  # one of {", ".join(detection.candidates)}; their contract is the same'
    else:
        yield f'version = "{detection.candidates[0]}"'


def _features(detection: Detection) -> Iterator[str]:
    if "feature_schema" in detection.metadata.fields:
        yield "# features: stated by the file"
        return
    yield '# features = ""  # MODULE:Provider whose columns it saw; ours is trader_sdk.features:Ohlcv53Provider'
    yield '# feed = ""  # with features: where its volumes came from (sip, iex, vendored, ...)'
    yield '# adjustment = ""  # with features: raw, split, dividend or all'
    yield '# calendar = ""  # with features: XNYS or 24/7'


def _told(name: str, value: str | None, choices: str) -> Iterator[str]:
    if value is None or not value.isprintable():
        yield f'# {name} = ""  # {choices}'
    else:
        yield f"{name} = {json.dumps(value, ensure_ascii=False)}"


def _activation(raw: RawCheckpoint, detection: Detection) -> tuple[str | None, bool]:
    spec = detection.spec
    probe = read_probe(raw.metadata, obs_dim=spec.obs_dim, n_actions=spec.n_actions)
    if probe is None:
        return detection.activation, False
    layers = policy_layers(raw.tensors, detection.architecture)
    try:
        return prove_reading(layers, probe, window=spec.window, activation=detection.activation), True
    except ContractError:
        return detection.activation, False


def _printable(text: str) -> str:
    # A name must neither end the comment nor command a terminal.
    readable = os.fsencode(text).decode("utf-8", "replace")
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in readable)
