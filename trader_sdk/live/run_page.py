"""report.html of a run: one self-contained file with its curves, fills, costs and what was not traded."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from trader_sdk.archive.pictures import HEIGHT, WIDTH, curve, drawdown_curve
from trader_sdk.live.run_report import RunReport, SymbolTrack, modelled_cost, slippage_by_size

if TYPE_CHECKING:
    from jinja2 import Template

DRAWN_SYMBOLS: Final = 6
"""Most symbols whose fills are drawn on their price; the table has all."""
LISTED_SYMBOLS: Final = 60
DRAWN_POINTS: Final = 1_200
"""Most points of one line: more than a screen has columns."""
_EDGES_BPS: Final = (-10.0, 0.0, 2.5, 5.0, 10.0, 25.0)


def run_page(report: RunReport) -> str:
    """Return the page of a run as HTML."""
    summary = report.summary
    return _template().render(
        report=report, summary=summary, width=WIDTH, height=HEIGHT,
        tiles=_tiles(report), equity=_curve(report.equity, float(summary.initial)),
        drawdown=_curve(drawdown_curve(report.equity), 0.0), max_drawdown=report.max_drawdown,
        prices=[_price(track) for track in report.tracks[:DRAWN_SYMBOLS] if track.fills],
        most_blocked=max((n for _, n, _ in report.blocked), default=1),
        symbols=[_row(track) for track in report.tracks[:LISTED_SYMBOLS]],
        unlisted=max(len(report.tracks) - LISTED_SYMBOLS, 0),
        slips=_slips(report.tracks),
    )  # fmt: skip


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    text = files("trader_sdk.live").joinpath("templates", "run.html.j2").read_text("utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(text)


def _tiles(report: RunReport) -> list[dict[str, str]]:
    summary = report.summary
    pnl, initial = float(summary.pnl), float(summary.initial)
    slipped = report.slippage_bps
    won = f"{summary.wins} of {summary.trades} closed trades won" if summary.trades else "no trade closed"
    return [
        {"title": "Result", "value": f"{pnl:+,.2f}", "tone": "good" if pnl >= 0 else "bad",
         "about": f"{pnl / initial:+.2%} of {initial:,.0f}; {won}" if initial else won},
        {"title": "Deepest fall", "value": f"{report.max_drawdown:.2%}", "tone": "", "about": "below an earlier peak"},
        {"title": "Slippage", "value": "none" if slipped is None else f"{slipped:+.1f} bps", "tone": "",
         "about": f"{summary.slippage} against decision prices; the cost model says {summary.costs}"},
        {"title": "Decisions", "value": f"{summary.decisions:,}", "tone": "",
         "about": f"{summary.orders} orders, {summary.fills} fills, {sum(summary.blocked.values())} blocked"},
    ]  # fmt: skip


def _thinned(values: Sequence[float]) -> list[float]:
    step = max(1, -(-len(values) // DRAWN_POINTS))
    return [*values[:-1:step], values[-1]] if values else []


def _curve(values: Sequence[float], zero: float) -> Any:
    return curve(_thinned(values), zero=zero)


def _price(track: SymbolTrack) -> dict[str, Any]:
    step = max(1, -(-len(track.closes) // DRAWN_POINTS))
    drawn = curve(_thinned(track.closes))
    marks = [] if drawn is None else [_mark(track, fill_index, step, drawn) for fill_index in range(len(track.fills))]
    return {"symbol": track.symbol, "curve": drawn, "marks": marks, "fills": len(track.fills)}


def _mark(track: SymbolTrack, index: int, step: int, drawn: Any) -> dict[str, Any]:
    """Return where a fill lies in percent of its picture, by its own price and the bar after which it came."""
    fill = track.fills[index]
    margin, span = 8.0, (drawn.high - drawn.low) or 1.0
    last = max(-(-(len(track.closes) - 1) // step), 1)
    x = margin + min(fill.bar / step, last) / last * (WIDTH - 2 * margin)
    y = HEIGHT - margin - (fill.price - drawn.low) / span * (HEIGHT - 2 * margin)
    return {
        "left": round(100 * x / WIDTH, 2),
        "top": round(min(max(100 * y / HEIGHT, 0), 100), 2),
        "side": fill.side,
        "title": f"{fill.at} {fill.side} {fill.qty:g} at {fill.price:g}, {fill.slippage_bps:+.1f} bps",
    }


def _row(track: SymbolTrack) -> tuple[str, ...]:
    slipped = track.slippage_bps
    return (
        track.symbol,
        f"{track.pnl:+,.2f}",
        str(len(track.fills)),
        f"{track.turnover:,.2f}",
        f"{modelled_cost(track.turnover) + track.fees:,.2f}",
        "" if slipped is None else f"{slipped:+.1f}",
    )


def _slips(tracks: Sequence[SymbolTrack]) -> list[dict[str, Any]]:
    counted = slippage_by_size(tracks, _EDGES_BPS)
    while counted and not counted[0][1]:
        counted = counted[1:]
    while counted and not counted[-1][1]:
        counted = counted[:-1]
    if not counted:
        return []
    most = max(n for _, n in counted) or 1
    return [{"label": label, "n": n, "percent": round(100 * n / most, 1)} for label, n in counted]
