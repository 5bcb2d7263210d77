"""Process start to the first decision: a new interpreter that loads the reference policy and decides once.

Ours reads the checkpoint with its digest and every check on; the peers load their own file without any.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from reference_models import ReferenceFiles, write_reference
from rows import OURS, Row, compare, interleaved, main, seconds

ROW = "process start to first decision"
GOALS = {"stable-baselines3": 20.0, "torch": 8.0, "onnxruntime": None}

_OURS = """
import sys, numpy
from trader_sdk import NativeModelWrapper
model = NativeModelWrapper(sys.argv[1], expected_sha256=sys.argv[2])
print(model.decide(numpy.load(sys.argv[3])[0]).action)
"""
_TORCH = """
import sys, numpy, torch
from torch import nn
state = torch.load(sys.argv[1], weights_only=True)["policy_state_dict"]
layers = []
for name in ("trunk.0", "trunk.2", "actor_head"):
    with torch.device("meta"):
        linear = nn.Linear(*reversed(state[name + ".weight"].shape))
    linear.load_state_dict({part: state[f"{name}.{part}"] for part in ("weight", "bias")}, assign=True)
    layers += [linear, nn.Tanh()]
with torch.no_grad():
    print(int(nn.Sequential(*layers[:-1])(torch.from_numpy(numpy.load(sys.argv[2]))).argmax()))
"""
_SB3 = """
import sys, numpy
from stable_baselines3 import PPO
print(int(PPO.load(sys.argv[1], device="cpu").predict(numpy.load(sys.argv[2]), deterministic=True)[0][0]))
"""
_ONNX = """
import sys, numpy, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
print(int(session.run(None, {"obs": numpy.load(sys.argv[2])})[0].argmax()))
"""


def measure(quick: bool) -> Iterator[Row]:
    """Yield the rows of process start."""
    with tempfile.TemporaryDirectory() as folder:
        # An installed package has its bytecode; the round that is thrown away compiles everybody's.
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = str(Path(folder) / "bytecode")
        files = write_reference(Path(folder))
        taken = interleaved(_cases(files), 3 if quick else 15)
    yield from compare(ROW, taken, GOALS)


def _cases(files: ReferenceFiles) -> dict[str, Callable[[], float]]:
    checkpoint = files.checkpoint
    cases = {
        OURS: _process(_OURS, checkpoint.path, checkpoint.sha256, files.observation),
        "torch": _process(_TORCH, checkpoint.path, files.observation),
    }
    if files.stable_baselines3 is not None:
        cases["stable-baselines3"] = _process(_SB3, files.stable_baselines3, files.observation)
    if files.onnx is not None:
        cases["onnxruntime"] = _process(_ONNX, files.onnx, files.observation)
    return cases


def _process(code: str, *arguments: object) -> Callable[[], float]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    # S603: the command is this file's own text.
    return lambda: seconds(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))  # noqa: S603


if __name__ == "__main__":
    raise SystemExit(main(measure))
