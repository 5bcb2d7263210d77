"""A run as a picture: ``python -m training report RUN`` writes ``report.png`` and a self-contained ``report.html``."""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from trader_sdk.contract.errors import UsageError
from trader_sdk.contract.spec import MODEL_SPECS
from training.evidence import Facts, events, number, read_document, read_facts
from training.run_files import write, write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CHOSEN, LINE, LOSS, GREY = "#b2182b", "#2166ac", "#d6604d", "#777777"
SUMMARY: Final = "summary.json"


def write_report(folder: Path) -> tuple[Path, Path]:
    """Draw a finished run and return the picture and the page.

    Args:
        folder: The folder of a PPO run that opened GATE.

    Raises:
        StorageError: The disk refused.
        UsageError: There is no such run, or it did not end.
    """
    document, facts = read_document(folder), read_facts(folder)
    try:
        model = next(iter(json.loads((folder / SUMMARY).read_text("utf-8"))["models"].values()))
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(
            "USAGE",
            "the run has no summary: it did not end, or is a pretraining",
            where=str(folder),
            expected=SUMMARY,
            found=error,
            remedy="Resume it, or name a finished run.",
        ) from error
    picture = draw(document, facts, model)
    png, page = folder / "report.png", folder / "report.html"
    write_bytes(png, picture)
    write(page, page_of(document, model, picture))
    return png, page


def draw(document: Facts, facts: Sequence[Facts], model: Facts) -> bytes:
    """Return the picture as PNG: learning, GATE's equity and drawdown by fold, actions, costs."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 10.5), layout="constrained")
    axes = figure.subplots(3, 2)
    validations, opened = events(facts, "validation"), _opened(model)
    _learning(axes[0, 0], validations, chosen_update(model))
    _losses(axes[0, 1], events(facts, "update"))
    _equity(axes[1, 0], opened)
    _folds(axes[1, 1], opened["folds"])
    _actions(axes[2, 0], validations, document)
    _costs(axes[2, 1], opened)
    figure.suptitle(_title(document), fontsize=13)
    stream = io.BytesIO()
    FigureCanvasAgg(figure).print_png(stream)  # type: ignore[no-untyped-call] # matplotlib leaves it untyped
    return stream.getvalue()


def chosen_update(model: Facts) -> int:
    """Return the update whose policy is deployed: the best one where SELECT said that the final declined."""
    interval, history = int(model["validation_interval"]), model["metrics"]["fitness_score"]
    place = len(history) if model["gate"]["best"] is None else int(np.argmax(np.nan_to_num(history, nan=-np.inf))) + 1
    return place * interval


def page_of(document: Facts, model: Facts, picture: bytes) -> str:
    """Return the page: what was trained, the picture, and its numbers as text."""
    opened = _opened(model)
    names = ("fitness_score", "profit_factor", "consistency", "max_drawdown", "t", "n_trades")
    beside = model["in_sample"]
    rows = "".join(
        f"<tr><td>{name}</td><td>{_shown(opened[name])}</td><td>{_shown(beside.get(name))}</td></tr>" for name in names
    )
    title = html.escape(_title(document))
    image = base64.b64encode(picture).decode("ascii")
    return _PAGE.format(title=title, image=image, rows=rows, chosen=chosen_update(model))


def _opened(model: Facts) -> Facts:
    gate: Facts = model["gate"]
    opened: Facts = gate["best"] or gate["final"]
    return opened


def _title(document: Facts) -> str:
    data = document["data"]
    where = f"{document['symbol']} {document['timeframe']}, {data['kind']} data from {document['source']}"
    return f"{where}, seed {document['config']['seed']}"


def _learning(axis: Axes, validations: Sequence[Facts], chosen: int) -> None:
    updates = [fact["update"] for fact in validations]
    fitness = [number(fact, "fitness_score") for fact in validations]
    axis.plot(updates, fitness, color=LINE, marker="o", label="fitness on SELECT")
    if chosen in updates:
        value = fitness[updates.index(chosen)]
        axis.plot([chosen], [value], "*", color=CHOSEN, markersize=16, label=f"deployed: update {chosen}")
    axis.axhline(0.0, color=GREY, linewidth=0.8)
    _label(axis, "Learning curve", "update", "fitness")
    axis.legend()


def _losses(axis: Axes, updates: Sequence[Facts]) -> None:
    steps = [fact["update"] for fact in updates]
    for name, color in (("explained_variance", LINE), ("entropy", GREY), ("value_loss", LOSS)):
        axis.plot(steps, [number(fact, name) for fact in updates], color=color, label=name.replace("_", " "))
    _label(axis, "Training", "update", "")
    axis.legend()


def _equity(axis: Axes, opened: Facts) -> None:
    equity = np.array(opened["equity"], dtype=np.float64)
    place = np.linspace(0.0, 100.0, len(equity))
    axis.plot(place, equity, color=LINE, label="equity")
    under = axis.twinx()
    drawdown = 100.0 * (equity / np.maximum.accumulate(equity) - 1.0)
    under.fill_between(place, drawdown, color=LOSS, alpha=0.3, linewidth=0.0)
    under.set_ylabel("drawdown, %")
    for fold in range(1, len(opened["folds"])):
        axis.axvline(100.0 * fold / len(opened["folds"]), color=GREY, linewidth=0.6, linestyle=":")
    _label(axis, "GATE: equity net of costs, drawdown, folds", "GATE, %", "start = 1")


def _folds(axis: Axes, folds: Sequence[Facts]) -> None:
    returns = [100.0 * fold["net_return"] for fold in folds]
    bars = axis.bar([str(index + 1) for index in range(len(folds))], returns, color=LINE)
    axis.bar_label(bars, [f"{fold['n_trades']} trades" for fold in folds], padding=2, fontsize=8)
    axis.axhline(0.0, color=GREY, linewidth=0.8)
    axis.margins(y=0.15)
    _label(axis, "GATE: net return by fold", "fold", "%")


def _actions(axis: Axes, validations: Sequence[Facts], document: Facts) -> None:
    meanings = MODEL_SPECS[document["config"]["model_version"]].actions
    counts = np.zeros((len(validations), len(meanings)))
    for row, fact in zip(counts, validations, strict=True):
        row[: len(fact["actions"])] = fact["actions"]
    shares = 100.0 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1.0)
    updates = [fact["update"] for fact in validations]
    axis.stackplot(updates, shares.T, labels=[action.name for action in meanings], colors=_action_colors(meanings))
    axis.set_ylim(0.0, 100.0)
    _label(axis, "Actions on SELECT", "update", "%")
    axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))


def _action_colors(meanings: Sequence[Any]) -> list[tuple[float, float, float]]:
    tones = {0: (0.8, 0.8, 0.8), 1: (0.13, 0.4, 0.67), -1: (0.7, 0.09, 0.17)}
    # Smaller sizes are paler.
    colors = []
    for action in meanings:
        strength = 1.0 if action.direction == 0 else 0.35 + 0.65 * action.size
        red, green, blue = (1.0 - strength * (1.0 - part) for part in tones[action.direction])
        colors.append((red, green, blue))
    return colors


def _costs(axis: Axes, opened: Facts) -> None:
    shown = opened["shown"]
    net, costs = 100.0 * shown["net_return"], 100.0 * shown["cost_total"]
    bars = axis.bar(["before costs", "costs", "net"], [net + costs, -costs, net], color=[GREY, LOSS, LINE])
    axis.bar_label(bars, fmt="%.2f %%", padding=2)
    axis.axhline(0.0, color=GREY, linewidth=0.8)
    axis.margins(y=0.15)
    _label(axis, f"GATE: what costs took, {opened['n_trades']} trades", "", "% of equity, about")


def _label(axis: Axes, title: str, x: str, y: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.set_title(title, fontsize=11)
    axis.set_xlabel(x)
    axis.set_ylabel(y)
    if x == "update":
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "none" if value is None else str(value)


_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>body{{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2em auto;padding:0 1em}}
img{{max-width:100%}}td,th{{padding:.2em 1em;text-align:right}}td:first-child,th:first-child{{text-align:left}}</style>
<h1>{title}</h1>
<p>The policy of update {chosen} is the one that is deployed. GATE was opened once, for this table; figures of TRAIN
stand beside and decide nothing. Fitness, consistency, t and drawdown in the table are the worse of two: the policy's
own, and what is left of it without the market's mean return. Curves and bars below are the policy's own.</p>
<table><tr><th>metric</th><th>GATE</th><th>TRAIN</th></tr>{rows}</table>
<img alt="Learning curve, training, equity and drawdown, folds, actions and costs" src="data:image/png;base64,{image}">
</html>"""
