"""What every click costs: the index of sessions, the search for candidates, the ranker, as compiled loops.

A session's clicks lie in chunks of sixteen cells, one line of the cache each, so that reading a neighbour
costs few misses:

======= =======================================================================================
SESSION number of the session; -1 if it was erased
PREV    chunks back to the session's chunk before, 0 for none
NEXT    chunks on to its next one, 0 for none
COUNT   clicks in this chunk
MINUTE  of its newest click
ITEMS   one cell for each click: the item, tagged, with the bits `AGAIN` and `SILENT`
======= =======================================================================================

A posting says that a session met an item for the first time. An item's postings lie in blocks of the same
size, so that a walk over them waits for the memory once for thirteen. Chunks and blocks lie in rings and
point to each other by distances or by numbers that count on, so that nothing is renumbered when a ring comes
round.

======= =======================================================================================
ITEM    the item, tagged
BEFORE  blocks back to the item's block before, 0 for none
FILLED  postings in this block
WHERE   one cell for each posting: number of the chunk, and in the lowest bits the click's place there
======= =======================================================================================

Slots of items are given again. A tagged item is its slot and, above that, a count of how often it was; what
doesn't have the tag that holds is another item's, and isn't read. Others learn nothing from silent clicks.

All kernels are in this one file, with the numbers that are compiled into them, as Numba's cache notices a
change only in the file of the kernel that is called (docs/adr/0005).

References
----------
Kersbergen, Sprangers, Schelter: Serenade: low-latency session-based recommendation in e-commerce at scale.
SIGMOD (2022): neighbours from the newest sessions of the last items.
Garg, Gupta, Malhotra, Vig, Shroff: Sequence and time aware neighborhood for session-based recommendations.
SIGIR (2019): the decays of recent neighbours.
Duchi, Hazan, Singer: Adaptive subgradient methods for online learning and stochastic optimization.
JMLR (2011).
"""

from __future__ import annotations

from math import exp, log, sqrt
from typing import Final, NamedTuple

from ..compiled.kernels import Cells, kernel

__all__ = [
    "ANCHORS",
    "BLOCK",
    "BLOCKS",
    "CHUNK",
    "CHUNKS",
    "ENTRIES_MAX",
    "FEATURES",
    "FEATURE_NAMES",
    "FOUND_MAX",
    "HIDDEN",
    "HOT_COUNT",
    "HOT_MAX",
    "LENGTHS",
    "LINE",
    "LINES",
    "MASKS",
    "PAST_MAX",
    "SOURCES",
    "SOURCE_NAMES",
    "STEPS",
    "STEPS_OF_ONE",
    "TABLE",
    "WEIGHTS",
    "Asked",
    "Index",
    "Ranker",
    "Room",
    "catch_up",
    "erase",
    "learn",
    "order",
    "past_of",
    "rank",
    "search",
    "take",
    "take_order",
]

ITEM, BEFORE, FILLED, WHERE = range(4)
BLOCK: Final = 16
BLOCK_POSTINGS: Final = BLOCK - WHERE
PLACE_BITS: Final = 4
PLACE: Final = (1 << PLACE_BITS) - 1
SESSION, PREV, NEXT_CHUNK, COUNT, MINUTE, ITEMS = range(6)
CHUNK: Final = 16
HELD: Final = CHUNK - ITEMS
SLOT_BITS: Final = 24
SLOT: Final = (1 << SLOT_BITS) - 1
# Six bits: with the slot's 24 and the bits `AGAIN` and `SILENT` a click fills a cell of 32. Only after 64
# uses of a slot could a click that is still held be taken for one on another item.
TAG: Final = 0x3F
TAGGED: Final = 0x3FFF_FFFF
SILENT: Final = 0x4000_0000
AGAIN: Final = 0x8000_0000  # taken from the cell, so that it is negative
NUMBER: Final = 0x07FF_FFFF  # numbers of chunks are kept up to this, and then from 0 on

# A line of an order: the item, its place, how many lines, lines back to the item's line before.
LINE_ITEM, LINE_PLACE, LINE_COUNT, LINE_BEFORE = range(4)
LINE: Final = 4

# Cells of `Index.head`.
BLOCKS, CHUNKS, LINES, UNIT_AT_MS, HOT_COUNT, HOT_TAKEN, HOTTEST_COUNT = range(7)

# Sources of candidates, and what each is called in decisions.
NEIGHBOURS, RECENT, NEXT, LATER, OWN, BOUGHT, TRENDING = range(7)
SOURCE_NAMES: Final = (
    "neighbours",
    "recent_neighbours",
    "next_clicks",
    "later_clicks",
    "session",
    "bought_together",
    "trending",
)
SOURCES: Final = 7

ANCHORS: Final = 6  # items at a session's end that find neighbours
MASKS: Final = 1 << ANCHORS
PAST_MAX: Final = 128  # clicks of the session, and then items of earlier ones, that are looked at
OWN_MAX: Final = 12  # items of the session that are candidates themselves
LINES_MAX: Final = 50  # of an item's orders
TABLE: Final = 16_384  # a power of two; of sessions that postings lead to
ENTRIES_MAX: Final = 8192
FOUND_MAX: Final = 16_384
STEPS: Final = 24  # clicks of a neighbour, in each direction
EXCLUDED: Final = 128  # the highest bit of `Index.gone`: for the time of one search
FORCED: Final = 1e6  # among the candidates in any case
AGE_MINUTES: Final = 14_400.0  # after which a neighbour counts half
HOT_MAX: Final = 256
HOTTEST: Final = 24
# The hottest items change slowly, and finding them anew reads all hot ones.
HOTTEST_EVERY_CLICKS: Final = 32
# Far below the largest float (1.8e308), so that heat, a sum of units, can't overflow before it is scaled
# back.
UNIT_MAX: Final = 1e100

# Columns of candidates: first some for each of these sources, and then what no source says alone.
DESCRIBED: Final = (NEIGHBOURS, RECENT, NEXT, LATER, BOUGHT)
OF_MOST, OF_ALL = range(2)
OF_SOURCE: Final = 2
(
    FEATURE_HEAT,
    FEATURE_CLICKS,
    FEATURE_RARE,
    FEATURE_OWN,
    FEATURE_OWN_NEAR,
    FEATURE_OWN_NEARER,
    FEATURE_OWN_TIMES,
    FEATURE_OWN_LAST,
    FEATURE_GUESS,
    FEATURE_NEW_NEIGHBOURS,
    FEATURE_NEW_NEXT_CLICKS,
    FEATURE_OWN_RETURNS,
    FEATURE_OWN_NO_RETURNS,
    FEATURE_LENGTH,
    FEATURE_RETURNS,
    FEATURE_NEXT_CLICKS_FEW,
    FEATURE_NEXT_CLICKS_WHOLE,
    FEATURE_OWN_BEFORE_LAST,
    FEATURE_NEW,
    FEATURE_OWN_LENGTH,
) = range(10, 30)
FEATURES: Final = 30
FEATURE_NAMES: Final = (
    *(f"{SOURCE_NAMES[source]}_{what}" for source in DESCRIBED for what in ("of_most", "of_all")),
    "heat",
    "clicks",
    "rare",
    "own",
    "own_near",
    "own_nearer",
    "own_times",
    "own_last",
    "guess",
    "new_neighbours",
    "new_next_clicks",
    "own_returns",
    "own_no_returns",
    "length",
    "returns",
    "next_clicks_few",
    "next_clicks_whole",
    "own_before_last",
    "new",
    "own_length",
)
"""What the columns of candidates are, each from 0 to 1."""

HIDDEN: Final = 16
LENGTHS: Final = 4  # classes of sessions by their different items
STEPS_OF_ONE: Final = 250  # features are kept in so many steps of 0 to 1
WEIGHTS: Final = FEATURES + FEATURES * HIDDEN + 2 * HIDDEN
# Most candidates get next to no share; leaving their gradients out spares most of what learning costs.
LEAST_ERROR: Final = 1e-5
RATE: Final = 0.1
NEW_WEIGHT: Final = 1.5  # a click on an item new to its session teaches so much more than a return


class Index(NamedTuple):
    """Sessions, items and orders; each array as long as its limit."""

    blocks: Cells
    chunks: Cells
    orders: Cells
    head: Cells
    last: Cells  # of a live session: 1 + number of its newest chunk; 0 for none
    number: Cells  # of a live session
    newest: Cells  # of an item: 1 + number of its newest block; 0 for none
    bought: Cells  # of an item: 1 + number of its newest order line; 0 for none
    heat: Cells  # of an item: its clicks, each in the unit of its time
    clicks: Cells  # of an item
    tag: Cells  # of an item
    gone: Cells  # of an item: reasons against showing it, a bit each
    mark: Cells  # of an item: 1 + its place in a search; 0 outside of one
    unit: Cells  # what a click counts now, and how many clicks count in all
    hot: Cells
    hottest: Cells


class Room(NamedTuple):
    """Room for one search, and tables that it reads."""

    table: Cells
    used: Cells
    key: Cells
    mask: Cells
    chunk: Cells
    place: Cells
    anchor: Cells
    ordered: Cells
    bucket: Cells
    item: Cells
    weight: Cells
    support: Cells
    through: Cells
    past: Cells
    distance: Cells
    times: Cells
    guess: Cells
    wanted: Cells
    moved: Cells
    chosen: Cells
    top: Cells
    sims: Cells
    sims_order: Cells
    decay: Cells  # by place in the session
    near: Cells  # by distance in a neighbour
    later: Cells
    blend: Cells  # of the first guess, by source
    out_place: Cells
    out_score: Cells
    out_source: Cells
    out_anchor: Cells
    out_support: Cells


class Asked(NamedTuple):
    """What a slate is asked for.

    `Room.past` holds `past` items of the session, and after them, up to `anchored`, items of earlier ones.
    Candidates and their features are written into `items` and `features`, from the row `first` on.
    """

    live: int
    past: int
    anchored: int
    excluded: Cells
    postings_max: int
    neighbours_max: int
    candidates_max: int
    items: Cells
    first: int
    features: Cells


class Ranker(NamedTuple):
    """Weights with the sums of their squared gradients, and room."""

    linear: Cells  # a row of FEATURES for all sessions, and one for each class of length
    linear_squares: Cells
    inner: Cells  # FEATURES rows of HIDDEN
    inner_squares: Cells
    bias: Cells
    bias_squares: Cells
    outer: Cells
    outer_squares: Cells
    active: Cells
    gradient: Cells
    share: Cells


# -- the index


@kernel
def _newest_chunk(chunks: Cells, taken: int, last: int) -> int:
    """Return the number of a session's newest chunk, from `Index.last`; -1 if there is none any more."""
    newest = last - 1
    # A chunk that the ring has overwritten is older than the ring is long; its number alone tells that.
    return newest if newest >= 0 and taken - newest <= len(chunks) // CHUNK else -1


@kernel
def _chunk_before(chunks: Cells, taken: int, number: int) -> int:
    """Return the number of the chunk before in the same session; -1 if there is none any more."""
    capacity = len(chunks) // CHUNK
    back = chunks[(number % capacity) * CHUNK + PREV]
    return number - back if back > 0 and taken - (number - back) <= capacity else -1


@kernel
def take(index: Index, item: int, live: int, time_ms: int, silent: bool, half_life_ms: float) -> None:
    """Append a click; a silent one moves nothing but its own session."""
    chunks = index.chunks
    tagged = item | (index.tag[item] << SLOT_BITS)
    # Before a chunk is begun: that may overwrite the oldest one, which could be this session's own.
    again = _has_met(index, live, tagged)
    at = _chunk_for(index, live)
    place = chunks[at + COUNT]
    value = tagged
    if silent:
        value |= SILENT
    if again:
        value -= AGAIN
    chunks[at + ITEMS + place] = value
    chunks[at + COUNT] = place + 1
    # In minutes, as milliseconds don't fit into a cell.
    chunks[at + MINUTE] = min(max(time_ms // 60_000, 0), 0x7FFF_FFFF)
    if not silent:
        if not again:
            _post(index, item, index.last[live] - 1, place)
        _warm(index, item, time_ms, half_life_ms)


@kernel
def _post(index: Index, item: int, chunk: int, place: int) -> None:
    """Append a posting: from now on others find the session by the item."""
    blocks, head = index.blocks, index.head
    capacity = len(blocks) // BLOCK
    tagged = item | (index.tag[item] << SLOT_BITS)
    newest = index.newest[item] - 1
    at = (newest % capacity) * BLOCK
    age = head[BLOCKS] - newest
    known = newest >= 0 and age <= capacity and blocks[at + ITEM] == tagged
    # A block that is half as old as it can get is left as it is, so that what is added now stays long enough.
    if not known or blocks[at + FILLED] == BLOCK_POSTINGS or 2 * age > capacity:
        number = head[BLOCKS]
        at = (number % capacity) * BLOCK
        blocks[at + ITEM] = tagged
        blocks[at + BEFORE] = number - newest if known and number - newest < capacity else 0
        blocks[at + FILLED] = 0
        index.newest[item] = number + 1
        head[BLOCKS] = number + 1
    blocks[at + WHERE + blocks[at + FILLED]] = (chunk & NUMBER) << PLACE_BITS | place
    blocks[at + FILLED] += 1


@kernel
def catch_up(index: Index, item: int, live: int, time_ms: int, half_life_ms: float) -> bool:
    """Let others learn from the session's newest silent click on an item after all; whether there was one."""
    chunks, taken = index.chunks, index.head[CHUNKS]
    capacity = len(chunks) // CHUNK
    tagged = item | (index.tag[item] << SLOT_BITS)
    again = _has_met(index, live, tagged)
    each = _newest_chunk(chunks, taken, index.last[live])
    while each >= 0:
        at = (each % capacity) * CHUNK
        for place in range(chunks[at + COUNT] - 1, -1, -1):
            # The newest one alone: each call makes one click count.
            if chunks[at + ITEMS + place] & (TAGGED | SILENT) == tagged | SILENT:
                chunks[at + ITEMS + place] = tagged - AGAIN if again else tagged
                if not again:
                    _post(index, item, each, place)
                _warm(index, item, time_ms, half_life_ms)
                return True
        each = _chunk_before(chunks, taken, each)
    return False


@kernel
def _chunk_for(index: Index, live: int) -> int:
    """Where the session's chunk with room for one more click begins."""
    chunks, head, last = index.chunks, index.head, index.last
    capacity = len(chunks) // CHUNK
    number = head[CHUNKS]
    newest = _newest_chunk(chunks, number, last[live])
    at = (newest % capacity) * CHUNK
    if newest >= 0 and chunks[at + COUNT] < HELD:
        return int(at)
    back = number - newest if newest >= 0 and number - newest < capacity else 0
    if back > 0:
        chunks[at + NEXT_CHUNK] = back
    at = (number % capacity) * CHUNK
    for cell in range(at, at + CHUNK):
        chunks[cell] = 0
    chunks[at + SESSION] = index.number[live]
    chunks[at + PREV] = back
    last[live] = number + 1
    head[CHUNKS] = number + 1
    return int(at)


@kernel
def _has_met(index: Index, live: int, tagged: int) -> bool:
    """Whether others learned already that the session met the item."""
    chunks, taken = index.chunks, index.head[CHUNKS]
    capacity = len(chunks) // CHUNK
    each = _newest_chunk(chunks, taken, index.last[live])
    looked_at = 0
    # Bounded, as the sessions of bots have no end: an item from further back is posted once more, which costs
    # a posting.
    while each >= 0 and looked_at < PAST_MAX:
        at = (each % capacity) * CHUNK
        for cell in range(at + ITEMS, at + ITEMS + chunks[at + COUNT]):
            if chunks[cell] & (TAGGED | SILENT) == tagged:
                return True
        looked_at += HELD
        each = _chunk_before(chunks, taken, each)
    return False


@kernel
def erase(index: Index, live: int) -> None:
    """Take a session's clicks out of what others learn from."""
    chunks, taken = index.chunks, index.head[CHUNKS]
    capacity = len(chunks) // CHUNK
    each = _newest_chunk(chunks, taken, index.last[live])
    while each >= 0:
        at = (each % capacity) * CHUNK
        each = _chunk_before(chunks, taken, each)
        for cell in range(at, at + CHUNK):
            chunks[cell] = 0
        chunks[at + SESSION] = -1


@kernel
def take_order(index: Index, items: Cells, count: int) -> None:
    """Append the lines of an order, each item once."""
    orders, head, bought = index.orders, index.head, index.bought
    capacity = len(orders) // LINE
    for place in range(count):
        number, item = head[LINES], items[place]
        line = bought[item] - 1
        at = (number % capacity) * LINE
        orders[at + LINE_ITEM] = item | (index.tag[item] << SLOT_BITS)
        orders[at + LINE_PLACE] = place
        # Place and count make an order readable from any of its lines, without an index of orders.
        orders[at + LINE_COUNT] = count
        orders[at + LINE_BEFORE] = number - line if line >= 0 and number - line < capacity else 0
        bought[item] = number + 1
        head[LINES] = number + 1


@kernel
def _warm(index: Index, item: int, time_ms: int, half_life_ms: float) -> None:
    """Count a click for what is trending: it's not the old ones that count less, but the new ones more."""
    head, unit, heat = index.head, index.unit, index.heat
    # Late clicks count as those of now; time never goes back here, or units would shrink again.
    if time_ms > head[UNIT_AT_MS]:
        if head[UNIT_AT_MS] > 0:
            grown = 2.0 ** min((time_ms - head[UNIT_AT_MS]) / half_life_ms, 100.0)
            # An old click's weight halves by doubling what a new one counts: one number changes in place of
            # every item's heat.
            unit[0] *= grown
            unit[1] /= grown
        head[UNIT_AT_MS] = time_ms
        if unit[0] > UNIT_MAX:
            for each in range(len(heat)):
                heat[each] /= unit[0]
            unit[0] = 1.0
    heat[item] += unit[0]
    unit[1] += 1.0
    index.clicks[item] += 1
    _keep_hot(index, item)
    if head[HOTTEST_COUNT] < HOTTEST or head[HOT_TAKEN] % HOTTEST_EVERY_CLICKS == 0:
        _note_hottest(index)
    head[HOT_TAKEN] += 1


@kernel
def _keep_hot(index: Index, item: int) -> None:
    """Let an item that is hot be among the hot ones; the coldest of them makes room."""
    hot, heat, count = index.hot, index.heat, index.head[HOT_COUNT]
    for place in range(count):
        if hot[place] == item:
            return
    if count < HOT_MAX:
        hot[count] = item
        index.head[HOT_COUNT] = count + 1
        return
    coldest = 0
    for place in range(1, count):
        if heat[hot[place]] < heat[hot[coldest]]:
            coldest = place
    if heat[item] > heat[hot[coldest]]:
        hot[coldest] = item


@kernel
def _note_hottest(index: Index) -> None:
    hot, heat, hottest = index.hot, index.heat, index.hottest
    count = 0
    for place in range(index.head[HOT_COUNT]):
        item = hot[place]
        if (
            index.gone[item]
            or heat[item] <= 0.0
            or (count == HOTTEST and heat[item] <= heat[hottest[count - 1]])
        ):
            continue
        if count < HOTTEST:
            count += 1
        at = count - 1
        while at > 0 and heat[hottest[at - 1]] < heat[item]:
            hottest[at] = hottest[at - 1]
            at -= 1
        hottest[at] = item
    index.head[HOTTEST_COUNT] = count


@kernel
def past_of(
    chunks: Cells,
    head: Cells,
    last: Cells,
    tag: Cells,
    past: Cells,
    distances: Cells,
    times: Cells,
    live: int,
    clicks_max: int,
) -> int:
    """Put the session's different items into `past`, the newest first, and say how many."""
    taken, capacity = head[CHUNKS], len(chunks) // CHUNK
    each = _newest_chunk(chunks, taken, last[live])
    count = 0
    distance = 0
    while each >= 0:
        at = (each % capacity) * CHUNK
        for cell in range(at + ITEMS + chunks[at + COUNT] - 1, at + ITEMS - 1, -1):
            if distance == clicks_max:
                return count
            tagged = chunks[cell] & TAGGED
            item = tagged & SLOT
            if tag[item] == tagged >> SLOT_BITS:
                place = 0
                # A linear search: some dozens of items at most, in one or two lines of the cache.
                while place < count and past[place] != item:
                    place += 1
                if place == count:
                    past[count] = item
                    distances[count] = distance
                    times[count] = 0
                    count += 1
                times[place] += 1
            distance += 1
        each = _chunk_before(chunks, taken, each)
    return count


# -- the search


# These three are called for each click of each neighbour, so they get the few arrays that they need: a call
# with a whole `Room` would copy it.


@kernel
def _place_of(
    mark: Cells,
    gone: Cells,
    tag: Cells,
    items: Cells,
    weight: Cells,
    support: Cells,
    through: Cells,
    found: int,
    tagged: int,
) -> int:
    """Return the item's place in the search, which is `found` if it is new there.

    -1 if it may not be shown.
    """
    item = tagged & SLOT
    if tag[item] != tagged >> SLOT_BITS:
        return -1
    # A cell for each item: one that was found before costs a read, and a search leaves all of them as they
    # were.
    place = mark[item] - 1
    if place >= 0:
        return int(place)
    if found == FOUND_MAX or gone[item]:
        return -1
    mark[item] = found + 1
    items[found] = item
    for cell in range(found * SOURCES, (found + 1) * SOURCES):
        weight[cell] = 0.0
        support[cell] = 0
        through[cell] = -1
    return found


@kernel
def _speak(weight: Cells, support: Cells, through: Cells, cell: int, value: float, anchor: int) -> None:
    """Let a source speak for an item."""
    weight[cell] += value
    support[cell] += 1
    if through[cell] < 0:
        through[cell] = anchor


@kernel
def _hear(
    mark: Cells,
    gone: Cells,
    tag: Cells,
    items: Cells,
    weight: Cells,
    support: Cells,
    through: Cells,
    found: int,
    tagged: int,
    source: int,
    value: float,
    anchor: int,
) -> int:
    """Let one source speak for an item that may be shown; how many items are found by then."""
    place = _place_of(mark, gone, tag, items, weight, support, through, found, tagged)
    if place < 0:
        return found
    _speak(weight, support, through, place * SOURCES + source, value, anchor)
    return max(found, place + 1)


@kernel
def _age(then: int, now: int) -> float:
    """Return what is left of the weight of something as old, in minutes."""
    return 1.0 / (1.0 + max(now - then, 0) / AGE_MINUTES)


@kernel
def _follow_postings(
    index: Index, room: Room, found: int, own: int, anchors: int, now: int, postings_max: int
) -> tuple[int, int]:
    """Find the sessions that met the last items, with what they clicked next; how many items and sessions."""
    blocks, chunks, tag = index.blocks, index.chunks, index.tag
    taken, chunks_taken = index.head[BLOCKS], index.head[CHUNKS]
    table, key, mask = room.table, room.key, room.mask
    marks, gone, items = index.mark, index.gone, room.item
    weight, support, through = room.weight, room.support, room.through
    capacity, chunks_max = len(blocks) // BLOCK, len(chunks) // CHUNK
    entries = 0
    for anchor in range(anchors):
        item = room.past[anchor]
        tagged = item | (tag[item] << SLOT_BITS)
        # Half as many for each two places back: what was clicked last says most, and the sum bounds a slate's
        # work.
        left = max(postings_max >> (anchor // 2), 1)
        each = index.newest[item] - 1
        while left > 0 and each >= 0 and taken - each <= capacity:
            row = (each % capacity) * BLOCK
            if blocks[row + ITEM] != tagged:
                break
            for posting in range(blocks[row + FILLED] - 1, -1, -1):
                if left == 0:
                    break
                left -= 1
                where = blocks[row + WHERE + posting]
                age = (chunks_taken - (where >> PLACE_BITS)) & NUMBER
                place = where & PLACE
                at = ((chunks_taken - age) % chunks_max) * CHUNK
                session = chunks[at + SESSION]
                # Overwritten since, erased, or the session that asks, which must not be its own neighbour.
                if age > chunks_max or session < 0 or session == own:
                    continue
                # Open addressing by the number's lowest bits: numbers count up, so recent sessions hardly
                # ever collide.
                cell = session & (TABLE - 1)
                while table[cell] >= 0 and key[table[cell]] != session:
                    cell = (cell + 1) & (TABLE - 1)
                entry = table[cell]
                if entry >= 0:
                    mask[entry] |= 1 << anchor
                # Half of the table at most, so that searches in it stay short. What is left out is older, or
                # shares an item from further back only.
                elif entries < ENTRIES_MAX:
                    table[cell] = entries
                    room.used[entries] = cell
                    key[entries] = session
                    mask[entries] = 1 << anchor
                    room.chunk[entries] = chunks_taken - age
                    room.place[entries] = place
                    room.anchor[entries] = anchor
                    entries += 1
                other = -1
                if place + 1 < chunks[at + COUNT]:
                    other = chunks[at + ITEMS + place + 1]
                elif chunks[at + NEXT_CHUNK] > 0:
                    following = chunks_taken - age + chunks[at + NEXT_CHUNK]
                    other = chunks[(following % chunks_max) * CHUNK + ITEMS]
                if other == -1 or other & SILENT:
                    continue
                value = room.decay[anchor] * _age(chunks[at + MINUTE], now)
                found = _hear(
                    marks,
                    gone,
                    tag,
                    items,
                    weight,
                    support,
                    through,
                    found,
                    other & TAGGED,
                    NEXT,
                    value,
                    item,
                )
            if blocks[row + BEFORE] == 0:
                break
            each -= blocks[row + BEFORE]
    for entry in range(entries):
        # Emptied by what was used: clearing the whole table would cost more than the search.
        table[room.used[entry]] = -1
    return found, entries


@kernel
def _nearest(room: Room, entries: int) -> None:
    """Order the sessions by their similarity: as it only depends on what they share, by counting."""
    bucket, mask = room.bucket, room.mask
    for each in range(MASKS):
        bucket[each] = 0
    for entry in range(entries):
        bucket[mask[entry]] += 1
    begin = 0
    for rank in range(MASKS):
        # Only 64 similarities exist, one for each set of shared anchors, so a counting sort orders thousands
        # of sessions in two passes; equal ones keep their order.
        each = room.sims_order[rank]
        size = bucket[each]
        bucket[each] = begin
        begin += size
    for entry in range(entries):
        room.ordered[bucket[mask[entry]]] = entry
        bucket[mask[entry]] += 1


@kernel
def _hear_neighbours(index: Index, room: Room, found: int, neighbours: int, now: int) -> int:
    """Let the nearest sessions speak for their items, from the click on that they share, on and back."""
    chunks, tag, taken = index.chunks, index.tag, index.head[CHUNKS]
    marks, gone, items = index.mark, index.gone, room.item
    weight, support, through = room.weight, room.support, room.through
    chunks_max = len(chunks) // CHUNK
    for rank in range(neighbours):
        entry = room.ordered[rank]
        start, first = room.chunk[entry], room.anchor[entry]
        anchor = room.past[first]
        similar = room.sims[room.mask[entry]]
        plain = similar * max(1.0 - 0.1 * (first + 1), 0.0)
        recent = similar * _age(chunks[(start % chunks_max) * CHUNK + MINUTE], now)
        # From where the sessions met, as what was clicked near it says most; the bound keeps a bot's endless
        # session from being read to its end.
        for direction in (1, -1):
            each = start
            at = (each % chunks_max) * CHUNK
            step = room.place[entry] if direction > 0 else room.place[entry] - 1
            distance = 0 if direction > 0 else 1
            while distance < STEPS:
                if step < 0:
                    each = _chunk_before(chunks, taken, each)
                    if each < 0:
                        break
                    at = (each % chunks_max) * CHUNK
                    step = chunks[at + COUNT] - 1
                elif step >= chunks[at + COUNT]:
                    if chunks[at + NEXT_CHUNK] == 0:
                        break
                    each += chunks[at + NEXT_CHUNK]
                    at = (each % chunks_max) * CHUNK
                    step = 0
                value = chunks[at + ITEMS + step]
                if 0 <= value < SILENT:  # neither again nor silent
                    place = _place_of(marks, gone, tag, items, weight, support, through, found, value)
                    if place >= 0:
                        found = max(found, place + 1)
                        cell = place * SOURCES
                        _speak(weight, support, through, cell + NEIGHBOURS, plain, anchor)
                        _speak(weight, support, through, cell + RECENT, recent * room.near[distance], anchor)
                        if direction > 0 and distance > 0:
                            _speak(
                                weight, support, through, cell + LATER, recent * room.later[distance], anchor
                            )
                step += direction
                distance += 1
    return found


@kernel
def _follow_orders(index: Index, room: Room, found: int, places: int) -> int:
    """Find what orders had together with the session's items."""
    orders, taken, tag = index.orders, index.head[LINES], index.tag
    marks, gone, items = index.mark, index.gone, room.item
    weight, support, through = room.weight, room.support, room.through
    capacity = len(orders) // LINE
    for own in range(places):
        item = room.past[own]
        tagged = item | (tag[item] << SLOT_BITS)
        each = index.bought[item] - 1
        for _ in range(LINES_MAX):
            if each < 0 or taken - each > capacity:
                break
            at = (each % capacity) * LINE
            if orders[at + LINE_ITEM] != tagged:
                break
            first = each - orders[at + LINE_PLACE]
            for line in range(first, first + orders[at + LINE_COUNT]):
                if line == each or line >= taken or taken - line > capacity:
                    continue
                other = orders[(line % capacity) * LINE + LINE_ITEM]
                value = room.decay[own]
                found = _hear(
                    marks, gone, tag, items, weight, support, through, found, other, BOUGHT, value, item
                )
            step = orders[at + LINE_BEFORE]
            if step == 0:
                break
            each -= step
    return found


@kernel
def _find(index: Index, room: Room, live: int, anchored: int, postings_max: int, neighbours_max: int) -> int:
    """Find what the sources speak for; how many items."""
    marks, gone, tag, items = index.mark, index.gone, index.tag, room.item
    weight, support, through = room.weight, room.support, room.through
    chunks, newest = index.chunks, _newest_chunk(index.chunks, index.head[CHUNKS], index.last[live])
    now = chunks[(newest % (len(chunks) // CHUNK)) * CHUNK + MINUTE] if newest >= 0 else 0
    anchors = min(anchored, ANCHORS)
    found, entries = _follow_postings(index, room, 0, index.number[live], anchors, now, postings_max)
    _nearest(room, entries)
    found = _hear_neighbours(index, room, found, min(entries, neighbours_max), now)
    found = _follow_orders(index, room, found, min(anchored, OWN_MAX))
    for own in range(min(anchored, OWN_MAX)):
        item = room.past[own]
        tagged = item | (tag[item] << SLOT_BITS)
        value = room.decay[own]
        found = _hear(marks, gone, tag, items, weight, support, through, found, tagged, OWN, value, item)
    for hot in range(index.head[HOTTEST_COUNT]):
        item = index.hottest[hot]
        tagged = item | (tag[item] << SLOT_BITS)
        value = index.heat[item] / index.unit[0]
        found = _hear(marks, gone, tag, items, weight, support, through, found, tagged, TRENDING, value, -1)
    return found


@kernel
def _guess(room: Room, found: int) -> None:
    """Put what was found in a first order: shares of each source's largest weight, blended."""
    weight, top, guess, wanted = room.weight, room.top, room.guess, room.wanted
    for source in range(SOURCES):
        most = 0.0
        total = 0.0
        for cell in range(source, found * SOURCES, SOURCES):
            total += weight[cell]
            most = max(most, weight[cell])
        top[source] = most
        top[SOURCES + source] = total
    for place in range(found):
        cell = place * SOURCES
        summed = 0.0
        for source in range(SOURCES):
            if top[source] > 0.0:
                summed += room.blend[source] * weight[cell + source] / top[source]
        forced = weight[cell + OWN] > 0.0 or weight[cell + TRENDING] > 0.0
        guess[place] = summed
        # The session's own items and hot ones are few; the ranker is to see them whatever the others say.
        wanted[place] = summed + (FORCED if forced else 0.0)


@kernel
def _choose(room: Room, found: int, candidates_max: int) -> int:
    """Put the places of the best guesses into `room.chosen`; of equal ones the one that was found first."""
    chosen, wanted, moved = room.chosen, room.wanted, room.moved
    if found <= candidates_max:
        for place in range(found):
            chosen[place] = place
        return found
    for place in range(found):
        moved[place] = wanted[place]
    # Only which ones are wanted matters, and not their order: selection takes linear time, and the ranker
    # sorts later.
    limit = _kth_largest(moved, found, candidates_max)
    equal = candidates_max
    for place in range(found):
        equal -= 1 if wanted[place] > limit else 0
    count = 0
    for place in range(found):
        value = wanted[place]
        if value > limit or (value == limit and equal > 0):
            equal -= 1 if value == limit else 0
            chosen[count] = place
            count += 1
    return count


@kernel
def _kth_largest(values: Cells, count: int, k: int) -> float:
    """Return the k-th largest of the first values, which are moved about.

    The algorithm is Hoare's (Algorithm 65: find. CACM 1961).
    """
    low, high, wanted = 0, count - 1, k - 1
    while low < high:
        pivot = values[(low + high) // 2]
        left, right = low, high
        while left <= right:
            while values[left] > pivot:
                left += 1
            while values[right] < pivot:
                right -= 1
            if left <= right:
                kept = values[left]
                values[left] = values[right]
                values[right] = kept
                left += 1
                right -= 1
        if wanted <= right:
            high = right
        elif wanted >= left:
            low = left
        else:
            break
    return float(values[wanted])


# -- the ranker


@kernel
def _step(value: float) -> int:
    """Return a feature of 0 to 1 as it is kept."""
    return int(min(value, 1.0) * STEPS_OF_ONE + 0.5)


@kernel
def _describe(
    index: Index, room: Room, count: int, past: int, items: Cells, first: int, features: Cells
) -> None:
    """Fill in the features of the candidates, a row each, from the row `first` on."""
    weight, top = room.weight, room.top
    best = 1e-9
    clicks = 0
    for place in range(past):
        clicks += room.times[place]
    returns = (clicks - past) / max(clicks, 1)
    length = min(past, 10) / 10.0
    for place in range(count):
        best = max(best, room.guess[room.chosen[place]])
    for place in range(count):
        at = room.chosen[place]
        item = room.item[at]
        cell = at * SOURCES
        items[first + place] = item | (index.tag[item] << SLOT_BITS)
        own = 0.0
        distance = 0
        times = 0
        for each in range(past):
            if room.past[each] == item:
                own = 1.0
                distance = room.distance[each]
                times = room.times[each]
                break
        row = (first + place) * FEATURES
        out = row
        for source in DESCRIBED:
            share = 0.0
            whole = 0.0
            if top[source] > 0.0:
                share = weight[cell + source] / top[source]
                whole = weight[cell + source] / top[SOURCES + source]
            features[out + OF_MOST] = _step(share)
            # Divided by log(1001), so that the whole is about 1; shares of a thousandth still make a step.
            features[out + OF_ALL] = _step(log(1.0 + 1000.0 * whole) / 6.908754779)
            out += OF_SOURCE
        # A session's own clicks don't make its items popular.
        heat = max(index.heat[item] / index.unit[0] - times, 0.0) / max(index.unit[1], 1.0)
        others = max(index.clicks[item] - times, 0)
        new = 1.0 - own
        # Likewise by log(10,001), as even a popular item has a small share of all clicks.
        features[row + FEATURE_HEAT] = _step(log(1.0 + 10_000.0 * heat) / 9.210440367)
        features[row + FEATURE_CLICKS] = _step(log(1.0 + others) / 10.0)
        features[row + FEATURE_RARE] = _step(1.0 / (1.0 + others))
        features[row + FEATURE_OWN] = _step(own)
        features[row + FEATURE_OWN_NEAR] = _step(own / (1.0 + distance))
        features[row + FEATURE_OWN_NEARER] = _step(own * exp(-distance / 4.0))
        features[row + FEATURE_OWN_TIMES] = _step(min(times, 4) / 4.0)
        features[row + FEATURE_OWN_LAST] = _step(own if distance == 0 else 0.0)
        features[row + FEATURE_GUESS] = _step(room.guess[at] / best)
        features[row + FEATURE_NEW_NEIGHBOURS] = _step(
            new * weight[cell + NEIGHBOURS] / max(top[NEIGHBOURS], 1e-12)
        )
        features[row + FEATURE_NEW_NEXT_CLICKS] = _step(new * weight[cell + NEXT] / max(top[NEXT], 1e-12))
        features[row + FEATURE_OWN_RETURNS] = _step(own * returns)
        features[row + FEATURE_OWN_NO_RETURNS] = _step(own if clicks == past else 0.0)
        features[row + FEATURE_LENGTH] = _step(length)
        features[row + FEATURE_RETURNS] = _step(returns)
        features[row + FEATURE_NEXT_CLICKS_FEW] = _step(1.0 if 0.0 < top[SOURCES + NEXT] < 3.0 else 0.0)
        features[row + FEATURE_NEXT_CLICKS_WHOLE] = _step(log(1.0 + top[SOURCES + NEXT]) / 5.0)
        features[row + FEATURE_OWN_BEFORE_LAST] = _step(own if distance == 1 else 0.0)
        features[row + FEATURE_NEW] = _step(new)
        features[row + FEATURE_OWN_LENGTH] = _step(own * length)


@kernel
def score(ranker: Ranker, features: Cells, first: int, count: int, length: int) -> None:
    """Put each candidate's share, 0 to 1 and together 1, into `ranker.share`."""
    linear, inner, active, share = ranker.linear, ranker.inner, ranker.active, ranker.share
    most = -1e300
    for place in range(count):
        row = (first + place) * FEATURES
        at = place * HIDDEN
        for unit in range(HIDDEN):
            active[at + unit] = ranker.bias[unit]
        total = 0.0
        for each in range(FEATURES):
            step = features[row + each]
            if step:
                value = step / STEPS_OF_ONE
                total += value * (linear[each] + linear[length * FEATURES + each])
                for unit in range(HIDDEN):
                    active[at + unit] += value * inner[each * HIDDEN + unit]
        for unit in range(HIDDEN):
            active[at + unit] = max(active[at + unit], 0.0)
            total += active[at + unit] * ranker.outer[unit]
        share[place] = total
        most = max(most, total)
    summed = 0.0
    for place in range(count):
        # Less the largest, so that no exponential overflows; the shares are the same.
        share[place] = exp(share[place] - most)
        summed += share[place]
    for place in range(count):
        share[place] /= summed


@kernel
def _move(weights: Cells, squares: Cells, at: int, step: float, rate: float) -> None:
    squares[at] += step * step
    weights[at] += rate * step / sqrt(squares[at])


@kernel
def learn(
    ranker: Ranker, items: Cells, features: Cells, first: int, count: int, length: int, item: int, new: bool
) -> bool:
    """One step of Adagrad on the logarithm of the share of what was clicked; whether that was a candidate."""
    target = 0
    while target < count and items[first + target] != item:
        target += 1
    if target == count:
        return False
    score(ranker, features, first, count, length)
    gradient, active, share = ranker.gradient, ranker.active, ranker.share
    bias_at = FEATURES + FEATURES * HIDDEN
    outer_at = bias_at + HIDDEN
    # The gradient of the whole slate is summed up first: one Adagrad step a slate, not one for each
    # candidate.
    for each in range(WEIGHTS):
        gradient[each] = 0.0
    for place in range(count):
        error = (1.0 if place == target else 0.0) - share[place]
        if abs(error) < LEAST_ERROR:
            continue
        at = place * HIDDEN
        for unit in range(HIDDEN):
            value = active[at + unit]
            gradient[outer_at + unit] += error * value
            # The hidden values aren't needed any more, so their cells take the errors that go back through
            # them.
            active[at + unit] = error * ranker.outer[unit] if value > 0.0 else 0.0
            gradient[bias_at + unit] += active[at + unit]
        row = (first + place) * FEATURES
        for each in range(FEATURES):
            step = features[row + each]
            if step:
                value = step / STEPS_OF_ONE
                gradient[each] += error * value
                for unit in range(HIDDEN):
                    gradient[FEATURES + each * HIDDEN + unit] += value * active[at + unit]
    rate = RATE * (NEW_WEIGHT if new else 1.0)
    for each in range(FEATURES):
        if gradient[each] != 0.0:
            _move(ranker.linear, ranker.linear_squares, each, gradient[each], rate)
            _move(ranker.linear, ranker.linear_squares, length * FEATURES + each, gradient[each], rate)
    for each in range(FEATURES * HIDDEN):
        if gradient[FEATURES + each] != 0.0:
            _move(ranker.inner, ranker.inner_squares, each, gradient[FEATURES + each], rate)
    for unit in range(HIDDEN):
        _move(ranker.bias, ranker.bias_squares, unit, gradient[bias_at + unit], rate)
        _move(ranker.outer, ranker.outer_squares, unit, gradient[outer_at + unit], rate)
    return True


# -- a slate


@kernel
def search(index: Index, room: Room, asked: Asked) -> int:
    """Fill in candidates with their features; how many."""
    gone, mark, excluded = index.gone, index.mark, asked.excluded
    # Taken out through a bit that every look-up tests anyway, for the time of this search alone.
    for each in range(len(excluded)):
        gone[excluded[each]] |= EXCLUDED
    found = _find(index, room, asked.live, asked.anchored, asked.postings_max, asked.neighbours_max)
    for each in range(len(excluded)):
        gone[excluded[each]] &= EXCLUDED - 1
    for place in range(found):
        mark[room.item[place]] = 0
    _guess(room, found)
    count = _choose(room, found, asked.candidates_max)
    _describe(index, room, count, asked.past, asked.items, asked.first, asked.features)
    return count


@kernel
def order(room: Room, share: Cells, count: int, best: int) -> None:
    """Put the best candidates into `room.out_…`, with the source that speaks most for each."""
    place_of, scores = room.out_place, room.out_score
    taken = 0
    for place in range(count):
        value = share[place]
        # An insertion sort of the best alone: a slate has some dozens of places, and most candidates end at
        # this comparison.
        if taken == best and value <= scores[taken - 1]:
            continue
        if taken < best:
            taken += 1
        at = taken - 1
        while at > 0 and scores[at - 1] < value:
            scores[at] = scores[at - 1]
            place_of[at] = place_of[at - 1]
            at -= 1
        scores[at] = value
        place_of[at] = place
    for rank in range(taken):
        cell = room.chosen[place_of[rank]] * SOURCES
        most = -1.0
        for source in range(SOURCES):
            if room.top[source] > 0.0:
                part = room.blend[source] * room.weight[cell + source] / room.top[source]
                if part > most:
                    most = part
                    room.out_source[rank] = source
                    room.out_anchor[rank] = room.through[cell + source]
                    room.out_support[rank] = room.support[cell + source]


@kernel
def rank(index: Index, room: Room, ranker: Ranker, asked: Asked, length: int, best: int) -> int:
    """Search, score and order in one; how many candidates. The best are in `room.out_…`."""
    count = search(index, room, asked)
    score(ranker, asked.features, asked.first, count, length)
    order(room, ranker.share, count, best)
    return count
