"""One self-contained page for a backtest: the figures, and equity against buy and hold as inline SVG."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from trader_sdk.backtest import BacktestResult

Floats = NDArray[np.float64]

WIDTH: Final = 860
HEIGHT: Final = 300
MARGIN: Final = 52
MAX_POINTS: Final = 600

_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; color: #1c2530; max-width: 900px; margin: 2rem auto; padding: 0 1rem; }}
table {{ border-collapse: collapse; }} td {{ padding: .15rem 1.2rem .15rem 0; }} td + td {{ text-align: right; }}
.warn {{ background: #fff3cd; padding: .5rem .8rem; border-radius: 4px; }}
svg text {{ font-size: 12px; fill: #5b6673; }} .model {{ stroke: #0b6e99; }} .market {{ stroke: #b0894f; }}
path {{ fill: none; stroke-width: 1.6; }} .grid {{ stroke: #dfe4ea; stroke-width: 1; }}
</style></head><body>
<h1>{title}</h1>
<p>{subtitle}</p>
{warning}
{chart}
<table>{rows}</table>
</body></html>
"""


def page(model_name: str, result: BacktestResult) -> str:
    """Return the page as HTML.

    Args:
        model_name: Shown in the title.
        result: What the model did.
    """
    facts = result.to_dict()
    kind = "simulated bars" if facts["data_kind"] == "simulated" else "real bars"
    warnings = ["In sample: the model has seen some of these bars. This proves nothing."] if result.in_sample else []
    warnings += [f"Note: {doubt}." for doubt in result.doubts]
    rows = {
        "Net return": f"{result.net_return:+.2%}",
        "Buy and hold (all equity)": f"{result.buy_and_hold:+.2%}",
        "Mean position": f"{facts['mean_position']:.1%}",
        "Max drawdown": f"{result.max_drawdown:.2%}",
        "Trades": str(result.n_trades),
        f"Costs ({result.costs.id})": f"{result.cost_total:.3%}",
        **{name: str(count) for name, count in result.action_counts.items()},
    }
    return _PAGE.format(
        title=escape(f"Backtest of {model_name}"),
        subtitle=escape(
            f"{facts['bars']} {kind} of {facts['symbol']} {facts['timeframe']}, "
            f"{facts['start'][:10]} to {facts['end'][:10]}"
        ),
        warning="".join(f'<p class="warn">{escape(text)}</p>' for text in warnings),
        chart=chart(result),
        rows="".join(f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in rows.items()),
    )


def chart(result: BacktestResult) -> str:
    """Return the equity of the model and of the market, both from 100 %, as SVG."""
    model = result.equity / result.equity[0]
    market = result.bars.close / result.bars.close[0]
    low, high = float(min(model.min(), market.min())), float(max(model.max(), market.max()))
    levels = np.linspace(low, high, 5)
    start, end = result.to_dict()["start"][:10], result.to_dict()["end"][:10]
    grid = "".join(_grid_line(float(level), low, high) for level in levels)
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT + 40}" role="img" aria-label="Equity of model and market">{grid}'
        f'<path class="market" d="{_line(market, low, high)}"/><path class="model" d="{_line(model, low, high)}"/>'
        f'<text x="{MARGIN}" y="{HEIGHT + 18}">{start}</text>'
        f'<text x="{WIDTH}" y="{HEIGHT + 18}" text-anchor="end">{end}</text>'
        f'<text x="{MARGIN}" y="{HEIGHT + 36}"><tspan fill="#0b6e99">model</tspan>  '
        f'<tspan fill="#b0894f">market, all equity</tspan></text></svg>'
    )


def _grid_line(level: float, low: float, high: float) -> str:
    y = _y(level, low, high)
    line = f'<line class="grid" x1="{MARGIN}" x2="{WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>'
    return f'{line}<text x="0" y="{y + 4:.1f}">{level:.1%}</text>'


def _line(values: Floats, low: float, high: float) -> str:
    chosen = np.unique(np.linspace(0, len(values) - 1, min(MAX_POINTS, len(values))).round().astype(int))
    x = MARGIN + (WIDTH - MARGIN) * chosen / max(1, len(values) - 1)
    points = [f"{left:.1f} {_y(float(values[index]), low, high):.1f}" for left, index in zip(x, chosen, strict=True)]
    return "M" + " L".join(points)


def _y(value: float, low: float, high: float) -> float:
    return 8 + (HEIGHT - 16) * (1.0 - (value - low) / max(high - low, 1e-12))
