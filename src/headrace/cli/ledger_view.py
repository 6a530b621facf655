"""What the ledger says, as text for people and JSON for programs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Final

import orjson
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from headrace.cli.tones import STYLES
from headrace.config.paths import path_text
from headrace.config.printable import printable
from headrace.ledger.explained import Explained, ExplainedLetter, Position
from headrace.ledger.sections import Aside, Columns, Fields, Section, number_text, time_text
from headrace.ledger.verify import VerifiedShard

__all__ = ["explained_json", "explained_view", "verified_json", "verified_lines", "watching"]

_PLAIN: Final = (
    *("decision_id", "erased", "retried", "overdue", "letter", "decision", "input", "config", "position"),
    *("accepted_ms", "committed_ms", "outcomes", "others", "beside", "delivered"),
)
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
    # What the kind tells stands beside what every decision has, as if it were one object: who reads the JSON
    # asks for `features` or `items`, not for where they come from.
    plain = {name: getattr(found, name) for name in _PLAIN}
    if found.why is not None:
        plain |= {each.name: getattr(found.why.told, each.name) for each in fields(found.why.told)}
    return orjson.dumps(plain, option=orjson.OPT_INDENT_2)


def explained_view(found: Explained, width: int) -> RenderableType:
    """Return a decision for a terminal of some width, in columns."""
    width = min(width, _WIDTH_MAX)
    parts: list[RenderableType] = [_title(found)]
    for name, body in _sections(found, width):
        parts += ["", Text(name, style="bold"), Padding(body, (0, 0, 0, 2), expand=False)]
    return Padding(Group(*parts), (0, 0), expand=False)


def _title(found: Explained) -> Text:
    title = Text(printable(found.decision_id), style="bold")
    if found.decision is None or found.why is None:
        return title.append("  erased", style="magenta")
    action = found.decision["action"]
    title.append(f"  {action}", style=f"bold {STYLES.get(found.tone, '')}")
    if found.decision.get("shadow_action"):
        title.append(f"  (only watching; else {found.decision['shadow_action']})")
    title.append(f"  {found.why.title}", style="default")
    replaced = found.letter is not None and found.letter.replaced
    marks = ("  retried" * found.retried, "  bytes replaced" * replaced, "  overdue" * found.overdue)
    return title.append("".join(marks), style="magenta")


def _sections(found: Explained, width: int) -> Iterator[tuple[str, RenderableType]]:
    if found.why is None:
        yield (
            "Erased",
            Text("Input, decision and features were removed from the ledger; its place and times are left."),
        )
    else:
        yield from ((each.title, _body(each, width)) for each in found.why.before)
        yield "Event", _fields(found.input)
        if found.retried:
            yield "Dead letter before", _letter(found.letter)
        yield from ((each.title, _body(each, width)) for each in found.why.after)
        if found.beside:
            yield "Decided on the same event", Text(printable(", ".join(found.beside)))
    yield "When and where", _pairs(_whereabouts(found))
    if found.others:
        yield "Decided before under the same id", _pairs((one.shard, _place(one)) for one in found.others)


def _body(section: Section, width: int) -> RenderableType:
    body = section.body
    if isinstance(body, Fields):
        return _fields(body.value)
    if isinstance(body, Columns):
        return _columns(body.values, width - 2)
    if isinstance(body, str):
        return Text(body)
    table = _grid(*body.sides)
    for row in body.rows:
        table.add_row(*map(_cell, row))
    return table


def _cell(cell: str | Aside) -> Text:
    return Text(cell.text, style="dim") if isinstance(cell, Aside) else Text(cell)


def _letter(letter: ExplainedLetter | None) -> RenderableType:
    """Return what a retried input was before."""
    if letter is None:
        return Text("the ledger has it no more; whether its bytes were replaced can't be told")
    bytes_then = letter.payload if letter.replaced else "the same"
    rows = (("reason", letter.reason), ("message", letter.message), ("its bytes", bytes_then))
    return _pairs(rows)


def _columns(features: Mapping[str, float], width: int) -> RenderableType:
    """Names and values, in as many columns as there is room for, filled downwards."""
    longest = max(map(len, features), default=0)
    # By the longest name: a column that is cut off would hide which feature it is.
    columns = max(1, min(_FEATURE_COLUMNS_MAX, width // (longest + _VALUE_WIDTH)))
    table, rows = _grid(*("left", "right") * columns), -(-len(features) // columns)
    cells = [(name, number_text(value)) for name, value in features.items()]
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
        return number_text(value)
    return "-" if value is None else printable(str(value))


def _whereabouts(found: Explained) -> Iterator[tuple[str, str]]:
    at, decision = found.position, found.decision
    if decision is not None:
        yield "event time", time_text(decision["event_time"])
    yield "accepted", time_text(found.accepted_ms)
    waited = found.committed_ms - found.accepted_ms
    yield "committed", f"{time_text(found.committed_ms)}, {waited} ms after it was accepted"
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
