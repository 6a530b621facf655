"""What is true of a network beyond which payments are frauds, as CSV tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np

from ..draws import DAY_S, Ints
from ..texts import rfc3339
from .lines import Flaw, Kind
from .text import LETTERS
from .visits import Manner, Purpose
from .world import COMPROMISED, Named, Network

__all__ = ["FLAW_NAMES", "TRUTH_FILES", "truth_tables"]

TRUTH_FILES: Final = ("frauds.csv", "rings.csv", "bots.csv", "poisoned.csv", "lines.csv", "drifts.csv")
_ROWS_AT_ONCE: Final = 16_384
_FRAUDS: Final = {
    int(Purpose.STOLEN): "stolen",
    int(Purpose.TESTING): "testing",
    int(Purpose.RING): "ring",
    COMPROMISED: "merchant",
}
# A broken line is named by the reason of the dead letter that it must become.
FLAW_NAMES: Final = {
    Flaw.REPEAT: "repeat",
    Flaw.CONFLICT: "conflict",
    Flaw.CUT: "invalid_json",
    Flaw.NOT_UTF8: "invalid_utf8",
    Flaw.NO_TIME: "missing_field",
    Flaw.UNKNOWN_TYPE: "unknown_type",
    Flaw.NUMBER_AS_ID: "invalid_field",
    Flaw.OTHER_CENTURY: "event_time_out_of_range",
}


def truth_tables(network: Network) -> dict[str, Iterator[bytes]]:
    """Return the tables by the names of their files, each as blocks of bytes."""
    tables = (
        _table("event_id,kind,episode,manner", _frauds(network)),
        _table("customer_id,ring", _rings(network)),
        _table("session_id,begins,clicks", _bots(network)),
        _table("event_id,about,label,fraud", _poisoned(network)),
        _table("line,type,event_id,flaw,seconds", _lines(network)),
        _table("kind,begins,ends,size", _drifts(network)),
    )
    return dict(zip(TRUTH_FILES, tables, strict=True))


def _table(header: str, rows: Iterable[str]) -> Iterator[bytes]:
    block = [header]
    for row in rows:
        block.append(row)
        if len(block) >= _ROWS_AT_ONCE:
            yield ("\n".join(block) + "\n").encode()
            block = []
    if block:
        yield ("\n".join(block) + "\n").encode()


def _frauds(network: Network) -> Iterator[str]:
    """Each fraud by time: of which kind and episode, and how the visit was gone about."""
    rows = np.flatnonzero(network.fraud)
    columns = (
        network.payment_ids[rows],
        network.payments.kind[rows],
        network.payments.episode[rows],
        network.visits.manner[network.orders.visit[rows]],
    )
    for number, kind, episode, manner in zip(*(column.tolist() for column in columns), strict=True):
        yield f"p-{number:012x},{_FRAUDS[kind]},{episode},{Manner(manner).name.lower()}"


def _rings(network: Network) -> Iterator[str]:
    """Yield the customers that pay for each ring on the written days."""
    rows = np.flatnonzero(network.payments.kind == Purpose.RING)
    pairs = np.unique(np.stack((network.payments.episode[rows], network.customer[rows])), axis=1)
    for ring, customer in pairs.T.tolist():
        yield f"c-{int(network.customer_ids[customer]):08x},{ring}"


def _bots(network: Network) -> Iterator[str]:
    """Yield the sessions of bots by their begin, with their clicks up to the end of the world."""
    visits = np.flatnonzero(network.visits.purpose == Purpose.BOT)
    clicks = np.bincount(network.clicks.visit, minlength=network.visits.purpose.size)[visits]
    times = network.base_s + network.visits.time_s[visits]
    order = np.argsort(times, kind="stable")
    sessions = network.names[Named.SESSION][visits[order]].tolist()
    for session, when, count in zip(sessions, rfc3339(times[order]), clicks[order].tolist(), strict=True):
        yield f"s-{session:08x},{when},{count}"


def _poisoned(network: Network) -> Iterator[str]:
    """Yield the outcomes with a wrong label, by time, and what is right."""
    reports = network.reports
    rows = np.flatnonzero(network.payments.poisoned[reports.payment])
    rows = rows[np.argsort(reports.time_s[rows], kind="stable")]
    paid = reports.payment[rows]
    columns = (network.names[Named.OUTCOME][rows], network.payment_ids[paid], network.fraud[paid])
    for number, about, fraud in zip(*(column.tolist() for column in columns), strict=True):
        yield f"o-{number:012x},p-{about:012x},{not fraud:d},{fraud:d}"


def _lines(network: Network) -> Iterator[str]:
    """Yield lines that come late, come again, are broken, or have a wrong clock, by number from 1."""
    lines = network.lines
    late_s, off_s = _late_s(network), _off_s(network)
    for index in np.flatnonzero((lines.flaw > 0) | (late_s > 0) | (off_s != 0)).tolist():
        kind, row, flaw = Kind(int(lines.kind[index])), int(lines.row[index]), Flaw(int(lines.flaw[index]))
        event = f"{index + 1},{kind.name.lower()},{LETTERS[kind]}-{int(network.names[kind][row]):012x}"
        if flaw:
            yield f"{event},{FLAW_NAMES[flaw]},"
        elif late_s[index]:
            yield f"{event},late,{late_s[index]}"
        if off_s[index] and flaw < Flaw.CUT:
            yield f"{event},clock,{off_s[index]}"


def _late_s(network: Network) -> Ints:
    """By how much each first line of an event comes late, in seconds."""
    lines = network.lines
    happened = np.empty_like(lines.arrival_s)
    times = (
        network.listings.time_s,
        network.clicks.time_s,
        network.carts.time_s,
        network.base_s + network.orders.time_s,
        network.payments.time_s,
        network.reports.time_s,
    )
    for kind, table in enumerate(times):
        places = lines.kind == kind
        happened[places] = table[lines.row[places]]
    return np.where(lines.flaw == Flaw.NONE, lines.arrival_s - happened, 0)


def _off_s(network: Network) -> Ints:
    """By how much the time that each line says is off, in seconds."""
    lines, off = network.lines, np.zeros_like(network.lines.arrival_s)
    paid = lines.kind == Kind.PAYMENT
    off[paid] = (network.payments.stated_s - network.payments.time_s)[lines.row[paid]]
    return off


def _drifts(network: Network) -> Iterator[str]:
    """When customers or frauds change: sudden and gradual shifts, and each season from low to low."""
    preset = network.preset
    begins_s = network.base_s + preset.warmup_days * DAY_S
    spans = [
        (
            "sudden" if shift.first_day >= shift.end_day else "gradual",
            shift.first_day,
            shift.end_day,
            shift.share,
        )
        for shift in preset.shifts
    ]
    if preset.season is not None:
        period = preset.season.period_days
        count = int(np.ceil(preset.days / period))
        spans += [
            ("season", round(n * period), round((n + 1) * period), preset.season.dearer) for n in range(count)
        ]
    for kind, first, end, size in spans:
        begins, ends = rfc3339(begins_s + np.array([first, end]) * DAY_S)
        yield f"{kind},{begins},{ends},{size}"
