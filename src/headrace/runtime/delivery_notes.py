"""Keeps the journals up with what the brokers have taken: acknowledged offsets, and decisions that differ."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from headrace.kafka.delivery import Delivery
from headrace.shard.acknowledged import note_of
from headrace.shard.positions import Plan
from headrace.shard.topic_shard import TopicShard

__all__ = ["DeliveryNotes"]

_log = logging.getLogger(__name__)


class DeliveryNotes:
    """What is noted in the journals of a run about its outputs.

    Parameters
    ----------
    delivery
        What sends to topics.
    parts
        The shards of this process, by number.
    plan
        What is read, and how far outputs are ahead of the journals.
    ask_every_s
        How often the brokers are asked how far they have come, seconds.
    """

    def __init__(
        self, delivery: Delivery, parts: Mapping[int, TopicShard], plan: Plan, ask_every_s: float
    ) -> None:
        self._delivery, self._parts, self._plan, self._ask_every_s = delivery, parts, plan, ask_every_s
        self._catching_up, self._told_of_unlike = bool(plan.ahead), False
        self._ask_at = 0.0

    def look(self, now: float) -> None:
        """Do what is due now and then.

        Parameters
        ----------
        now
            Seconds of the monotonic clock.
        """
        if now >= self._ask_at:
            self._ask_at = now + self._ask_every_s
            self._delivery.ask()
        if self._catching_up and self._caught_up():
            self._catching_up = False
            self._delivery.release()
        self._note_output_offsets()

    def _caught_up(self) -> bool:
        """Whether all shards have passed where the partitions ended when the run began."""
        return all(
            part.reached(each.number) >= each.end
            for part in self._parts.values()
            for each in self._plan.partitions
        )

    def note_unlike(self) -> None:
        """Journal which decisions consumers have in another form than the journals."""
        for shard, decision_id, delivered in self._delivery.unlike():
            self._parts[shard].durable.note_delivered(decision_id, delivered)
            if not self._told_of_unlike:
                self._told_of_unlike = True
                _log.warning(
                    "decisions come out otherwise than they were delivered before the state lost its end, %s"
                    " first; consumers keep what was delivered, `headrace explain` shows both, and"
                    " headrace_decisions_differing_total counts them",
                    decision_id,
                )

    def _note_output_offsets(self) -> None:
        for number, offsets in self._delivery.output_offsets():
            durable, note = self._parts[number].durable, note_of(offsets)
            # A flow at rest would else add a frame to each journal every few seconds.
            if durable.sinks.get(offsets.output) != note:
                durable.note_sink(note)

    def settle(self) -> None:
        """Leave nothing that the next start would have to look for."""
        self.note_unlike()
        for part in self._parts.values():
            part.note_marks()
        self._delivery.flush()
        self._note_output_offsets()  # else one that was asked for before would stand in the way
        self._delivery.ask()
        self._note_output_offsets()
