"""Metrics for Prometheus, the dashboard that shows them, and the unit that keeps the trader alive."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

ROOT = Path(__file__).parents[2]
DASHBOARD = ROOT / "deploy" / "grafana" / "trader.json"
UNIT = ROOT / "deploy" / "systemd" / "trader.service"
ANALYZE = shutil.which("systemd-analyze")


def _expressions() -> list[str]:
    document = json.loads(DASHBOARD.read_text("utf-8"))
    queries = [variable["definition"] for variable in document["templating"]["list"] if variable["type"] == "query"]
    return [*queries, *(target["expr"] for panel in document["panels"] for target in panel["targets"])]


def _scrape(port: int) -> dict[str, tuple[float, set[str]]]:
    """Return the sum of each sample name's values, and the labels that its samples carry."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as reply:
        text = reply.read().decode()
    found: dict[str, tuple[float, set[str]]] = {}
    for family in text_string_to_metric_families(text):
        found.setdefault(family.name if family.type != "counter" else f"{family.name}_total", (0.0, set()))
        for sample in family.samples:
            total, labels = found.get(sample.name, (0.0, set()))
            found[sample.name] = (total + sample.value, labels | set(sample.labels))
    return found


def test_every_expression_of_the_dashboard_is_answered_by_a_running_trader(
    start_trader: Callable[..., subprocess.Popen[str]], daily_archive: Path
) -> None:
    """A real run serves every metric and label that the dashboard asks for, and its numbers are the run's own."""
    process = start_trader("--archive", str(daily_archive), "--max-bars", "6", "--speed", "2", "--metrics-port", "0")
    assert process.stdout is not None
    port, bars, metrics = 0, [], {}
    for event in map(json.loads, process.stdout):
        if event["event"] == "metrics_served":
            port = event["port"]
        elif event["event"] == "bar_finished":
            bars.append(event)
            if len(bars) == 3:
                metrics = _scrape(port)
                break
    process.terminate()
    process.communicate(timeout=60)
    assert metrics["trader_bars_total"][0] == 3
    assert metrics["trader_equity"][0] == pytest.approx(float(bars[-1]["equity"]), abs=0.01)
    assert metrics["trader_orders_sent_total"][0] == sum(bar["sent"] for bar in bars)
    assert metrics["trader_decide_seconds_count"][0] == 3
    assert math.isnan(metrics["trader_requests_left"][0])  # no limit, which is not none left
    asked = 0
    for expression in _expressions():
        for name in re.findall(r"\b((?:trader|process)_\w+)", expression):
            assert name in metrics, f"{name} of {expression} is not served"
            asked += 1
        for label in re.findall(r"by \((\w+)\)|\{\{(\w+)\}\}", expression):
            wanted = label[0] or label[1]
            names = re.findall(r"\b(trader_\w+)", expression)
            assert any(wanted in metrics[name][1] or not metrics[name][1] for name in names)
    assert asked > 20
    unasked = {n for n in metrics if n.startswith("trader_") and not n.endswith(("_created", "_count", "_sum"))}
    assert {n for n in unasked if not any(n in expression for expression in _expressions())} <= {
        "trader_decide_seconds"
    }


def test_taken_port_ends_the_start_with_a_configuration_error(
    ask: Callable[..., Any], daily_archive: Path, tmp_path: Path
) -> None:
    """Nobody trades unseen because a port was in use: exit 2 before anything is sent."""
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = ask(tmp_path, "run", "--archive", str(daily_archive), "--once", "1", "--metrics-port", port)
    assert done.code == 2
    assert "--metrics-port" in done.stderr
    assert (done.last["event"], done.last["orders"]) == ("run_finished", 0)


@pytest.mark.skipif(ANALYZE is None, reason="no systemd here")
def test_unit_is_valid_and_hardened(tmp_path: Path) -> None:
    """systemd finds nothing to complain of, and calls the service's exposure OK."""
    text = UNIT.read_text("utf-8").replace("/opt/trader/venv/bin/trader", "/bin/true")
    unit = tmp_path / "trader.service"
    unit.write_text(text.replace("/etc/trader/alpaca.env", "/dev/null"), "utf-8")
    verified = subprocess.run([str(ANALYZE), "verify", str(unit)], capture_output=True, text=True, check=False)
    complaints = [line for line in verified.stderr.splitlines() if "trader.service" in line]
    assert complaints == []
    command = [str(ANALYZE), "security", "--offline=true", "--no-pager", str(unit)]
    judged = subprocess.run(command, capture_output=True, text=True, check=False)
    exposure = re.search(r"exposure level for trader.service: ([\d.]+)", judged.stdout)
    assert exposure is not None, judged.stderr
    assert float(exposure[1]) < 2.0
