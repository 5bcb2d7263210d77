"""``python -m training pretrain``."""

from __future__ import annotations

import json as json_module
import sys
from pathlib import Path
from typing import Annotated

import typer

from training.arguments import AllowGaps, Data, Json, Symbol, TimeframeName, bars_of, integers, run_folder


def pretrain(
    data: Data,
    symbol: Symbol,
    timeframe: TimeframeName,
    mode: Annotated[str, typer.Option(help="finetune (needs --parent) or from-scratch; sets the four numbers below.")],
    parent: Annotated[Path | None, typer.Option(help="Checkpoint that a finetune starts from.")] = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder; runs/SYMBOL_TIMEFRAME/TIME when omitted.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Instead of the mode's 5e-5 or 3e-4.")] = None,
    warmup_steps: Annotated[int | None, typer.Option(help="Instead of the mode's 100 or 1,000.")] = None,
    target_loss: Annotated[float | None, typer.Option(help="Instead of the mode's 0.9 ln(N).")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the labels at most.")] = None,
    samples_per_epoch: Annotated[int | None, typer.Option(help="Labels an epoch; all of TRAIN when omitted.")] = None,
    horizon: Annotated[int | None, typer.Option(help="Bars whose return the hindsight labels look at.")] = None,
    until: Annotated[str | None, typer.Option(help="Use bars before this date only.")] = None,
    allow_gaps: AllowGaps = 0,
    blocks: Annotated[str | None, typer.Option(help="Bars of TRAIN,SELECT,GATE, for example 50000,4000,8000.")] = None,
    label: Annotated[str, typer.Option(help="Free text that is stamped into the checkpoints.")] = "model",
    seed: Annotated[int | None, typer.Option(help="Weights and shuffling.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, mps or auto.")] = None,
    hidden: Annotated[str | None, typer.Option(help="Widths of the trunk; a finetune has its parent's.")] = None,
    model_version: Annotated[str | None, typer.Option(help="Contract version; a finetune has its parent's.")] = None,
    json: Json = 0,
) -> int:
    """Imitate hindsight on TRAIN, validated on SELECT; GATE stays closed. The best checkpoint is a parent for `run`."""
    from training.modes import pretrain_config
    from training.pretrain import pretrain as pretrain_run
    from training.progress import pick_reporter

    config = pretrain_config(
        mode,
        parent=None if parent is None else str(parent),
        learning_rate=learning_rate,
        warmup_steps=warmup_steps,
        target_loss=target_loss,
        epochs=epochs,
        samples_per_epoch=samples_per_epoch,
        horizon=horizon,
        blocks=integers(blocks, "--blocks"),
        seed=seed,
        device=device,
        hidden_dims=integers(hidden, "--hidden"),
        model_version=model_version,
    )
    bars = bars_of(data, symbol, timeframe, until, allow_gaps=bool(allow_gaps))
    reporter = pick_reporter(sys.stderr if json else sys.stdout)
    folder = out or run_folder(bars)
    result = pretrain_run(bars, config, out=folder, source=data, label=label, reporter=reporter)
    facts = {"outcome": result.outcome.value, "folder": str(folder), "best": str(result.best), "losses": result.history}
    if json:
        typer.echo(json_module.dumps({"event": "pretraining_finished", **facts, "seed": config.seed}))
    else:
        target = f"target {config.target_loss:.3f}"
        typer.echo(f"{result.outcome}: best validation loss {min(result.history):.4f}, {target}; {result.best}")
    return 0
