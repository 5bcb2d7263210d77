"""One thread for numpy's products, in commands that decide bar by bar."""

from __future__ import annotations

import os
from typing import Final

_LIMITS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def use_one_thread() -> None:
    """Keep numpy, which is not imported yet, from starting threads, unless the environment says how many.

    A bar's products are small: waking and parking threads costs more processor time than they save, on the core that
    sends orders. A replay decides as the run did, so it takes the same.
    """
    for name in _LIMITS:
        os.environ.setdefault(name, "1")
