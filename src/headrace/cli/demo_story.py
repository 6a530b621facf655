"""How the demonstration closes: both flows' quality week by week, and one visitor's way to a decision."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

from headrace.cli.demo import Files
from headrace.kinds.fraud.truth import read_truth
from headrace.ledger.ledger import Ledger
from headrace.operators.decisions.prequential import Prequential
from headrace.operators.events.contract import (
    Cart,
    Click,
    Decision,
    Event,
    Order,
    Outcome,
    Payment,
    Recommendation,
)
from headrace.operators.events.decode import decode_one
from headrace.operators.recommend.slates import Evaluated, SlateWindow, rank_of

if TYPE_CHECKING:
    from headrace.operators.simulator import Ceilings

__all__ = ["Shop", "Week", "show", "story", "weeks"]

_WEEK_MS: Final = 7 * 86_400_000
_JUDGED_MAX: Final = 1_000_000
_LINE_BYTES_MAX: Final = 1_048_576
_CLICKS_TOLD: Final = 6
_ITEMS_TOLD: Final = 3

_decision: Final = msgspec.json.Decoder(Decision)
_list: Final = msgspec.json.Decoder(Recommendation)


class Shop:
    """What happened in the shop, by what it is asked for.

    Parameters
    ----------
    events
        In the order in which they came.

    Attributes
    ----------
    clicks, payments
        By event id.
    sessions
        Clicks, carts, orders and payments of each session, in order.
    outcomes
        Labels by payment, as far as somebody said them.
    """

    def __init__(self, events: Iterable[Event]) -> None:
        self.clicks: dict[str, Click] = {}
        self.payments: dict[str, Payment] = {}
        self.sessions: dict[str, list[Click | Cart | Order | Payment]] = {}
        self.outcomes: dict[str, Outcome] = {}
        known: set[str] = set()
        for event in events:
            if event.event_id not in known:  # some lines come twice
                known.add(event.event_id)
                self._take(event)

    def _take(self, event: Event) -> None:
        if isinstance(event, Click):
            self.clicks[event.event_id] = event
        elif isinstance(event, Payment):
            self.payments[event.event_id] = event
        elif isinstance(event, Outcome):
            self.outcomes[event.about] = event
        if isinstance(event, Click | Cart | Order | Payment) and event.session_id is not None:
            self.sessions.setdefault(event.session_id, []).append(event)


@dataclass(slots=True)
class Week:
    """What was decided in a week, and how well.

    Attributes
    ----------
    begins_ms
        Its first moment, milliseconds since the epoch, UTC.
    slates
        How many clicks were answered.
    foreseen
        Where next clicks stood in the slates before them.
    payments, frauds
        How many payments were decided, and how many of them were frauds.
    caught
        Frauds that were blocked or reviewed.
    stopped
        Legitimate payments that were blocked.
    evaluate
        The quality of the scores.
    hits_possible
        Of each evaluated list, the chance that the best one would have had the next click.
    judge_possible
        The quality of the best scores.
    """

    begins_ms: int
    slates: int = 0
    foreseen: SlateWindow = field(default_factory=lambda: SlateWindow(_JUDGED_MAX))
    payments: int = 0
    frauds: int = 0
    caught: int = 0
    stopped: int = 0
    evaluate: Prequential = field(default_factory=lambda: Prequential(_JUDGED_MAX))
    hits_possible: list[float] = field(default_factory=list)
    judge_possible: Prequential = field(default_factory=lambda: Prequential(_JUDGED_MAX))

    def add(self, decision: Decision, label: int, odds: float) -> None:
        """Count a decision, and what the payment's odds to be a fraud were."""
        self.payments += 1
        self.frauds += label
        self.caught += label and decision.action != "approve"
        self.stopped += not label and decision.action == "block"
        self.evaluate.add(decision.score, label)
        self.judge_possible.add(odds, label)


def _events(files: Files) -> Iterator[Event]:
    for path in (files.events, files.live):
        with open(path, "rb") as lines:
            for line in lines:
                event = decode_one(line, _LINE_BYTES_MAX)
                if isinstance(event, Event):
                    yield event


def _decisions(files: Files) -> Iterator[Decision]:
    with open(files.decisions, "rb") as lines:
        yield from map(_decision.decode, lines)


def _slates(files: Files) -> Iterator[Recommendation]:
    with open(files.slates, "rb") as lines:
        yield from map(_list.decode, lines)


# -- week by week


def weeks(files: Files, shop: Shop, truth: Mapping[str, int], possible: Ceilings) -> list[Week]:
    """Return what was decided and listed, week by week of event time from the first of either on."""
    found: list[Week] = []
    for decision in _decisions(files):
        _week(found, decision.event_time).add(
            decision, truth[decision.event_id], possible.frauds[decision.event_id]
        )
    last: dict[str, tuple[str, ...]] = {}
    for each in _slates(files):
        click, week = shop.clicks[each.event_id], _week(found, each.event_time)
        week.slates += 1
        before = last.get(click.session_id)
        if before is not None:
            week.foreseen.extend([Evaluated(rank_of(click.item_id, before), len(before), new=False)])
            week.hits_possible.append(possible.hits[click.event_id])
        # The slate that stood on the screen when the next click came is what that click evaluates.
        last[click.session_id] = tuple(item.item_id for item in each.items)
    return found


def _week(found: list[Week], time_ms: int) -> Week:
    """Return the week of a time; what is older than the first one counts there."""
    if not found:
        found.append(Week(time_ms))
    # Also weeks in which nothing happened, so that a week's index says how far it is from the first.
    while time_ms >= found[-1].begins_ms + _WEEK_MS:
        found.append(Week(found[-1].begins_ms + _WEEK_MS))
    return found[max(0, (time_ms - found[0].begins_ms) // _WEEK_MS)]


def _table(found: Sequence[Week]) -> Table:
    table = Table(
        title="Learning, week by week",
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        padding=0,
    )
    table.add_column("week from", no_wrap=True)
    for name in ("clicks", "hit rate", "payments", "frauds", "caught", "good\nstopped", "AP"):
        table.add_column(name, justify="right", no_wrap=True)
    for week in found:
        table.add_row(
            _at(week.begins_ms, "%Y-%m-%d"),
            f"{week.slates:,}",
            _hits(week),
            f"{week.payments:,}",
            f"{week.frauds:,}",
            f"{week.caught / week.frauds:.0%}" if week.frauds else "-",
            f"{week.stopped:,}",
            _precision(week),
        )
    return table


_LEGEND: Final = (
    "Each share stands beside the best that anybody could reach here. Hit rate: next clicks that were on the"
    " list before them; the best slates know every visitor's plans. AP: average precision of the scores"
    " against the truth; the best scores know every plan, but not the coin that decides which payments are"
    " frauds at a compromised merchant."
)


def _hits(week: Week) -> str:
    slates, possible = week.foreseen.quality(), week.hits_possible
    return f"{slates.hit_rate:.2f} of {sum(possible) / len(possible):.2f}" if slates else "-"


def _precision(week: Week) -> str:
    scores, possible = week.evaluate.quality(), week.judge_possible.quality()
    return (
        f"{scores.average_precision:.2f} of {possible.average_precision:.2f}" if scores and possible else "-"
    )


def _at(ms: int, form: str = "%H:%M:%S") -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):{form}}"


# -- one visitor


def story(files: Files, shop: Shop, truth: Mapping[str, int]) -> Iterator[str]:
    """One visitor's way from the first clicks to what was decided on the payment, as lines of text.

    The visitor is one whose fraud was stopped, if there is any, and of these one who took most from slates.
    """
    shown = {each.event_id: tuple(item.item_id for item in each.items) for each in _slates(files)}
    chosen = _chosen(_decisions(files), shop, truth, shown)
    if chosen is None:
        return
    payment = shop.payments[chosen.event_id]
    happened = [each for each in shop.sessions[str(payment.session_id)] if not isinstance(each, Payment)]
    clicks = [each for each in happened if isinstance(each, Click)]
    told = set(map(id, clicks[-_CLICKS_TOLD:]))
    yield f"From click to decision: session {payment.session_id}, {_at(payment.event_time, '%Y-%m-%d')}"
    ledger = Ledger(files.state("recommend"))
    before: Click | None = None
    for event in happened:
        if isinstance(event, Click):
            if id(event) in told:
                yield from _click(event, before, shown, ledger)
            before = event
        elif isinstance(event, Cart):
            yield f"  {_at(event.event_time)} puts {event.item_id} into the cart"
        else:
            yield f"  {_at(event.event_time)} orders {', '.join(line.item_id for line in event.items)}"
    yield from _decided(files, payment, shop, truth)


def _chosen(
    decisions: Iterable[Decision],
    shop: Shop,
    truth: Mapping[str, int],
    shown: Mapping[str, Sequence[str]],
) -> Decision | None:
    """Return the decision whose way is told: a stopped fraud before others, and with many hits before few."""
    best: tuple[tuple[int, int, int], Decision] | None = None
    for decision in decisions:
        session = shop.payments[decision.event_id].session_id
        if session is None:
            continue
        hits = _foreseen(shop.sessions[session], shown)
        right = truth[decision.event_id] == 1 and decision.action != "approve"
        told = right + (right and hits > 0) + bool(decision.reasons)
        worth = (told, min(hits, _CLICKS_TOLD), decision.event_time)
        if best is None or worth > best[0]:
            best = worth, decision
    return None if best is None else best[1]


def _foreseen(happened: Iterable[Event], shown: Mapping[str, Sequence[str]]) -> int:
    clicks = [each for each in happened if isinstance(each, Click)]
    return sum(after.item_id in shown.get(before.event_id, ()) for before, after in pairwise(clicks))


def _click(
    click: Click, before: Click | None, shown: Mapping[str, Sequence[str]], ledger: Ledger
) -> Iterator[str]:
    rank = 0 if before is None else rank_of(click.item_id, shown.get(before.event_id, ()))
    place = ""
    if before is not None and rank:
        why = ledger.explain(before.event_id).why
        assert why is not None
        place = f", place {rank} of its slate: {why.told.items[rank - 1].text}"
    yield f"  {_at(click.event_time)} clicks {click.item_id}{place}"
    items = shown.get(click.event_id, ())
    more = f" and {len(items) - _ITEMS_TOLD} more" if len(items) > _ITEMS_TOLD else ""
    yield f"             is shown {', '.join(items[:_ITEMS_TOLD]) or 'nothing'}{more}"


def _decided(files: Files, payment: Payment, shop: Shop, truth: Mapping[str, int]) -> Iterator[str]:
    found = Ledger(files.state("fraud")).explain(payment.event_id)
    assert found.decision is not None
    assert found.why is not None
    yield (
        f"  {_at(payment.event_time)} pays {payment.amount:.2f} {payment.currency} to {payment.merchant_id}:"
        f" {found.decision['action']}, score {found.decision['score']:.3f}"
    )
    for reason in found.why.told.reasons:
        added = "" if reason.contribution is None else f"{reason.contribution:+.2f} "
        yield f"             {added}{reason.text or reason.code}"
    outcome = shop.outcomes.get(payment.event_id)
    is_one = "a fraud" if truth[payment.event_id] else "legitimate"
    if outcome is None:
        yield f"  nobody has said yet what it was; in truth it was {is_one}"
    else:
        said = "a fraud" if outcome.label else "legitimate"
        yield f"  {_at(outcome.event_time, '%Y-%m-%d')} it is reported as {said}; in truth it was {is_one}"
    yield f"  headrace explain {payment.event_id} --state {files.state('fraud')}"


# -- all of it


def show(files: Files, console: Console, possible: Ceilings) -> None:
    """Close with both flows week by week, one visitor's story, and where the files are."""
    shop, truth = Shop(_events(files)), read_truth(files.truth)
    console.print(_table(weeks(files, shop, truth, possible)))
    console.print(_LEGEND, markup=False, highlight=False, style="dim")
    console.print()
    for line in story(files, shop, truth):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    console.print(f"\nThe files are in {files.folder}:", highlight=False, markup=False, soft_wrap=True)
    for path in (files.events, files.live, files.truth, files.slates, files.decisions):
        console.print(f"  {path.name}", highlight=False, markup=False)
