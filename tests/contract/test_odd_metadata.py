"""Fields of every name with values of every kind: a report or a typed, brief and printable error."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from trader_sdk.contract.compatibility import Mode, check_compatibility, enforce
from trader_sdk.contract.detect import detect_version_from_checkpoint
from trader_sdk.contract.errors import SdkError
from trader_sdk.contract.metadata import OPTIONAL_FIELDS, get_checkpoint_metadata

NOW = datetime(2026, 11, 21, tzinfo=UTC)
STATE = {
    "a.weight": np.zeros((4, 5900)),
    "a.bias": np.zeros(4),
    "pi.weight": np.zeros((7, 4)),
    "pi.bias": np.zeros(7),
}
NAMES = (
    *OPTIONAL_FIELDS,
    *("config", "model_version", "n_features", "n_actions", "obs_dim", "action_meanings"),
    *("global_step", "optimizer_state_dict", "a field of nobody's"),
)
CONTROLS = "a\nb\x1b[2J\u202e\ud800"
TEXTS = ("", "x" * 4096, CONTROLS, "2.7.0", "2.0,<3", ">=1", "==*", "===2.7.0", "9" * 30, "2026-02-30", "nan")
NUMBERS = (-1, 0, 1 << 70, 1.5, float("nan"), float("-inf"), True)
LISTS = ([], [1], [True], ["x"], [CONTROLS], ["x" * 4096] * 50, [1] * 10_000, ["2.0,<3"], ["=="], [None], [[]], ())
MAPPINGS = (
    {}, {1: 2}, {None: 1}, {"b": 1, 1: 2}, {"x": float("nan")}, {"x": b"y"}, {"x": np.zeros(2)}, {"a": {"b": [1, {}]}},
    {"activation": 5}, {"activation": "x" * 4000}, {"activation": CONTROLS}, {"feature_sets": [1]},
    {"feature_sets": [[]]}, {"stamped_from": [1]}, {"stamped_from": {}, "stamped_earlier": [{}, 1]},
    dict.fromkeys(range(5000), "x" * 100), {"observations": np.zeros(3)},
)  # fmt: skip
VALUES = (*TEXTS, *NUMBERS, *LISTS, *MAPPINGS, None, b"x", np.zeros(3))


def verdict(checkpoint: dict[str, Any]) -> SdkError | dict[str, Any]:
    """Return what a strict load would say of the fields."""
    try:
        detection = detect_version_from_checkpoint(checkpoint)
        report = check_compatibility(detection, sha256="0" * 64, at=NOW, max_model_age=timedelta(days=3))
        enforce(report, Mode.STRICT)
    except SdkError as error:
        return error
    return report.to_dict()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("others", ["stated", "absent"])
def test_odd_value_gives_a_report_or_a_typed_brief_error(name: str, others: str) -> None:
    """Each kind of value in each field, in a file with metadata and in one without."""
    rest = get_checkpoint_metadata("2.7.0") if others == "stated" else {}
    for value in VALUES:
        said = verdict({"policy_state_dict": STATE, **rest, name: value})
        if isinstance(said, SdkError):
            assert len(str(said)) < 2000, (name, repr(value)[:60])
            assert str(said).isprintable(), (name, repr(value)[:60])
            assert len(said.findings) <= 64, (name, repr(value)[:60])
        for finding in said.findings if isinstance(said, SdkError) else ():
            assert len(str(finding)) < 2000
        json.dumps(said.to_dict() if isinstance(said, SdkError) else said, allow_nan=False)


def test_unknown_fields_are_listed_as_far_as_a_person_reads() -> None:
    """A file of a thousand foreign fields loads with a page of notes that counts the rest."""
    rest = {**get_checkpoint_metadata("2.7.0"), "activation": "tanh", **{f"theirs{n}": n for n in range(1000)}}
    notes = [
        f for f in detect_version_from_checkpoint({"policy_state_dict": STATE, **rest}).findings if f.code == "W109"
    ]
    assert (len(notes), notes[-1].where) == (65, "936 further fields")


@pytest.mark.parametrize("name", ["feature_schema", "constants"])
def test_digest_of_a_document_that_is_no_json_is_refused(name: str) -> None:
    """What cannot be written down canonically has no digest, so it cannot be the document that was stamped."""
    for value in ({"x": float("nan")}, {1: 2, "a": 3}, {"x": b"y"}, {"x": np.zeros(2)}, {"x": {1, 2}}):
        rest = {**get_checkpoint_metadata("2.7.0"), f"{name}_sha256": "sha256:00"}
        said = verdict({"policy_state_dict": STATE, **rest, name: value})
        assert isinstance(said, SdkError)
        assert said.code == "E301"


def test_least_trader_is_one_version() -> None:
    """A range where one version belongs is refused, whatever a specifier would make of it."""
    for text in ("2.0,<3", "", "*", "2.7.*", ">=2", "two"):
        rest = {**get_checkpoint_metadata("2.7.0"), "min_trader_version": text}
        said = verdict({"policy_state_dict": STATE, **rest})
        assert isinstance(said, SdkError)
        assert (said.code, said.findings[0].where) == ("E301", "min_trader_version")
