"""Charts of a replay as SVG, which a page carries inside itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from headrace.config.printable import html_text
from headrace.replay.intervals import Compared, Interval

__all__ = ["Pair", "bar_chart", "interval_chart", "recall_chart"]

_WIDTH: Final = 640
_LEFT: Final = 190
_RIGHT: Final = 20
_ROW: Final = 44
_PLOT: Final = 260
_TICKS: Final = 5
_SIDES: Final = ("old", "new")


def interval_chart(quality: Mapping[str, Compared], names: Mapping[str, str]) -> str:
    """Measures between 0 and 1 of both sides, with their intervals.

    Parameters
    ----------
    quality
        The measures.
    names
        Which of them are drawn, and what they are called.
    """
    rows = [(said, quality[name]) for name, said in names.items() if name in quality]
    height = _ROW * len(rows) + 24
    parts = list(_share_axis(height - 20))
    for number, (said, compared) in enumerate(rows):
        middle = _ROW * number + _ROW / 2
        parts.append(_text(_LEFT - 10, middle + 4, said, "end"))
        parts += _whisker("old", compared.old, middle - 7)
        parts += _whisker("new", compared.new, middle + 7)
    return _svg(height, parts, "Measures with intervals")


def _share_axis(height: float) -> Iterable[str]:
    for tick in range(_TICKS + 1):
        at = _across(tick / _TICKS)
        yield f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="0" y2="{height:.1f}"/>'
        yield _text(at, height + 16, f"{tick / _TICKS:g}", "middle", "tick")


def _across(share: float) -> float:
    return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)


def _whisker(side: str, interval: Interval, y: float) -> Iterable[str]:
    if interval.value is None:
        return
    if interval.low is not None and interval.high is not None:
        low, high = _across(interval.low), _across(interval.high)
        yield f'<line class="{side}" x1="{low:.1f}" x2="{high:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
    yield f'<circle class="{side}" cx="{_across(interval.value):.1f}" cy="{y:.1f}" r="4"/>'


def recall_chart(curves: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Precision over recall of both sides' scores."""
    parts = list(_share_axis(_PLOT)) + list(_share_levels())
    for side in _SIDES:
        points = " ".join(f"{_across(recall):.1f},{_up(precision):.1f}" for recall, precision in curves[side])
        parts.append(f'<polyline class="{side}" points="{points}"/>')
    parts.append(_text(_across(0.5), _PLOT + 34, "recall", "middle", "tick"))
    return _svg(_PLOT + 40, parts, "Precision over recall")


def _share_levels() -> Iterable[str]:
    for tick in range(_TICKS + 1):
        yield _level(_up(tick / _TICKS), f"{tick / _TICKS:g}")


def _level(y: float, said: str) -> str:
    line = f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
    return line + _text(_LEFT - 10, y + 4, said, "end", "tick")


def _up(share: float) -> float:
    return _PLOT - share * (_PLOT - 10)


class Pair(NamedTuple):
    """What both sides have of one thing, such as a week."""

    name: str
    old: float
    new: float


def bar_chart(pairs: Sequence[Pair], title: str) -> str:
    """Return what both sides have of one thing after the other, beside each other."""
    highest = max((each for pair in pairs for each in (pair.old, pair.new)), default=0.0) or 1.0
    parts = [_level(_up(tick / _TICKS), f"{highest * tick / _TICKS:,.0f}") for tick in range(_TICKS + 1)]
    step = (_WIDTH - _LEFT - _RIGHT) / max(len(pairs), 1)
    every = -(-len(pairs) // 6)
    for number, pair in enumerate(pairs):
        at = _LEFT + step * number
        parts += [_bar("old", at + 0.12 * step, 0.36 * step, pair.old / highest)]
        parts += [_bar("new", at + 0.52 * step, 0.36 * step, pair.new / highest)]
        if not number % every:
            parts.append(_text(at + step / 2, _PLOT + 16, pair.name, "middle", "tick"))
    return _svg(_PLOT + 24, parts, title)


def _bar(side: str, x: float, width: float, share: float) -> str:
    top = _up(share)
    return f'<rect class="{side}" x="{x:.1f}" y="{top:.1f}" width="{width:.1f}" height="{_PLOT - top:.1f}"/>'


def _text(x: float, y: float, said: str, anchor: str, style: str = "name") -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html_text(said)}</text>'


def _svg(height: float, parts: Iterable[str], title: str) -> str:
    return (
        f'<svg role="img" viewBox="0 0 {_WIDTH} {height:.0f}" aria-label="{html_text(title)}">'
        f"<title>{html_text(title)}</title>{''.join(parts)}</svg>"
    )
