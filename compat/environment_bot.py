"""A desk's bot: what `environments.py` runs inside an environment, in a repository with packages of its own.

Uses the wheel as a user would and prints one JSON line a check. It imports torch only where the environment has one.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

GOLDEN = Path(sys.argv[1])
HIDE_TORCH = "--hide-torch" in sys.argv
Check = Callable[[], str]


class UnmetError(Exception):
    """What a check found instead."""


def require(holds: object, found: object) -> None:
    """Raise unless ``holds``."""
    if not holds:
        raise UnmetError(str(found)[:300])


def run(name: str, check: Check) -> None:
    """Run one check and print its outcome; whatever it raises is the outcome."""
    try:
        outcome, detail = "held", check()
    except Exception as error:  # noqa: BLE001 - an exception of any kind is what this program looks for
        outcome, detail = "failed", f"{type(error).__name__}: {error}"[:300]
    sys.stdout.write(json.dumps({"check": name, "outcome": outcome, "detail": detail}) + "\n")
    sys.stdout.flush()


def versions() -> str:
    """Say what is installed here."""
    from importlib.metadata import PackageNotFoundError, version

    found = []
    for package in ("torch", "numpy"):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"no {package}")
    hidden = " (torch hidden)" if HIDE_TORCH else ""
    return f"Python {'.'.join(map(str, sys.version_info[:3]))}, {', '.join(found)}{hidden}"


def own_packages() -> str:
    """The repository's training/ and compat/ stay its own, and trader_sdk is the installed one."""
    import compat
    import trader_sdk
    import training

    require((compat.OWNER, training.OWNER) == ("the desk",) * 2, (compat.__file__, training.__file__))
    require(not Path(trader_sdk.__file__).is_relative_to(GOLDEN.parents[1]), trader_sdk.__file__)
    return "training and compat are the desk's"


def light_import() -> str:
    """Loading and deciding imports no torch."""
    import numpy as np

    from trader_sdk import NativeModelWrapper

    model = NativeModelWrapper(GOLDEN / "2.7.0" / "checkpoint.pt", strict_version=True)
    model.decide(np.zeros(model.model_spec.obs_dim, dtype=np.float32))
    require(sys.modules.get("torch") is None, "torch was imported")
    return "no torch in sys.modules"


def goldens() -> str:
    """Every golden that loads decides as torch decided when it was written; every other is refused with its code."""
    from trader_sdk import NativeModelWrapper, SdkError

    loaded = refused = 0
    for file in sorted(GOLDEN.glob("**/expect.json")):
        expect = json.loads(file.read_text("utf-8"))
        try:
            model = NativeModelWrapper(file.with_name("checkpoint.pt"))
        except SdkError as error:
            require(error.code == expect["warn"]["error"], f"{file.parent.name}: {error.code}")
            refused += 1
            continue
        require(expect["warn"]["error"] is None, f"{file.parent.name} loaded")
        names = [decision.name for decision in model.decide(observations(12, model.model_spec.obs_dim))]
        require(names == [one["name"] for one in expect["decisions"]], f"{file.parent.name}: {names}")
        loaded += 1
    require(loaded > 30 and refused > 10, (loaded, refused))
    return f"{loaded} decide as written, {refused} refused as written"


def observations(count: int, obs_dim: int) -> Any:
    """Return the observations of recipe ``knuth32@1``."""
    import numpy as np

    scrambled = (np.arange(count * obs_dim, dtype=np.int64) * 2654435761) % 2**32
    return (scrambled / 2**31 - 1).astype(np.float32).reshape(count, obs_dim)


def command() -> str:
    """`trader compat check` runs here."""
    import contextlib
    import io

    from trader_sdk.cli import build_app, run_app

    argv = ["compat", "check", str(GOLDEN / "2.7.0"), "--strict-version", "1"]
    with contextlib.redirect_stdout(io.StringIO()) as out:
        code = run_app(build_app(argv), argv)
    require(code == 0 and "1 passed, 0 failed" in out.getvalue(), out.getvalue())
    return out.getvalue().strip().splitlines()[-1]


def save_without_torch() -> str:
    """`save()` says what it needs."""
    from trader_sdk import SdkError, save

    try:
        save("model.pt", policy={})
    except SdkError as error:
        require("torch" in str(error), error)
        return f"refused: {error.code} {error.message}"
    raise UnmetError("it saved")


def network() -> Any:
    """Return a small policy of model 2.7.0 in plain torch."""
    import torch

    torch.manual_seed(7)
    trunk = torch.nn.Sequential(torch.nn.Linear(5900, 8), torch.nn.Tanh(), torch.nn.Linear(8, 7))
    return torch.nn.Sequential(trunk)


def save_hook() -> str:
    """`save()` on this torch: a strict load decides as the module does, and the golden probe proves it."""
    import torch

    from trader_sdk import NativeModelWrapper, save

    policy = network()
    optimizer = torch.optim.Adam(policy.parameters())
    rows = observations(4, 5900)
    saved = save("saved.pt", policy=policy, optimizer=optimizer, global_step=3, probe_observations=rows)
    model = NativeModelWrapper("saved.pt", strict_version=True, expected_sha256=saved.sha256)
    with torch.no_grad():
        wanted = policy(torch.tensor(rows.tolist())).argmax(dim=1).tolist()
    require([decision.action for decision in model.decide(rows)] == wanted, wanted)
    return f"model {model.model_version}, {saved.size} bytes, activation {model.activation}, probe reproduced"


def plain_torch_save() -> str:
    """What this torch writes by itself reads as the same weights: zip and old layout, protocols 2 to 5, three types."""
    import numpy as np
    import torch

    from trader_sdk.checkpoint import read_checkpoint

    count = 0
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        state = {name: tensor.to(dtype) for name, tensor in network().state_dict().items()}
        for protocol in (2, 3, 4, 5):
            for zipped in (True, False):
                fields = {"policy_state_dict": state, "config": {"lr": 1e-3}}
                torch.save(fields, "plain.pt", pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
                raw = read_checkpoint("plain.pt")
                for name, tensor in state.items():
                    same = np.array_equal(raw.tensors[name], np.array(tensor.double().tolist()))
                    require(same and raw.metadata["config"] == {"lr": 1e-3}, (dtype, protocol, zipped, name))
                count += 1
    return f"{count} files"


def torch_backend() -> str:
    """`backend="torch"` reads from torch 2.10 on, and is refused before."""
    import torch

    from trader_sdk import NativeModelWrapper, SdkError

    path = GOLDEN / "2.7.0" / "checkpoint.pt"
    new = tuple(map(int, torch.__version__.split("+")[0].split(".")[:2])) >= (2, 10)
    try:
        model = NativeModelWrapper(path, backend="torch")
    except SdkError as error:
        require(not new and error.code == "E101", error)
        return f"refused: {error.message}"
    require(new, "an old torch was used")
    return f"model {model.model_version}"


def main() -> int:
    """Run what this environment can run."""
    if HIDE_TORCH:
        sys.modules["torch"] = None  # type: ignore[assignment]  # how Python spells "this import fails"
    has_torch = not HIDE_TORCH and importlib.util.find_spec("torch") is not None
    run("installed", versions)
    run("own packages", own_packages)
    run("loading without torch", light_import)
    run("goldens", goldens)
    run("trader compat check", command)
    if has_torch:
        run("torch.save of this torch", plain_torch_save)
        run("save()", save_hook)
        run("backend torch", torch_backend)
    else:
        run("save() without torch", save_without_torch)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
