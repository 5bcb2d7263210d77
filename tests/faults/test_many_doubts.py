"""Doubts about many symbols at once."""

from __future__ import annotations

from pathlib import Path

from trader_sdk.faults.campaign import Archives
from trader_sdk.faults.scenario import Scenario
from trader_sdk.faults.session import play


def test_history_of_every_symbol_is_read_anew_when_all_lack_a_bar(folder: Path, archives: Archives) -> None:
    """However many they are: one that waited would lose its doubt with the next bar that fits, and its window a bar."""
    symbols = ("AA", "BB", "CC", "DD", "EE", "FF", "SIM")
    moves = dict.fromkeys(symbols, "..x..")
    scenario = Scenario(id="MANY", title="seven lack a bar", right="all are read anew", moves=moves)
    evidence = play(scenario, folder, archives.of(scenario))
    rebuilt = [fields["symbol"] for name, fields in evidence.told if name == "window_rebuilt"]
    assert (sorted(rebuilt), evidence.exit_code) == (sorted(symbols), 0)
