"""A torch checkpoint from its zip container, read without torch."""

from __future__ import annotations

from typing import Any, NamedTuple

from trader_sdk.checkpoint.faults import too_large, unreadable
from trader_sdk.checkpoint.limits import MAX_PARAMETERS, MAX_PICKLE_BYTES
from trader_sdk.checkpoint.pickle_reader import load_pickle
from trader_sdk.checkpoint.pickle_values import Foreign
from trader_sdk.checkpoint.plain import Plainer
from trader_sdk.checkpoint.tensors import Array, TensorRef, check_record_size, materialise
from trader_sdk.checkpoint.zip_reader import Archive, open_zip
from trader_sdk.contract.errors import Finding

_FORMAT_VERSIONS = frozenset("123456789")


class Contents(NamedTuple):
    """What a container held: plain fields, the policy's tensors, and what was lost or odd."""

    fields: dict[str, Any]
    tensors: dict[str, Array]
    notes: tuple[Finding, ...]


def read_torch_zip(data: memoryview, *, optimizer: bool = False) -> Contents:
    """Read every field of a torch checkpoint.

    Args:
        data: The whole file.
        optimizer: Also read the optimizer's tensors; otherwise they are checked and left as references.

    Raises:
        CheckpointError: E101, E102 or E107; see docs/reference/checkpoint-format.md.
    """
    archive = open_zip(data)
    _check_byte_order(archive)
    reader = _TensorReader(archive)
    top = load_pickle(_pickle_of(archive))
    if type(top) is not dict:
        raise _not_a_mapping(top)
    policy = reader.policy(top.pop("policy_state_dict", None), top)
    state = top.pop("optimizer_state_dict", None)
    fields, notes = _plain(top, reader.read)
    if state is not None:
        converted, more = _plain({"optimizer_state_dict": state}, reader.read if optimizer else reader.check)
        fields.update(converted)
        notes += more
    return Contents(fields, policy, tuple(notes))


def _pickle_of(archive: Archive) -> bytes:
    record = archive.records["data.pkl"]
    if record.size > MAX_PICKLE_BYTES:
        raise too_large("the pickle is too long", where="data.pkl", expected=MAX_PICKLE_BYTES, found=record.size)
    return bytes(archive.read("data.pkl"))


def _check_byte_order(archive: Archive) -> None:
    if "byteorder" in archive.records:
        order = bytes(archive.read("byteorder"))
        if order != b"little":
            raise unreadable("the weights are in another byte order", where="byteorder", found=repr(order[:16]))
    version = bytes(archive.read("version")).strip().decode("ascii", "replace")
    if version not in _FORMAT_VERSIONS:
        raise unreadable("torch's archive version is unknown", where="version", found=version[:16])


def _plain(fields: dict[Any, Any], tensor: Any) -> tuple[dict[str, Any], list[Finding]]:
    plainer = Plainer(tensor)
    converted = {}
    for name, value in fields.items():
        if type(name) is not str:
            raise unreadable("a checkpoint's fields are named by text", where="data.pkl", found=f"{name!r:.40}")
        converted[name] = plainer.convert(value, name)
    return converted, plainer.notes


def _not_a_mapping(top: object) -> Exception:
    found = f"an instance of {top.name}" if type(top) is Foreign else type(top).__name__
    error = unreadable("the file holds no mapping of fields", expected="a dict with policy_state_dict", found=found)
    error.remedy = "Save a dict of plain data, not a whole module: trader_sdk.save(path, policy=module)."
    return error


class _TensorReader:
    """Reads tensors of one archive within one budget of elements."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._left = MAX_PARAMETERS

    def policy(self, state: object, fields: dict[Any, Any]) -> dict[str, Array]:
        """Return the policy's tensors by name."""
        if type(state) is not dict or not state:
            listed = ", ".join(str(name)[:40] for name in list(fields)[:8])
            raise unreadable("no policy_state_dict in the checkpoint", where="data.pkl", found=listed or "nothing")
        refs: dict[str, TensorRef] = {}
        for name, ref in state.items():
            if type(name) is not str or type(ref) is not TensorRef:
                raise unreadable(
                    "policy_state_dict holds something that is no tensor",
                    where=f"policy_state_dict.{name}"[:120],
                    found=type(ref).__name__,
                )
            refs[name] = ref
        # All counted before the first is copied: many views of one small record could fill the memory.
        self._count("policy_state_dict", sum(ref.numel for ref in refs.values()))
        return {name: self._copy(ref) for name, ref in refs.items()}

    def read(self, where: str, ref: TensorRef) -> Array:
        """Return the array of one tensor among the fields."""
        self._count(where, ref.numel)
        return self._copy(ref)

    def _count(self, where: str, elements: int) -> None:
        self._left -= elements
        if self._left < 0:
            raise too_large("too many parameters", where=where, expected=f"<= {MAX_PARAMETERS}")

    def _copy(self, ref: TensorRef) -> Array:
        return materialise(ref, self._archive.read(f"data/{ref.storage.key}"))

    def check(self, where: str, ref: TensorRef) -> TensorRef:
        """Return the reference of a tensor that is not needed, after checking its record's size."""
        record = self._archive.records.get(f"data/{ref.storage.key}")
        if record is None:
            raise unreadable("a tensor's record is missing", where=where, found=f"data/{ref.storage.key}")
        check_record_size(ref.storage, record.size)
        return ref
