"""The report as a browser lays it out: nothing sticks out of a telephone's screen, and the verdict comes first."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Archive = Callable[..., Any]
CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
_OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--virtual-time-budget=2000", "--dump-dom",
)  # fmt: skip
_MEASURE = """
<script>
addEventListener("load", () => {
  const found = [...document.querySelectorAll("iframe")].map(frame => {
    const page = frame.contentDocument;
    const box = page.querySelector(".badge").getBoundingClientRect();
    const cut = [...page.querySelectorAll("article *")].filter(one =>
      !one.closest(".scroll, svg, details") && one.getBoundingClientRect().right > frame.clientWidth + 1);
    return {width: frame.clientWidth, content: page.documentElement.scrollWidth, badge: box.top, cut: cut.length,
            ink: getComputedStyle(page.body).color, paper: getComputedStyle(page.body).backgroundColor};
  });
  document.body.textContent = "MEASURED" + JSON.stringify(found) + "MEASURED";
});
</script>
"""

pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")]


def measured(page: str, folder: Path, *options: str) -> list[dict[str, Any]]:
    """Return what the page measures at 1,200 and at 400 pixels."""
    frames = "".join(
        f'<iframe style="width:{width}px;height:2400px;border:0" srcdoc="{html.escape(page, quote=True)}"></iframe>'
        for width in (1200, 400)
    )
    file = folder / "frames.html"
    file.write_text(f"<!doctype html><body style='margin:0'>{frames}{_MEASURE}</body>", "utf-8")
    command = [str(CHROMIUM), *_OPTIONS, f"--user-data-dir={folder / 'profile'}", "--window-size=1700,2400", *options]
    done = subprocess.run([*command, file.as_uri()], capture_output=True, text=True, check=False, timeout=120)
    found = re.search("MEASURED(.*)MEASURED", done.stdout)
    assert found is not None, done.stderr[-2000:]
    listed: list[dict[str, Any]] = json.loads(html.unescape(found[1]))
    return listed


def brightness(color: str) -> int:
    """Return the sum of a colour's channels."""
    return sum(int(channel) for channel in re.findall(r"\d+", color)[:3])


def test_report_fits_a_telephone_and_begins_with_the_verdict(samples: Any, manager: Any, tmp_path: Path) -> None:
    """Approved, refused and of a long symbol: no sideways scrolling, and the class within the first screen."""
    final = samples.write_checkpoint(tmp_path / "m.safetensors")
    (tmp_path / "bad.pt").write_bytes(b"nothing")
    block = samples.gate_block(equity=[1.0, 1.1, 0.9, 1.3], shown={"net_return": 0.3, "cost_total": 0.01})
    models = [
        samples.model_summary(final, symbol="W" * 32, gate={"final": block, "best": None}, label="l" * 64),
        samples.model_summary(tmp_path / "bad.pt", symbol="MSFT", timeframe="15Min"),
        samples.model_summary(final, symbol="AAPL", gate=None),
    ]
    page = (manager.archive_training_run(samples.summary_of(*models)).path / "report.html").read_text("utf-8")
    for found in measured(page, tmp_path):
        assert found["content"] <= found["width"]
        assert found["cut"] == 0
        assert found["badge"] < 700


def test_report_is_dark_where_the_reader_is(archived: Archive, tmp_path: Path) -> None:
    """Ink and paper change places with the reader's preference."""
    page = (archived().path / "report.html").read_text("utf-8")
    light = measured(page, tmp_path)[0]
    dark = measured(page, tmp_path, "--force-dark-mode", "--blink-settings=preferredColorScheme=0")[0]
    assert brightness(light["paper"]) > 600 > 200 > brightness(light["ink"])
    assert brightness(dark["ink"]) > 600 > 200 > brightness(dark["paper"])
