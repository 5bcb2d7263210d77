"""The head of an HTTP reply as venues write it: read with one pattern, and left to the standard parser where it is not.

``http.client`` reads heads with the parser of electronic mail, which takes longer than everything else about a reply.
"""

from __future__ import annotations

import re
from http.client import HTTPMessage
from typing import Final, NamedTuple

_HEAD: Final = re.compile(rb"HTTP/1\.1 ([2-5]\d\d) ([ -~]*)\r\n((?:[A-Za-z0-9-]+: [!-~](?:[ -~]*[!-~])?\r\n)+)\r\n")
_NOT_PLAIN: Final = frozenset({"transfer-encoding", "connection", "trailer", "upgrade"})
_NO_BODY: Final = frozenset({204, 304})
_LONGEST: Final = 16_384


class PlainHead(NamedTuple):
    """A head that leaves nothing open.

    Attributes:
        size: Its length in bytes, the empty line included.
        status, reason: Of the status line.
        fields: The header's.
        length: Of the body in bytes.
    """

    size: int
    status: int
    reason: str
    fields: HTTPMessage
    length: int


def plain_head(data: bytes) -> PlainHead | None:
    """Return the head that ``data`` begins with, None where it is not all there or anything but plain.

    Plain is HTTP/1.1, printable ASCII, one ``Content-Length`` in digits, a connection that stays open, and no other
    framing: what is not asked for here, such as continued lines, is for the standard parser.

    Example:
        >>> head = plain_head(b"HTTP/1.1 200 OK\\r\\ncontent-length: 2\\r\\n\\r\\n{}")
        >>> head.status, head.length, head.size, head.fields["Content-Length"]
        (200, 2, 38, '2')
        >>> plain_head(b"HTTP/1.1 200 OK\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n") is None
        True
    """
    found = _HEAD.match(data, 0, _LONGEST)
    if found is None:
        return None
    fields = HTTPMessage()
    lengths: list[str] = []
    for line in found[3].decode("ascii").split("\r\n")[:-1]:
        name, _, value = line.partition(": ")
        kind = name.lower()
        if kind in _NOT_PLAIN:
            return None
        if kind == "content-length":
            lengths.append(value)
        fields[name] = value
    status = int(found[1])
    if status in _NO_BODY or len(lengths) != 1 or not (lengths[0].isdigit() and len(lengths[0]) < 16):
        return None
    return PlainHead(found.end(), status, found[2].decode("ascii"), fields, int(lengths[0]))
