"""The report of a run: its numbers are the journal's, and nothing sticks out of a telephone's screen."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from trader_sdk.contract.journal_events import JournalEvent
from trader_sdk.live.journal import read_events
from trader_sdk.live.ledger import fold
from trader_sdk.live.run_page import run_page
from trader_sdk.live.run_report import report_of
from trader_sdk.live.state import find_run

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
_OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--virtual-time-budget=2000", "--dump-dom",
)  # fmt: skip
_MEASURE = """
<script>
addEventListener("load", () => {
  const found = [...document.querySelectorAll("iframe")].map(frame => {
    const page = frame.contentDocument;
    const cut = [...page.querySelectorAll("article *")].filter(one =>
      !one.closest(".scroll, svg, details") && !one.matches(".mark")
      && one.getBoundingClientRect().right > frame.clientWidth + 1);
    return {width: frame.clientWidth, content: page.documentElement.scrollWidth, cut: cut.length,
            marks: page.querySelectorAll(".mark").length, paper: getComputedStyle(page.body).backgroundColor,
            shares: getComputedStyle(page.querySelector(".share")).height};
  });
  document.body.textContent = "MEASURED" + JSON.stringify(found) + "MEASURED";
});
</script>
"""


def test_report_says_what_the_journal_says(
    ended_run: tuple[Path, Any], ask: Callable[..., Any], tmp_path: Path
) -> None:
    """Equity, fills, slippage and counts are those of the books, in the page, the JSON and the pictures."""
    state_dir, run = ended_run
    written = ask(state_dir, "report", "--out", str(tmp_path), "--png", "1")
    assert written.code == 0, written.stderr
    data = json.loads((tmp_path / "report.json").read_text())
    ledger = fold(read_events(find_run(state_dir, None)))
    assert (len(data["equity"]), len(data["at"])) == (8, 8)
    assert Decimal(str(data["equity"][-1])) == pytest.approx(ledger.equity)
    fills = [fill for symbol in data["symbols"] for fill in symbol["fills"]]
    assert len(fills) == run.last["fills"]
    assert sum(Decimal(symbol["pnl"]) for symbol in data["symbols"]) == pytest.approx(
        ledger.equity - ledger.initial, abs=Decimal("0.02")
    )
    assert data["summary"]["slippage"] == run.last["slippage"]
    assert {row["reason"]: row["count"] for row in data["blocked"]} == run.last["blocked"]
    pictures = [path for path in map(Path, written.last["files"]) if path.suffix == ".png"]
    assert {path.name for path in pictures} >= {"equity.png", "blocked.png", "fills-AAPL.png"}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in pictures)
    page = (tmp_path / "report.html").read_text()
    assert re.findall(r'(?:src|href)="', page) == []
    assert f"{run.last['initial']} → {run.last['equity']}" in page
    own = find_run(state_dir, None) / "report.html"
    assert own.read_text() == page.replace(str(tmp_path), str(own.parent))


def test_report_of_a_run_that_was_killed_says_so(ended_run: tuple[Path, Any]) -> None:
    """A journal without an end makes a page too, and one without a fill draws none."""
    entries = read_events(find_run(ended_run[0], None))
    first_fill = next(i for i, entry in enumerate(entries) if entry.event is JournalEvent.FILL_RECORDED)
    made = report_of(entries[:first_fill], "journal.db")
    page = run_page(made)
    assert not made.is_finished
    assert "not finished" in page
    assert "Nothing was filled." in page


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_report_fits_every_screen_in_light_and_dark(ended_run: tuple[Path, Any], tmp_path: Path) -> None:
    """At 1,200 and at 400 pixels nothing is cut, every fill is marked, and the page follows the system's colours."""
    made = report_of(read_events(find_run(ended_run[0], None)), "journal.db")
    page = html.escape(run_page(made), quote=True)
    frames = "".join(
        f'<iframe style="width:{w}px;height:2400px;border:0" srcdoc="{page}"></iframe>' for w in (1200, 400)
    )
    file = tmp_path / "frames.html"
    file.write_text(f"<!doctype html><body style='margin:0'>{frames}{_MEASURE}</body>", "utf-8")
    papers = set()
    for options in ((), ("--force-dark-mode",)):
        command = [str(CHROMIUM), *_OPTIONS, f"--user-data-dir={tmp_path / 'profile'}", *options, file.as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        found = re.search("MEASURED(.*)MEASURED", done.stdout)
        assert found is not None, done.stderr[-2000:]
        for one in json.loads(html.unescape(found[1])):
            assert one["content"] <= one["width"]
            assert (one["cut"], one["shares"]) == (0, "8px")
            assert one["marks"] == made.summary.fills
            papers.add(one["paper"])
    assert len(papers) == 2
