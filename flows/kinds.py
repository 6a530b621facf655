"""Where kinds of decision are made known: whoever runs or reads flows imports this, and nothing else does."""

from __future__ import annotations

from headrace.shard.kinds import Kind, register

__all__: list[str] = []


def _fraud() -> Kind:
    from headrace.kinds.fraud.kind import FRAUD

    return FRAUD


def _recommend() -> Kind:
    from headrace.kinds.recommend.kind import RECOMMEND

    return RECOMMEND


register("fraud", _fraud)
register("recommend", _recommend)
