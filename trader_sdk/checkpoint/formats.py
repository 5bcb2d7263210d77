"""What a file is, told by its first bytes and never by its name; look-alikes are named."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable
from enum import StrEnum

from trader_sdk.checkpoint.limits import MAX_HEADER_BYTES
from trader_sdk.contract.errors import CheckpointError


class Format(StrEnum):
    """The containers that a checkpoint comes in."""

    TORCH_ZIP = "torch-zip"
    TORCH_LEGACY = "torch-legacy"
    SAFETENSORS = "safetensors"
    TORCH_OTHER = "torch-other"


_NOT_A_CHECKPOINT = "Point at the checkpoint itself; `trader inspect FILE` says what a file is."
_OTHER_TORCH = 'Save it again with torch >= 1.6 or trader_sdk.save(); if you trust it, load it with backend="torch".'
# torch.serialization.MAGIC_NUMBER as a pickle of its own: protocol 2 or 3, or 4 and 5 with their frame.
_LEGACY_TORCH = rb"\x80(?:[\x02\x03]|[\x04\x05](?:\x95.{8})?)\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19\."
_LOOK_ALIKES: tuple[tuple[bytes, str, str], ...] = (
    (
        b"version https://git-lfs",
        "a git-lfs pointer, not the file it stands for",
        "Run `git lfs pull` in the repository that holds the checkpoint.",
    ),
    (b"\x80", "a bare pickle", _OTHER_TORCH),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", _NOT_A_CHECKPOINT),
    (b"\x1f\x8b", "a gzip file", "Unpack it first."),
    (b"SQLite format 3\x00", "an SQLite database", _NOT_A_CHECKPOINT),
    (b"PAR1", "a parquet file", _NOT_A_CHECKPOINT),
    (b"\x93NUMPY", "a numpy array file", _NOT_A_CHECKPOINT),
    (b"PK\x05\x06", "an empty zip", _NOT_A_CHECKPOINT),
    (b"{", "a JSON document", _NOT_A_CHECKPOINT),
)


def identify(data: memoryview, where: str) -> Format:
    """Return the container's format.

    Raises:
        CheckpointError: E101, naming the look-alike and what to do about it.
    """
    head = bytes(data[:512])
    if head.startswith(b"PK\x03\x04") and not _begins_with_array(head):
        return Format.TORCH_ZIP
    if re.match(_LEGACY_TORCH, head, re.DOTALL):
        return Format.TORCH_LEGACY
    if len(head) > 8 and head[8:9] == b"{" and 2 <= struct.unpack_from("<Q", head)[0] <= MAX_HEADER_BYTES:
        return Format.SAFETENSORS
    found, remedy = _look_alike(head)
    raise CheckpointError(
        "E101", "this is no checkpoint", where=where, expected="a torch zip or safetensors", found=found, remedy=remedy
    )


def _begins_with_array(head: bytes) -> bool:
    # numpy's archives have headers of their own shape, so they are told before the container is read.
    (length,) = struct.unpack_from("<H", head.ljust(30, b"\0"), 26)
    return head[30 : 30 + length].endswith(b".npy")


def _look_alike(head: bytes) -> tuple[str, str]:
    if head.startswith(b"PK\x03\x04"):
        return "a numpy .npz archive", _NOT_A_CHECKPOINT
    for magic, what, remedy in _LOOK_ALIKES:
        if head.startswith(magic):
            return what, remedy
    if not head.strip(b"\x00"):
        return "zeros: a hole left by an interrupted copy", "Fetch the file again."
    if head[257:262] == b"ustar":
        return "a tar archive", "Unpack it first; a torch file of before 0.2 must be saved again by a newer torch."
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html", b"<?xml", b"<head", b"<!--")):
        return "an HTML or XML page, perhaps a login or error page", "Fetch the file itself, signed in."
    if all(byte in b"\t\r\n" or 32 <= byte < 127 for byte in head):
        return ("a CSV table" if b"," in head.partition(b"\n")[0] else "plain text"), _NOT_A_CHECKPOINT
    return f"unknown bytes {head[:8].hex(' ')}", _NOT_A_CHECKPOINT


def name_zip(names: Iterable[str]) -> CheckpointError | None:
    """Return the error that names a zip which is no torch checkpoint, None if it may be one."""
    known = list(names)
    tails = {name.partition("/")[2] for name in known}
    if "data.pkl" in tails and "constants.pkl" not in tails:
        return None
    if "policy.pth" in known:
        found, remedy = "a Stable-Baselines3 model", "Save its policy with trader_sdk.save(path, policy=model.policy)."
    elif "constants.pkl" in tails:
        found, remedy = "a TorchScript program", "Save its state_dict with trader_sdk.save() instead of the program."
    else:
        found, remedy = f"a zip of {', '.join(sorted(known)[:3])}"[:160], _NOT_A_CHECKPOINT
    return CheckpointError(
        "E101", "this zip is no torch checkpoint", expected="<root>/data.pkl", found=found, remedy=remedy
    )
