"""What tests on topics look for in lines."""

from __future__ import annotations

import orjson

LINES = 3000


def decided(lines: list[bytes]) -> set[str]:
    """Ids of the payments among lines."""
    found = set()
    for line in lines:
        try:
            event = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        if event.get("type") == "payment" and "event_id" in event:
            found.add(event["event_id"])
    return found
