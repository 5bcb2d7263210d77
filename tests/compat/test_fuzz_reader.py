"""The fuzz target itself: its seeds hold its own promises, and it sees a broken one."""

import fuzz_reader
import pytest
from opcodes import checkpoint

from trader_sdk.checkpoint.faults import unreadable


def test_every_seed_gives_plain_data_or_a_typed_error() -> None:
    """What the fuzzer begins with passes through its target."""
    seeds = list(fuzz_reader.seeds())
    for seed in seeds:
        fuzz_reader.one_input(seed)
    assert len(seeds) > 400


@pytest.mark.parametrize("kind", range(len(fuzz_reader.WRAPPERS)))
def test_every_wrapper_reaches_an_accepted_file(kind: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each kind of input has a seed that is read to the end."""
    accepted = []
    monkeypatch.setattr(fuzz_reader, "require_plain", accepted.append)
    for seed in fuzz_reader.seeds():
        if seed[0] == kind:
            fuzz_reader.one_input(seed)
    assert accepted


def test_target_sees_an_untyped_error_and_an_endless_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception of another family, or a message that spells the input out, is a finding."""

    def untyped(*_arguments: object, **_options: object) -> None:
        raise KeyError

    def endless(*_arguments: object, **_options: object) -> None:
        raise unreadable("x" * 5000)

    for broken, seen in ((untyped, KeyError), (endless, AssertionError)):
        monkeypatch.setattr(fuzz_reader.reader, "parse_source", broken)
        with pytest.raises(seen):
            fuzz_reader.one_input(b"\x01" + checkpoint())


def test_target_sees_what_is_no_plain_data() -> None:
    """An object that is left in the fields is a finding."""
    with pytest.raises(AssertionError, match="object"):
        fuzz_reader.require_plain({"a": [object()]})
