"""Strict JSON."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trader_sdk import ArchiveError
from trader_sdk.contract.canonical import canonical_json, read_json_strict

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(value=plain)
def test_canonical_json_is_read_back_equal_and_stable(value: object) -> None:
    """What was written is what is read, and writes the same bytes again."""
    once = canonical_json(value)
    again = read_json_strict(once)
    assert again == value
    assert canonical_json(again) == once


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "a": 2}', '{"a": NaN}', '{"a": Infinity}', '{"a": 1e999}', '{"a": 9007199254740993}', '\ufeff{}',
        "[" * 65 + "]" * 65, "[" * 1_000_000, "{", "", "[1,]", "\x00", '{"a": 123456789012345678901234567890}',
    ],
)  # fmt: skip
def test_strict_json_refuses_what_parsers_read_differently(text: str) -> None:
    """One typed error, whatever the trick."""
    with pytest.raises(ArchiveError) as caught:
        read_json_strict(text)
    assert caught.value.code == "E609"


def test_strict_json_ignores_brackets_inside_strings() -> None:
    """Depth counts structure, not text."""
    assert read_json_strict('["' + "[" * 100 + '\\""]') == ["[" * 100 + '"']
