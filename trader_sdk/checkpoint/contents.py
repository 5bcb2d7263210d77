"""From a pickle's values and its storages to fields and tensors, whatever container held them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from trader_sdk.checkpoint.faults import too_large, unreadable
from trader_sdk.checkpoint.limits import MAX_PARAMETERS, MAX_TEXT
from trader_sdk.checkpoint.pickle_values import Foreign
from trader_sdk.checkpoint.plain import Plainer
from trader_sdk.checkpoint.tensors import Array, TensorRef, check_record_size, materialise
from trader_sdk.contract.errors import CheckpointError, Finding

_UNNAMED = (
    "If these are a policy's weights, save them under that name: trader_sdk.save(path, policy=module), or "
    'torch.save({"policy_state_dict": module.state_dict()}, path).'
)


class Contents(NamedTuple):
    """What a container held: plain fields, the policy's tensors, and what was lost or odd."""

    fields: dict[str, Any]
    tensors: dict[str, Array]
    notes: tuple[Finding, ...]


class Storages(Protocol):
    """The storage records of one container, by their key."""

    @property
    def held(self) -> int:
        """Return the bytes that an array keeps in memory as long as it shares a record's own."""

    def size(self, key: str) -> int | None:
        """Return a record's bytes, None if there is no such record."""

    def read(self, key: str) -> memoryview:
        """Return a record's content, checked as far as its container allows.

        Raises:
            CheckpointError: E101 if it is absent or damaged.
        """


def build_contents(top: object, storages: Storages, *, optimizer: bool) -> Contents:
    """Build fields and tensors from what a checkpoint's pickle gave.

    Args:
        top: The pickle's value.
        storages: What its tensors refer to.
        optimizer: Also read the optimizer's tensors; otherwise they are checked and left as references.

    Raises:
        CheckpointError: E101 if this is no checkpoint, E107 beyond a limit.
    """
    if type(top) is not dict:
        raise _not_a_mapping(top)
    reader = _TensorReader(storages)
    policy = reader.policy(top.pop("policy_state_dict", None), top)
    state = top.pop("optimizer_state_dict", None)
    fields, notes = _plain(top, reader.read)
    if state is not None:
        converted, more = _plain({"optimizer_state_dict": state}, reader.read if optimizer else reader.check)
        fields.update(converted)
        notes += more
    return Contents(fields, policy, tuple(notes))


def _plain(fields: dict[Any, Any], tensor: Callable[[str, TensorRef], object]) -> tuple[dict[str, Any], list[Finding]]:
    plainer = Plainer(tensor)
    converted = {}
    for name, value in fields.items():
        if type(name) is not str:
            raise unreadable("a checkpoint's fields are named by text", where="data.pkl", found=f"{name!r:.40}")
        converted[name] = plainer.convert(value, name)
    return converted, plainer.notes


def require_name(name: str) -> None:
    """Refuse a parameter's name that is no name any more.

    Raises:
        CheckpointError: E107.
    """
    if len(name) > MAX_TEXT:
        raise too_large("a parameter's name is too long", where=name[:80], expected=f"<= {MAX_TEXT}", found=len(name))


def _not_a_mapping(top: object) -> CheckpointError:
    found = f"an instance of {top.name}" if type(top) is Foreign else type(top).__name__
    error = unreadable("the file holds no mapping of fields", expected="a dict with policy_state_dict", found=found)
    error.remedy = "Save a dict of plain data, not a whole module: trader_sdk.save(path, policy=module)."
    return error


class _TensorReader:
    """Reads tensors of one container within one budget of elements."""

    def __init__(self, storages: Storages) -> None:
        self._storages = storages
        self._left = MAX_PARAMETERS

    def policy(self, state: object, fields: dict[Any, Any]) -> dict[str, Array]:
        """Return the policy's tensors by name."""
        if type(state) is not dict or not state:
            listed = ", ".join(str(name)[:40] for name in list(fields)[:8])
            raise unreadable(
                "no policy_state_dict in the checkpoint", where="data.pkl", found=listed or "nothing", remedy=_UNNAMED
            )
        refs: dict[str, TensorRef] = {}
        for name, ref in state.items():
            if type(name) is not str or type(ref) is not TensorRef:
                raise unreadable(
                    "policy_state_dict holds something that is no tensor",
                    where=f"policy_state_dict.{name}"[:120],
                    found=type(ref).__name__,
                )
            require_name(name)
            refs[name] = ref
        # All counted before the first is copied: many views of one small record could fill the memory.
        self._count("policy_state_dict", sum(ref.numel for ref in refs.values()))
        # A policy that is most of its file keeps the file's bytes; otherwise they would keep an optimizer's in memory.
        share = 2 * sum(ref.nbytes for ref in refs.values()) >= self._storages.held
        return {name: self._array(ref, share=share) for name, ref in refs.items()}

    def read(self, where: str, ref: TensorRef) -> Array:
        """Return the array of one tensor among the fields."""
        self._count(where, ref.numel)
        return self._array(ref)

    def _count(self, where: str, elements: int) -> None:
        self._left -= elements
        if self._left < 0:
            raise too_large("too many parameters", where=where, expected=f"<= {MAX_PARAMETERS}")

    def _array(self, ref: TensorRef, *, share: bool = False) -> Array:
        return materialise(ref, self._storages.read(ref.storage.key), share=share)

    def check(self, where: str, ref: TensorRef) -> TensorRef:
        """Return the reference of a tensor that is not needed, after checking its record's size."""
        size = self._storages.size(ref.storage.key)
        if size is None:
            raise unreadable("a tensor's record is missing", where=where, found=f"storage {ref.storage.key}")
        check_record_size(ref.storage, size)
        return ref
