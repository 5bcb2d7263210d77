"""The report's pictures as PNG files, for mails and slides; matplotlib is needed for these alone."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, Final

from trader_sdk.archive.pictures import drawdown_curve
from trader_sdk.contract.errors import ConfigError
from trader_sdk.live.run_page import DRAWN_SYMBOLS
from trader_sdk.live.run_report import RunReport, SymbolTrack

_SIZE_INCHES: Final = (9.0, 4.5)
_DPI: Final = 120
_CURVE, _FALL, _BOUGHT, _SOLD = "#2c5bc8", "#b3261e", "#14704a", "#b3261e"


def write_pictures(made: RunReport, folder: Path) -> list[Path]:
    """Write ``equity.png``, ``blocked.png`` and ``fills-SYMBOL.png`` of the most traded symbols.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError(
            "CONFIG", "pictures need matplotlib", where="--png 1", remedy='pip install "trader-sdk[train]"'
        ) from error
    tracks = {f"fills-{t.symbol.replace('/', '-')}.png": t for t in made.tracks[:DRAWN_SYMBOLS] if t.fills}
    names = ["equity.png", "blocked.png", *tracks]
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        figure = Figure(figsize=_SIZE_INCHES, dpi=_DPI, layout="constrained")
        axes = figure.add_subplot()
        if name in tracks:
            _fills(tracks[name], axes)
        else:
            (_equity if name == "equity.png" else _blocked)(made, axes)
        canvas: Any = FigureCanvasAgg  # its methods are not typed
        canvas(figure).print_png(folder / name)
    return [folder / name for name in names]


def _equity(made: RunReport, axes: Any) -> None:
    times = [datetime.fromisoformat(at) for at in made.at]
    bars = range(len(times))
    axes.plot(bars, made.equity, color=_CURVE, linewidth=1.6)
    axes.set_ylabel("equity")
    axes.ticklabel_format(axis="y", useOffset=False, style="plain")
    below = axes.twinx()
    below.fill_between(bars, [100 * fall for fall in drawdown_curve(made.equity)], 0, color=_FALL, alpha=0.2)
    below.set_ylim(top=0, bottom=min(-0.1, -400 * made.max_drawdown))
    below.set_ylabel("below the last peak, %")
    axes.set_title(_title(made, "equity and drawdown"))
    axes.set_xlabel(f"bars, {times[0]:%Y-%m-%d %H:%M} to {times[-1]:%Y-%m-%d %H:%M} UTC" if times else "bars")


def _blocked(made: RunReport, axes: Any) -> None:
    reasons = [reason for reason, _, _ in reversed(made.blocked)]
    axes.barh(reasons, [count for _, count, _ in reversed(made.blocked)], color=_CURVE)
    axes.set_title(_title(made, "decisions without an order, by reason"))
    if not reasons:
        axes.text(0.5, 0.5, "nothing was blocked", ha="center", transform=axes.transAxes)


def _fills(track: SymbolTrack, axes: Any) -> None:
    axes.plot(track.closes, color=_CURVE, linewidth=1.2)
    for side, marker, color in (("buy", "^", _BOUGHT), ("sell", "v", _SOLD)):
        fills = [fill for fill in track.fills if fill.side == side]
        axes.scatter([f.bar for f in fills], [f.price for f in fills], marker=marker, color=color, label=side, zorder=3)
    axes.legend()
    axes.set_xlabel("bars")
    axes.set_title(f"{track.symbol}: {len(track.fills)} fills on price")


def _title(made: RunReport, what: str) -> str:
    simulated = "" if made.data_kind in (None, "real") else ", simulated market"
    return f"{made.summary.mode} {made.run_id}{simulated}: {what}"
