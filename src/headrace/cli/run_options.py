"""The options of the `run` command, each a type by its name."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from headrace.cli.options import checked_flow
from headrace.config.flow_kinds import bases

__all__ = [
    "AcceptLost",
    "Again",
    "Config",
    "CreateTopics",
    "DeadLetters",
    "Flow",
    "IfSourceMoved",
    "Learn",
    "Member",
    "MetricsPort",
    "Moved",
    "Processes",
    "Skip",
    "Sort",
    "Sources",
    "Start",
    "State",
    "To",
    "Truth",
]


class Moved(StrEnum):
    """What becomes of a source that was moved: the values of `IfMoved`, which takes longer to import."""

    REFUSE = "refuse"
    FOLLOW = "follow"
    AGAIN = "again"


Flow = Annotated[
    str,
    typer.Argument(
        callback=checked_flow,
        help=f"Which flow to run: {', '.join(bases())}, or the path of a flow's file.",
    ),
]
Sources = Annotated[
    list[str],
    typer.Option(
        "--from",
        metavar="PATH",
        help="Events: .jsonl, .jsonl.gz, - , or kafka:TOPIC; several are merged by event time.",
    ),
]
To = Annotated[
    str, typer.Option("--to", metavar="PATH", help="Where decisions go: a file, - , or kafka:TOPIC.")
]
DeadLetters = Annotated[
    str | None,
    typer.Option(
        metavar="PATH",
        help="Where dead letters go; for NAME.jsonl to NAME.dead-letters.jsonl beside it otherwise."
        " On topics it is required.",
    ),
]
State = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Keep the state here, and go on where an earlier run stopped."),
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="Where and how it runs, over what is shipped; or all of it."
    ),
]
Learn = Annotated[bool, typer.Option("--learn/--no-learn", help="Let outcomes teach the model.")]
Truth = Annotated[
    Path | None,
    typer.Option(metavar="CSV", help="Evaluate the scores by these answers, not by the outcomes."),
]
Start = Annotated[
    str,
    typer.Option(metavar="earliest|latest|TIME", help="Where to begin in topics that the state hasn't read."),
]
CreateTopics = Annotated[bool, typer.Option("--create-topics", help="Create the topics that are missing.")]
AcceptLost = Annotated[
    bool,
    typer.Option("--accept-lost", help="Go on where messages were deleted before they were read."),
]
Sort = Annotated[
    bool,
    typer.Option("--sort", help="Read each file in the order of event time, though it isn't written so."),
]
Again = Annotated[
    bool,
    typer.Option(
        "--again",
        help="Go on though the topics have decisions of another state, or it has read others.",
    ),
]
Processes = Annotated[
    int,
    typer.Option(metavar="N", min=1, help="Processes that share the shards: 1, 2, 3, 4, 6 or 12."),
]
Skip = Annotated[
    list[str] | None,
    typer.Option(
        "--skip",
        metavar="SOURCE:OFFSET",
        help="Pass over the input that begins there, as a dead letter; on topics TOPIC/PARTITION:OFFSET,"
        " of commands control:FILE.",
    ),
]
Member = Annotated[bool, typer.Option("--member", hidden=True)]
IfSourceMoved = Annotated[
    Moved,
    typer.Option(
        metavar="refuse|follow|again",
        help="With a new file that begins with all that was read of a known one: refuse it, follow it as"
        " that one, or decide all of it again.",
    ),
]
MetricsPort = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=0,
        max=65_535,
        help="Serve /metrics, /healthz and /readyz on this port; 0 for a free one.",
    ),
]
