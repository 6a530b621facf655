"""What the ledger says, as text for people and JSON for programs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from headrace.config.paths import path_text
from headrace.config.printable import printable
from headrace.ledger.explained import Cross, Explained, ExplainedLetter, Position, Range
from headrace.ledger.verify import VerifiedShard

__all__ = ["explained_json", "explained_view", "verified_json", "verified_lines", "watching"]

_STYLES: Final = {"approve": "green", "review": "yellow", "block": "red"}
_DONE: Final = {"click": "clicked", "cart": "put into the cart", "order": "ordered"}
_LABELS: Final = {0: "legitimate", 1: "fraud"}
_WIDTH_MAX: Final = 120
_FEATURE_COLUMNS_MAX: Final = 3
_VALUE_WIDTH: Final = 14
_REFRESH_SECONDS: Final = 0.1


# ---------------------------------------------------------------- progress


class _Rate(ProgressColumn):
    """Records a second."""

    def render(self, task: Task) -> Text:
        """Draw it."""
        records, elapsed = task.fields["records"], task.elapsed or 0.0
        return Text(f"{records / elapsed:,.0f} records/s" if elapsed and records else "")


@contextmanager
def watching(console: Console, what: str, total_bytes: int) -> Iterator[Callable[[int, int], None] | None]:
    """Show how far something has come, on a terminal; gives what must be told of bytes and records."""
    if not console.is_terminal:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(30), TextColumn("{task.percentage:>3.0f} %"))
    with Progress(*columns, _Rate(), TimeRemainingColumn(), console=console, transient=True) as progress:
        task = progress.add_task(what, total=total_bytes, records=0)
        done = records = 0
        drawn_s = 0.0

        def tell(more_bytes: int, more_records: int) -> None:
            nonlocal done, records, drawn_s
            done, records, now_s = done + more_bytes, records + more_records, time.monotonic()
            # Called for each portion, many times a second: the terminal need not be redrawn as often.
            if now_s - drawn_s >= _REFRESH_SECONDS:
                drawn_s = now_s
                progress.update(task, completed=done, records=records)

        yield tell


# ---------------------------------------------------------------- explain


def explained_json(found: Explained) -> bytes:
    """Return a decision as indented JSON; missing values are null."""
    return orjson.dumps(asdict(found), option=orjson.OPT_INDENT_2)


def explained_view(found: Explained, width: int) -> RenderableType:
    """Return a decision for a terminal of some width, in columns."""
    width = min(width, _WIDTH_MAX)
    parts: list[RenderableType] = [_title(found)]
    for name, body in _sections(found, width):
        parts += ["", Text(name, style="bold"), Padding(body, (0, 0, 0, 2), expand=False)]
    return Padding(Group(*parts), (0, 0), expand=False)


def _title(found: Explained) -> Text:
    title = Text(printable(found.decision_id), style="bold")
    if found.decision is None:
        return title.append("  erased", style="magenta")
    action = found.decision["action"]
    title.append(f"  {action}", style=f"bold {_STYLES.get(action, '')}")
    if found.decision.get("shadow_action"):
        title.append(f"  (only watching; else {found.decision['shadow_action']})")
    if "score" in found.decision:
        title.append(f"  score {found.decision['score']:.4f}", style="default")
    else:
        title.append(f"  {len(found.items)} items", style="default")
    replaced = found.letter is not None and found.letter.replaced
    marks = ("  retried" * found.retried, "  bytes replaced" * replaced, "  overdue" * found.overdue)
    return title.append("".join(marks), style="magenta")


def _sections(found: Explained, width: int) -> Iterator[tuple[str, RenderableType]]:
    if found.erased:
        yield (
            "Erased",
            Text("Input, decision and features were removed from the ledger; its place and times are left."),
        )
    else:
        # A slate has items where another decision has reasons, contributions and outcomes.
        if "items" not in (found.decision or {}):
            yield "Reasons", _reasons(found)
            yield "Contributions, in log-odds", _contributions(found)
            yield "Features", _features(found.features, width - 2)
        elif found.items:
            yield "Items", _items(found)
        else:
            yield "Reasons for the empty slate", _reasons(found)
        if "items" in (found.decision or {}):
            yield "What the session did next", _followed(found)
        yield "Event", _fields(found.input)
        if found.retried:
            yield "Dead letter before", _letter(found.letter)
        if found.policy is not None:
            yield "Policy", _fields(found.policy)
        if "items" not in (found.decision or {}):
            yield "Outcomes", _outcomes(found)
    yield "When and where", _pairs(_whereabouts(found))
    if found.others:
        yield "Decided before under the same id", _pairs((one.shard, _place(one)) for one in found.others)


def _reasons(found: Explained) -> RenderableType:
    if not found.reasons:
        return Text("none")
    table = _grid("right", "left", "left")
    for reason in found.reasons:
        table.add_row(
            _signed(reason.contribution), reason.code, reason.text or Text("(no text)", style="dim")
        )
    return table


def _items(found: Explained) -> RenderableType:
    table = _grid("right", "left", "right", "left", "left")
    for place, item in enumerate(found.items, 1):
        table.add_row(str(place), item.item_id, f"{item.score:.4f}", item.source, item.text)
    return table


def _contributions(found: Explained) -> RenderableType:
    if found.contributions is None and not found.crosses:
        return Text("none were computed for this decision")
    table, crosses = _grid("right", "left", "left"), {cross.name: cross for cross in found.crosses}
    given = found.contributions or {}
    for name in sorted(given or crosses, key=lambda name: -abs(given.get(name, 0.0))):
        table.add_row(_signed(given.get(name)), name, _ranges(crosses.get(name)))
    if found.base is not None:
        table.add_row(
            _signed(found.base), Text("base", style="dim"), Text("what they are added to", style="dim")
        )
        total = Text("sum, the log-odds of the score", style="dim")
        table.add_row(_signed(found.base + sum(given.values())), "", total)
    return table


def _letter(letter: ExplainedLetter | None) -> RenderableType:
    """Return what a retried input was before."""
    if letter is None:
        return Text("the ledger has it no more; whether its bytes were replaced can't be told")
    bytes_then = letter.payload if letter.replaced else "the same"
    rows = (("reason", letter.reason), ("message", letter.message), ("its bytes", bytes_then))
    return _pairs(rows)


def _ranges(cross: Cross | None) -> Text:
    return Text("; ".join(map(_range, cross.ranges)) if cross else "")


def _range(one: Range) -> str:
    if one.value != one.value:
        return f"{one.bin} missing"
    if one.low is None:
        return f"{one.bin} below {one.high:g}"
    return f"{one.bin} from {one.low:g}" + ("" if one.high is None else f" to {one.high:g}")


def _features(features: dict[str, float], width: int) -> RenderableType:
    """Names and values, in as many columns as there is room for, filled downwards."""
    longest = max(map(len, features), default=0)
    # By the longest name: a column that is cut off would hide which feature it is.
    columns = max(1, min(_FEATURE_COLUMNS_MAX, width // (longest + _VALUE_WIDTH)))
    table, rows = _grid(*("left", "right") * columns), -(-len(features) // columns)
    cells = [(name, _number(value)) for name, value in features.items()]
    for row in range(rows):
        table.add_row(*[cell for pair in cells[row::rows] for cell in pair])
    return table


def _fields(value: Any, name: str = "") -> RenderableType:
    """Plain values, whatever they are, one a line under dotted names."""
    return _pairs(_flat(value, name))


def _flat(value: Any, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for key, one in value.items():
            yield from _flat(one, f"{name}.{printable(key)}" if name else printable(str(key)))
    elif isinstance(value, list) and any(isinstance(one, dict | list) for one in value):
        for place, one in enumerate(value):
            yield from _flat(one, f"{name}[{place}]")
    elif isinstance(value, list):
        yield name, ", ".join(map(_said, value)) or "none"
    else:
        yield name, _said(value)


def _said(value: Any) -> str:
    if isinstance(value, float):
        return _number(value)
    return "-" if value is None else printable(str(value))


def _outcomes(found: Explained) -> RenderableType:
    if not found.outcomes:
        return Text("none so far")
    table = _grid("left", "left", "left")
    for outcome in found.outcomes:
        label = _LABELS.get(outcome.label, str(outcome.label))
        table.add_row(label, _time(outcome.event_time), outcome.event_id)
    return table


def _followed(found: Explained) -> RenderableType:
    if not found.followed:
        return Text("nothing so far, or nothing in time")
    table = _grid("left", "left", "left", "left", "left")
    for each in found.followed:
        place = f"place {each.rank}" if each.rank else "not on the slate"
        table.add_row(_DONE[each.kind], each.item_id, place, _time(each.event_time), each.event_id)
    return table


def _whereabouts(found: Explained) -> Iterator[tuple[str, str]]:
    at, decision = found.position, found.decision
    if decision is not None:
        yield "event time", _time(decision["event_time"])
    yield "accepted", _time(found.accepted_ms)
    waited = found.committed_ms - found.accepted_ms
    yield "committed", f"{_time(found.committed_ms)}, {waited} ms after it was accepted"
    if decision is not None:
        yield "model", decision["model"]
    if found.config is not None:
        learns = "" if found.config.learn else ", without learning"
        yield "configuration", f"{found.config.digest[:12]}, Headrace {found.config.code}{learns}"
    if found.delivered is not None:
        yield "delivered", f"otherwise: {printable(orjson.dumps(found.delivered).decode())}"
    yield "journal", _place(at)
    yield "file", at.file
    yield "sequence", f"{at.sequence}, ordinal {at.ordinal}"
    if at.source is not None:
        yield "source", f"{at.source}, line {at.line}, byte {at.offset}"


def _place(at: Position) -> str:
    return f"{at.shard}, segment {at.segment}, byte {at.byte}, record {at.record}"


def _grid(*justify: Any) -> Table:
    table = Table.grid(padding=(0, 2))
    for one in justify:
        table.add_column(justify=one, overflow="fold")
    return table


def _pairs(pairs: Any) -> Table:
    table = _grid("left", "left")
    for name, value in pairs:
        table.add_row(Text(name, style="dim"), Text(value))
    return table


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.3f}"


def _number(value: float) -> str:
    return "missing" if value != value else f"{value:.6g}"


def _time(ms: int) -> str:
    # Always in UTC, whatever the terminal's zone: what is shown is compared with journals and logs.
    text = datetime.fromtimestamp(ms / 1000, UTC).isoformat(sep=" ", timespec="milliseconds")
    return text.removesuffix("+00:00").removesuffix(".000") + " UTC"


# ---------------------------------------------------------------- verify


def verified_json(state: Path, shards: Sequence[VerifiedShard], missing: str | None) -> bytes:
    """Return what verifying has found, as indented JSON."""
    whole = all(shard.whole for shard in shards) and missing is None
    said = [_shard(shard) for shard in shards]
    found = {"state": path_text(state), "whole": whole, "expected_chain_missing": missing, "shards": said}
    return orjson.dumps(found, option=orjson.OPT_INDENT_2)


def _shard(shard: VerifiedShard) -> dict[str, Any]:
    torn = None if shard.torn is None else shard.torn._asdict()
    return {**asdict(shard), "kinds": dict(sorted(shard.kinds.items())), "torn": torn, "whole": shard.whole}


def verified_lines(shards: Sequence[VerifiedShard]) -> Iterator[str]:
    """Yield what verifying has found, as lines."""
    for shard in shards:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(shard.kinds.items()))
        state = "whole" if shard.whole else "DAMAGED" if shard.damage else "whole up to an interrupted write"
        yield f"{shard.shard}: {state}"
        yield f"  {shard.segments:,} segments, {shard.frames:,} frames, {shard.records:,} records"
        if shard.first_segment > 1:
            yield (
                f"  begins with segment {shard.first_segment}; segments before it, with"
                f" {shard.first_sequence:,} records, are no longer kept"
            )
        unnoted = f", {shard.unnoted:,} of them without a note of it" if shard.unnoted else ""
        yield f"  {kinds or 'no records'}; {shard.erased:,} erased{unnoted}"
        yield f"  next sequence number {shard.sequence}"
        yield f"  chain {shard.chain}"
        if shard.expected is not None:
            at = shard.expected
            yield f"  the expected chain value stands before segment {at.segment}, byte {at.byte}"
            yield f"  and covers {at.sequence:,} records"
