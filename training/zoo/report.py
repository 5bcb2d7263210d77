"""The leaderboard as pictures: one self-contained page, and the same picture as a PNG beside it."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from trader_sdk.archive.metrics import equity_of
from trader_sdk.contract.errors import StorageError
from training.zoo.leaderboard import COSTS_SHOWN, Board
from training.zoo.promotion import REASON_TEXTS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from training.zoo.board_cli import Standing

TEMPLATE: Final = Path(__file__).parent / "report.html.j2"
MOST_LINES: Final = 8
"""Variants that are drawn as lines; the table has all."""
_POINTS: Final = 800
_INK, _QUIET, _BAD, _GRID = "#1f2933", "#9aa5b1", "#b42318", "#e4e7eb"
_LINES: Final = ("#0b6e99", "#d9730d", "#448361", "#9065b0", "#c14c8a", "#337ea9", "#cb912f", "#787774")


def write_report(standing: Standing, path: Path) -> tuple[Path, Path]:
    """Write the page and the picture.

    Args:
        standing: A slot judged.
        path: The page; the picture lies beside it as ``.png``.

    Raises:
        StorageError: The disk refused.
    """
    figure = draw(standing)
    picture = path.with_suffix(".png")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(picture, dpi=130)
        path.write_text(page(standing, _svg(figure)), "utf-8")
    except OSError as error:
        raise StorageError("STORAGE", "the report cannot be written", where=str(path), found=error) from error
    return path, picture


def page(standing: Standing, picture: str) -> str:
    """Return the page; nothing in it is loaded from anywhere."""
    from jinja2 import Environment, StrictUndefined

    from training.zoo.board_cli import luck_of

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"share": _share, "level": _level, "ratio": _ratio}
    said = {each.name: each for each in standing.judged}
    return environment.from_string(TEMPLATE.read_text("utf-8")).render(
        key=str(standing.view.key),
        champion=standing.view.champion,
        baseline=standing.board.baseline,
        rows=standing.board.rows,
        said=said,
        texts=REASON_TEXTS,
        watch=standing.watch,
        luck=luck_of(standing.board),
        unseen=standing.board.paired.unseen,
        source=standing.source,
        span=_span(standing.board),
        picture=picture,
    )


def draw(standing: Standing) -> Figure:
    """Return equity, drawdowns, costs, the ranking and the slot's champions as one figure."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 13), layout="constrained", facecolor="white")
    shapes = figure.subplot_mosaic(
        [["equity", "equity"], ["falls", "falls"], ["ranking", "costs"], ["history", "history"]],
        height_ratios=[3, 1.6, 3, 1],
    )
    shown = _shown(standing)
    colours = dict(zip(shown, [*_LINES] * len(shown), strict=False)) | {standing.view.champion or "": _INK}
    _draw_equity(shapes["equity"], standing.board, shown, colours)
    _draw_falls(shapes["falls"], standing.board, shown, colours)
    _draw_ranking(shapes["ranking"], standing.board, shown, colours)
    _draw_costs(shapes["costs"], standing.board, shown)
    _draw_history(shapes["history"], standing)
    for axes in shapes.values():
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8, colors=_INK)
    return figure


def _shown(standing: Standing) -> list[str]:
    names = [row.name for row in standing.board.rows]
    kept = names[:MOST_LINES]
    needed = [name for name in (standing.view.champion, standing.board.baseline) if name in names and name not in kept]
    return [*kept, *(name for name in needed if name)]


def _draw_equity(axes: Axes, board: Board, names: Sequence[str], colours: dict[str, str]) -> None:
    for name in names:
        series = board.paired.series[name]
        picks = _picks(len(series.start_at))
        wide = 2.2 if colours[name] == _INK else 1.2
        curve = 100 * (equity_of(series.net())[picks] - 1)
        axes.plot(_times(series.start_at)[picks], curve, color=colours[name], lw=wide, label=name)
    _title(axes, "Return net of costs, percent")
    axes.axhline(0, color=_QUIET, lw=0.8)
    axes.legend(fontsize=7, frameon=False, loc="upper left", ncols=2)
    axes.grid(axis="y", color=_GRID)


def _draw_falls(axes: Axes, board: Board, names: Sequence[str], colours: dict[str, str]) -> None:
    for name in names:
        series = board.paired.series[name]
        curve = equity_of(series.net())
        fall = 100 * (curve / np.maximum(np.maximum.accumulate(curve), 1.0) - 1)
        picks = _picks(len(curve))
        axes.plot(_times(series.start_at)[picks], fall[picks], color=colours[name], lw=1.0)
    _title(axes, "Below the highest point, percent")
    axes.grid(axis="y", color=_GRID)


def _draw_ranking(axes: Axes, board: Board, names: Sequence[str], colours: dict[str, str]) -> None:
    rows = [row for name in reversed(names) for row in [board.row(name)] if row is not None]
    for place, row in enumerate(rows):
        mean = float(board.paired.series[row.name].net().mean()) * board.bars_per_year
        axes.plot([100 * row.low, 100 * row.high], [place, place], color=colours[row.name], lw=2, alpha=0.5)
        axes.plot(100 * mean, place, "o", color=colours[row.name], ms=5)
    axes.set_yticks(range(len(rows)), [_short(row.name) for row in rows])
    axes.axvline(0, color=_QUIET, lw=0.8)
    _title(axes, "Mean net return a year, percent, 95 % interval")


def _draw_costs(axes: Axes, board: Board, names: Sequence[str]) -> None:
    rows = [row for name in reversed(names) for row in [board.row(name)] if row is not None]
    shades = ("#b9d4e3", "#6fa8c9", "#0b6e99", "#063f57")
    labels = ("gross", *(f"{times}x costs" for times in COSTS_SHOWN))
    for place, row in enumerate(rows):
        for offset, (value, shade) in enumerate(zip((row.gross, row.net, row.net_2x, row.net_3x), shades, strict=True)):
            label = labels[offset] if place == 0 else None
            axes.barh(place + 0.3 - 0.2 * offset, 100 * value, height=0.18, color=shade, label=label)
    axes.set_yticks(range(len(rows)), [_short(row.name) for row in rows])
    axes.axvline(0, color=_QUIET, lw=0.8)
    _title(axes, "What costs leave, percent")
    axes.legend(fontsize=7, frameon=False, loc="best")


def _draw_history(axes: Axes, standing: Standing) -> None:
    holders = standing.view.history
    starts = [each.since for each in holders]
    ends = [*starts[1:], max(datetime.now(UTC), *starts)] if starts else []
    for place, (start, end) in enumerate(zip(starts, ends, strict=True)):
        last = place == len(holders) - 1
        span = np.array([start.replace(tzinfo=None), end.replace(tzinfo=None)], dtype="datetime64[us]")
        axes.plot(span, [place, place], color=_INK if last else _QUIET, lw=6, solid_capstyle="butt")
    axes.set_yticks(range(len(holders)), [_short(each.version_id) for each in holders])
    axes.set_ylim(-0.7, max(len(holders) - 0.3, 0.7))
    _title(axes, "Champions of the slot")


def _title(axes: Axes, text: str) -> None:
    axes.set_title(text, loc="left", fontsize=10, color=_INK)


def _picks(length: int) -> Any:
    return np.unique(np.linspace(0, length - 1, min(length, _POINTS)).round().astype(np.int64))


def _times(start_at: Any) -> Any:
    return start_at.astype("datetime64[ns]")


def _short(name: str) -> str:
    return name if len(name) <= 30 else f"{name[:14]}…{name[-13:]}"


def _svg(figure: Figure) -> str:
    import matplotlib as mpl

    stream = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "zoo"}):
        figure.savefig(stream, format="svg", metadata={"Date": None})
    text = stream.getvalue()
    return text[text.index("<svg") :]


def _span(board: Board) -> str:
    if not board.rows:
        return "no bar that all saw"
    start_at = next(iter(board.paired.series.values())).start_at
    first, last = (str(np.datetime64(int(at), "ns"))[:16].replace("T", " ") for at in (start_at[0], start_at[-1]))
    return f"{len(start_at):,} bars that all saw, {first} to {last} UTC"


def _share(value: float | None) -> str:
    return "–" if value is None or math.isnan(value) else f"{100 * value:+.2f} %"


def _level(value: float) -> str:
    return "–" if math.isnan(value) else f"{100 * value:.1f} %"


def _ratio(value: float | None) -> str:
    return "insufficient" if value is None else "–" if math.isnan(value) else f"{value:.2f}"
