"""The `replay` command: the past derived once more, or decided under another configuration."""

# ruff: noqa: FBT002  # to typer a boolean parameter is a flag, which is always named
from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import orjson
import typer

from headrace.cli.options import settings_from
from headrace.cli.terminal import console_of, echo, echo_json
from headrace.errors import DecisionsDiffer, JournalDamaged

if TYPE_CHECKING:
    from headrace.config.tables import RunSettings
    from headrace.replay.options import Options
    from headrace.replay.past import Past
    from headrace.shard.kinds import Replays

__all__ = ["replay"]

_DAYS_MAX: Final = 4000
_RESAMPLES_MAX: Final = 100_000
_EXAMPLES_MAX: Final = 1000
# Those of the configuration, which isn't imported before it is needed.
_MONEY_MAX: Final = 1e12
_LOSS_SHARE_MAX: Final = 10.0
_RECORDED: Final = "the recorded configuration"


State = Annotated[Path, typer.Option("--state", metavar="DIR", help="The state's folder.")]
Verify = Annotated[bool, typer.Option("--verify", help="Derive every decision once more, and compare.")]
OtherPlatform = Annotated[
    bool,
    typer.Option("--other-platform", help="Verify though another Python, machine or C library computed it."),
]
Config = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="The other configuration; the recorded one otherwise."),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Lay a setting over it, such as policy.block_at=0.9."),
]
Html = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="Write the report as one HTML page, too.")
]
Json = Annotated[bool, typer.Option("--json", help="Write JSON.")]
Learn = Annotated[bool, typer.Option("--learn/--no-learn", help="Let the other model or ranker learn.")]
Resamples = Annotated[
    int, typer.Option(metavar="N", min=0, max=_RESAMPLES_MAX, help="Draws for the intervals; 0 for none.")
]
Shown = Annotated[
    int, typer.Option(metavar="N", min=0, max=_EXAMPLES_MAX, help="Changed decisions that are shown.")
]
WarmUp = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=0,
        max=_DAYS_MAX,
        help="Days at the beginning that don't count; 28, but at most a third, otherwise.",
    ),
]
Horizon = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=0,
        max=_DAYS_MAX,
        help="Evaluate payments that are so old; as 95 of 100 outcomes took otherwise.",
    ),
]


def _finite(number: float | None) -> float | None:
    """Refuse what is no number where typer can say which option is wrong; comparing let it pass."""
    if number is not None and not isfinite(number):
        raise typer.BadParameter("must be a number")
    return number


ReviewCost = Annotated[
    float | None,
    typer.Option(metavar="N", min=0.0, max=_MONEY_MAX, callback=_finite, help="What a review costs."),
]
WrongBlockCost = Annotated[
    float | None,
    typer.Option(
        metavar="N",
        min=0.0,
        max=_MONEY_MAX,
        callback=_finite,
        help="What blocking a legitimate payment costs.",
    ),
]
FraudLossShare = Annotated[
    float | None,
    typer.Option(
        metavar="N",
        min=0.0,
        max=_LOSS_SHARE_MAX,
        callback=_finite,
        help="Share of the amount lost to a fraud that goes through.",
    ),
]


def replay(
    state: State,
    verify: Verify = False,
    other_platform: OtherPlatform = False,
    config: Config = None,
    overrides: Overrides = None,
    html: Html = None,
    json: Json = False,
    warm_up_days: WarmUp = None,
    horizon_days: Horizon = None,
    review_cost: ReviewCost = None,
    wrong_block_cost: WrongBlockCost = None,
    fraud_loss_share: FraudLossShare = None,
    learn: Learn = True,
    resamples: Resamples = 1000,
    examples: Shown = 10,
) -> None:
    """Derive the past once more, or see what another configuration would have made of it.

    With --verify, every recorded decision is derived anew under the configurations of the time and compared
    byte for byte. With --config, --set or --no-learn, the recorded inputs are decided under another
    configuration, or by a model that doesn't learn, beginning with nothing, and the differences are reported:
    other policies, features or models of payments, other limits of slates. The state is only read, also while
    a flow runs on it.
    """
    from headrace.replay.options import Options

    if verify == bool(config or overrides or not learn):
        message = "give either --verify, or what is to be other: --config, --set, --no-learn"
        raise typer.BadParameter(message, param_hint="--verify")
    if verify:
        _verify(state, json=json, other_platform=other_platform)
        return
    given = {
        "review_cost": review_cost,
        "wrong_block_cost": wrong_block_cost,
        "fraud_loss_share": fraud_loss_share,
    }
    options = Options(
        warm_up_days=warm_up_days,
        horizon_days=horizon_days,
        cost={name: number for name, number in given.items() if number is not None},
        resamples=resamples,
        examples_max=examples,
    )
    if html is not None:
        _see_that_it_is_outside(html, state)
    _tell(*_replayed(state, config, overrides or [], options, learn=learn), html, json=json)


def _verify(state: Path, *, json: bool, other_platform: bool) -> None:
    from headrace.cli.ledger_view import watching
    from headrace.cli.replay_view import rederived_json, rederived_lines
    from headrace.ledger.ledger import shard_directories
    from headrace.ledger.verify import journal_bytes
    from headrace.replay.verify import rederive, refuse_other_platforms

    directories = shard_directories(state)
    if not other_platform:
        refuse_other_platforms(directories)
    with watching(console_of(stderr=True), "deriving", sum(map(journal_bytes, directories))) as progress:
        shards = [
            rederive(directory, shard=number, progress=progress)
            for number, directory in enumerate(directories)
        ]
    if json:
        echo_json(rederived_json(state, shards))
    else:
        echo("\n".join(rederived_lines(shards)))
    for shard in shards:
        if shard.first is not None:
            echo(f"error: {shard.shard}: {shard.first}", err=True)
        if shard.damage is not None:
            echo(f"error: {shard.shard}: {shard.damage}", err=True)
    if any(shard.damage is not None for shard in shards):
        raise typer.Exit(JournalDamaged.exit_code)
    if any(shard.differences for shard in shards):
        raise typer.Exit(DecisionsDiffer.exit_code)


def _replayed(
    state: Path, config: Path | None, overrides: list[str], options: Options, *, learn: bool
) -> tuple[Replays, Any]:
    """Return what a kind tells of its replays, and the report of one."""
    from headrace.ledger.ledger import shard_directories
    from headrace.replay.past import Past
    from headrace.shard.kinds import kind_of

    directories = shard_directories(state)
    past = Past(directories)
    settings = _settings(config, overrides, past)
    replays = kind_of(settings).replays()
    if refused := replays.refused(options):
        raise typer.BadParameter(refused[1], param_hint=refused[0])
    report = replays.report(
        past,
        settings,
        options,
        learn=learn,
        deciding=partial(_deciding, directories),
        drawing=partial(_drawing, past, options),
    )
    return replays, report


@contextmanager
def _deciding(directories: Sequence[Path]) -> Iterator[Callable[[int, int], None] | None]:
    from headrace.cli.ledger_view import watching
    from headrace.ledger.verify import journal_bytes

    with watching(console_of(stderr=True), "deciding", sum(map(journal_bytes, directories))) as progress:
        yield progress


@contextmanager
def _drawing(past: Past, options: Options) -> Iterator[Callable[[int], None]]:
    from headrace.cli.ledger_view import watching

    for torn in past.torn:
        echo(f"warning: {torn}; read up to there", err=True)
    with watching(console_of(stderr=True), "drawing", options.resamples) as drawn:
        yield (lambda _count: None) if drawn is None else lambda count: drawn(count, 0)


def _settings(config: Path | None, overrides: list[str], past: Past) -> RunSettings:
    from headrace.config.loading import lay_over
    from headrace.operators.models import model_errors

    recorded = past.configurations[-1].settings
    if config is not None:
        return settings_from(config, overrides, recorded.flow.kind)
    return lay_over(recorded, overrides, _RECORDED, model_errors=model_errors)


def _see_that_it_is_outside(html: Path, state: Path) -> None:
    if html.resolve().is_relative_to(state.resolve()):
        raise typer.BadParameter("must not be in the state's folder", param_hint="--html")


def _tell(replays: Replays, report: Any, html: Path | None, *, json: bool) -> None:
    from headrace.config.private_files import opener

    if json:
        echo_json(orjson.dumps(replays.plain(report), option=orjson.OPT_INDENT_2))
    else:
        console_of().print(replays.view(report))
    if html is not None:
        unnamed = html.with_name(f".{html.name}.{os.getpid()}.tmp")
        try:
            with open(unnamed, "w", encoding="utf-8", opener=opener) as page:
                page.write(replays.page(report))
            os.replace(unnamed, html)
        finally:
            unnamed.unlink(missing_ok=True)
