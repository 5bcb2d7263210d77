"""Findings of a load, said once: a warning about a file is worth reading the first time only."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Final

from trader_sdk.contract.errors import Finding, Severity

_shown: Final[set[tuple[str, str]]] = set()
_shown_lock: Final = threading.Lock()


def warn_once(path: str, sha256: str, findings: Iterable[Finding]) -> None:
    """Log the findings of class POLICY, each once in a process for one (digest, code).

    Args:
        path: The file, for the reader of the log.
        sha256: Its digest.
        findings: Of its report; those of other classes are not logged.
    """
    for finding in findings:
        if finding.severity is not Severity.POLICY:
            continue
        key = (sha256, finding.code)
        with _shown_lock:
            if key in _shown:
                continue
            _shown.add(key)
        _warn(path, sha256, finding)


def _warn(path: str, sha256: str, finding: Finding) -> None:
    # Imported here: most loads have nothing to say, and the logger costs more than the load.
    import structlog

    structlog.get_logger("trader_sdk.model").warning(
        "model_loaded_with_finding", path=path, sha256=sha256, **finding.to_dict()
    )
