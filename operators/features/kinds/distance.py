"""Kilometres from one place to another, or from the last place of an entity."""

from __future__ import annotations

from typing import Any

from ..event_lines import EventLines

__all__ = ["write"]


def write(source: EventLines, f: str, declaration: Any) -> None:
    """Write how it is read, and how the last place moves on."""
    source.object_features.append(f)
    latitude, longitude = map(source.number, declaration.at)
    if declaration.to is not None:
        to = ", ".join(map(source.number, declaration.to))
        source.object_read_lines.append(f"{f} = haversine_km({latitude}, {longitude}, {to})")
        return
    entity, row = declaration.entity, source.rows[declaration.entity]
    last = source.time_column(entity)
    places = [source.column(entity, "d", 0.0) for _ in range(2)]
    at = ", ".join(f"{place}[{row}]" for place in places)
    source.object_read_lines.append(
        f"{f} = haversine_km({latitude}, {longitude}, {at}) if {last}[{row}] else nan"
    )
    source.update(
        declaration,
        [
            # Both or neither (NaN is unequal to itself): half of a new place with half of the old one is
            # nowhere.
            f"if {latitude} == {latitude} and {longitude} == {longitude} and t >= {last}[{row}]:",
            f"    {last}[{row}] = t",
            *(
                f"    {place}[{row}] = {number}"
                for place, number in zip(places, (latitude, longitude), strict=True)
            ),
        ],
    )
