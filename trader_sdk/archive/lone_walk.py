"""Trade one track alone: account columns depend on what was decided before, so nothing can be batched over bars."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from trader_sdk.archive.lone_sleeve import LoneSleeve, columns_buffer
from trader_sdk.archive.notes import INITIAL_EQUITY, NO_DECISION, LoneNotes
from trader_sdk.archive.tracks import Block, Desk
from trader_sdk.engine.dense import DensePolicy
from trader_sdk.engine.history import HistoryEngine, history_logits
from trader_sdk.engine.tail import Tail
from trader_sdk.engine.ties import dense_logits, is_near_tie


def walk_alone(policy: DensePolicy, engine: HistoryEngine, desk: Desk, note: LoneNotes) -> None:
    """Walk the only track of ``desk`` and note it.

    Args:
        policy: Decides.
        engine: Computes the market part of its first layer.
        desk: One track, and what trading on it means.
        note: What happened goes there.
    """
    (length,) = map(len, (track.window for track in desk.tracks))
    opens, closes, years, asked = (each[:, 0].tolist() for each in desk.scene(Block(range(length - 1), 1, 0)))
    sleeve = LoneSleeve(INITIAL_EQUITY, desk.costs, desk.limits)
    actions = _actions_alone(policy, engine, desk, sleeve, closes)
    meaning = desk.spec.actions
    for bar, action in enumerate(actions):
        price, opened, closed = closes[bar], opens[bar + 1], closes[bar + 1]
        before, cost = sleeve.cash + sleeve.shares * opened, 0.0
        direction, size, _ = meaning[action]
        position = target = sleeve.shares * price
        if asked[bar] and direction:
            target = sleeve.target(direction, size, sleeve.cash + position, position)
        borrow = sleeve.pay_borrow(opened, years[bar + 1])
        if target != position:
            cost, net = sleeve.fill((target - position) / price, opened)
            if net is not None:
                note.trades.append(net / before)
        held = sleeve.shares * opened / before
        value = sleeve.shares * closed
        equity = sleeve.cash + value
        sleeve.peak = max(sleeve.peak, equity)
        decided = action if asked[bar] else NO_DECISION
        note.bar(bar, decided, before, held, (cost + borrow) / before, equity, value / equity)
    borrow = sleeve.pay_borrow(closes[-1], desk.last_years)
    cost, net = sleeve.fill(-sleeve.shares, closes[-1])
    note.close_out(cost + borrow, net, sleeve.cash)


def _actions_alone(
    policy: DensePolicy, engine: HistoryEngine, desk: Desk, sleeve: LoneSleeve, closes: list[float]
) -> Iterator[int]:
    """Yield the action of each bar but the last; the sleeve is read when the next is asked for."""
    (track,), n_account = desk.tracks, desk.spec.n_account
    window = desk.spec.window
    rows = track.market[track.window.start - window + 1 : track.window.stop - 1]
    if n_account == 0:
        yield from (
            history_logits(policy, rows, np.zeros((len(track.window) - 1, 0), np.float32))[0].argmax(axis=1).tolist()
        )
        return
    tail, bias = Tail(policy), policy.packed.bias
    account = columns_buffer(tail.account)
    for first, sums in engine.blocks(rows):
        sums += bias
        ties = engine.ties(rows[first : first + len(sums) + window - 1]).tolist()
        for bar, (each, tie) in enumerate(zip(sums, ties, strict=True), first):
            sleeve.write_columns(closes[bar], account, n_account)
            logits = tail.logits(each)
            if is_near_tie(logits, tie):
                yield int(dense_logits(policy, rows[bar : bar + window][None], tail.account[None])[0].argmax())
            else:
                yield logits.index(max(logits))
