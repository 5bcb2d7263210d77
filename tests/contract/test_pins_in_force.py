"""What pins add to a file, what they may not say, and how far a recall reaches."""

from typing import Any

import numpy as np
import pytest

from trader_sdk import check_compatibility, detect_version_from_checkpoint, get_checkpoint_metadata
from trader_sdk.contract.canonical import sha256_of
from trader_sdk.contract.compatibility import CompatReport, Mode, Pin

DIGEST, SCHEMA = "ab" * 32, {"names": ["close"], "versions": [1]}
STATE = {
    "a.weight": np.zeros((4, 5900)),
    "a.bias": np.zeros(4),
    "pi.weight": np.zeros((7, 4)),
    "pi.bias": np.zeros(7),
}


def report(pin: Pin, **fields: Any) -> CompatReport:
    """Return the report of a file with these fields and one pin on it."""
    stated = {"policy_state_dict": STATE, **get_checkpoint_metadata("2.7.0"), **fields}
    return check_compatibility(detect_version_from_checkpoint(stated), sha256=f"sha256:{DIGEST}", pins=[pin])


def codes(found: CompatReport) -> set[str]:
    """Return the codes of all findings."""
    return {finding.code for finding in found.findings}


@pytest.mark.parametrize(
    ("pin", "fields", "code"),
    [
        (Pin(DIGEST, version="2.6.0"), {"activation": "tanh"}, "E301"),
        (Pin(DIGEST, activation="relu"), {"activation": "tanh"}, "E301"),
        (Pin(DIGEST, activation="relu"), {"config": {"activation": "tanh"}}, "E301"),
        (Pin(DIGEST, feature_schema="cd" * 32), {"activation": "tanh", "feature_schema": SCHEMA}, "E304"),
        (Pin(DIGEST, feature_schema="cd" * 32), {"activation": "tanh", "feature_schema_sha256": "sha256:00"}, "E304"),
    ],
)
def test_pin_that_contradicts_its_file_is_refused_in_both_modes(pin: Pin, fields: dict[str, Any], code: str) -> None:
    """A pin completes a file and corrects none: one of the two is wrong, and nobody here knows which."""
    found = report(pin, **fields)
    assert code in {finding.code for finding in found.refusals(Mode.WARN)}


def test_pin_that_repeats_its_file_is_harmless() -> None:
    """Saying the same is no conflict, with and without the digest's prefix."""
    for digest in (sha256_of(SCHEMA), sha256_of(SCHEMA).removeprefix("sha256:")):
        pin = Pin(DIGEST, version="2.7.0", activation="tanh", feature_schema=digest)
        assert report(pin, activation="tanh", feature_schema=SCHEMA).loads(Mode.STRICT)


def test_pinned_features_are_in_the_report_and_no_longer_absent() -> None:
    """Who builds observations reads them there; other files have none."""
    found = report(Pin(DIGEST, feature_schema="cd" * 32), activation="tanh")
    assert (found.asserted_schema, "W305" in codes(found)) == ("sha256:" + "cd" * 32, False)
    other = report(Pin("ef" * 32, feature_schema="cd" * 32), activation="tanh")
    assert (other.asserted_schema, "W305" in codes(other)) == (None, True)
