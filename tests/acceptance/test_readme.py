"""What the README shows is what runs."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]

BLOCK_HEAVY = textwrap.dedent("""
    import sys
    class Wall:
        def find_spec(self, name, path=None, target=None):
            if name.split(".")[0] in ("torch", "alpaca"):
                raise ImportError(f"{name} is walled off")
    sys.meta_path.insert(0, Wall())
""")


def readme_block(marker: str) -> str:
    text = (ROOT / "README.md").read_text("utf-8")
    (block,) = re.findall(rf"<!-- {re.escape(marker)} -->\n```\w+\n(.*?)```", text, re.DOTALL)
    return str(block)


def namespace_of(marker: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(readme_block(marker), names)  # noqa: S102 - our own README
    return names


def test_five_line_bot_runs_without_torch_and_without_a_broker(tmp_path: Path) -> None:
    """The smallest bot decides in an environment where neither torch nor alpaca can be imported."""
    golden = next((ROOT / "compat" / "golden" / "2.7.0").glob("*.pt"))
    (tmp_path / "model.pt").write_bytes(golden.read_bytes())
    (tmp_path / "bot.py").write_text(BLOCK_HEAVY + readme_block("five-line-bot"), "utf-8")
    done = subprocess.run(
        [sys.executable, "bot.py"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    name, direction, size = done.stdout.split()
    assert name.startswith(("HOLD", "BUY", "SELL"))
    assert (int(direction) == 0) == (float(size) == 0.0)


def test_five_line_bot_is_five_lines() -> None:
    """Import, load, decide, print: nothing is hidden."""
    assert len([line for line in readme_block("five-line-bot").splitlines() if line.strip()]) == 5


def test_ten_line_bot_sizes_an_order_of_an_approved_model(tmp_path: Path) -> None:
    """The approved demo model decides on bars after its training, and its order is within one action's size."""
    from trader_sdk.data import load_bars
    from trader_sdk.demo import copy_working_archive
    from trader_sdk.portfolio import Sleeve

    archive = copy_working_archive(tmp_path / "archive")
    bars = load_bars("planted", "SIM", "1Min")
    bot = namespace_of("ten-line-bot")["order_notional"]
    notionals = [
        bot(archive, Sleeve.start(Decimal(100_000)), bars.slice(end - 600, end)) for end in range(2_000, 2_200, 10)
    ]
    assert all(isinstance(notional, Decimal) for notional in notionals)
    assert all(0 <= notional <= Decimal(100_000) * Decimal("0.105") for notional in notionals)
    assert any(notional > 0 for notional in notionals)


def test_ten_line_bot_says_why_when_nothing_is_deployable(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A missing archive is a typed refusal with its remedy, not a trade."""
    from trader_sdk.data import load_bars
    from trader_sdk.portfolio import Sleeve

    bars = load_bars("vendored", "AAPL", "1Day").slice(0, 600)
    bot = namespace_of("ten-line-bot")["order_notional"]
    assert bot(tmp_path / "nothing", Sleeve.start(Decimal(1000)), bars) is None
    assert capsys.readouterr().out.startswith("E608")


def test_save_hook_writes_a_checkpoint_that_the_trader_reads(tmp_path: Path) -> None:
    """A plain torch loop gets a stamped file by one call."""
    torch = pytest.importorskip("torch")
    from trader_sdk import NativeModelWrapper

    torch.manual_seed(7)
    policy = torch.nn.Module()
    policy.trunk = torch.nn.Sequential(torch.nn.Linear(5900, 4), torch.nn.Tanh())
    policy.actor_head = torch.nn.Linear(4, 7)
    optimizer = torch.optim.Adam(policy.parameters())
    saved = namespace_of("save-hook")["checkpoint"](policy, optimizer, 12, tmp_path / "model.pt")
    model = NativeModelWrapper(saved.path, strict_version=True, symbol="AAPL")
    observation = torch.randn(5900)
    logits = policy.actor_head(policy.trunk(observation)).detach().numpy()
    np.testing.assert_allclose(model.decide(observation.numpy()).logits, logits, rtol=1e-4, atol=1e-5)
