"""What clicks and devices tell of frauds: the fraud flow with and without them, on a commerce network.

Three configurations decide the same payments, each cold and learning from the same outcomes: the shipped one,
which reads payments only; `flows/fraud-sessions.toml` without its crosses of devices; and the whole of it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from _conditions import conditions
from _protocol import Quality, evaluate_run, read, run_flow, weeks

from headrace.config.flow_kinds import shipped
from headrace.operators.simulator import presets, simulate, write

_SEEDS = (1, 2, 3)
_WEEKS = 3
_SESSIONS = shipped("fraud-sessions")
_OF_DEVICES = ("device_sharing =", "device_share =")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run it for each seed, and print a line for each configuration."""
    options = _parser().parse_args(arguments)
    print(conditions(["numpy", "river", "scikit-learn"]))
    print(f"preset {options.preset}; mean of the last {_WEEKS} weeks, each evaluated apart; cold start")
    print(
        f"{'seed':>4}  {'configuration':<22} {'AP':>6} {'AUC':>6} {'CP@100':>6} {'AP gain':>8} {'flow s':>7}"
    )
    gains = [gain for seed in options.seed or _SEEDS for gain in _measure(options.preset, seed)]
    print(f"least gain in average precision over payments alone: {min(gains):+.3f}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", default="network", choices=presets(), help="default: network")
    parser.add_argument("--seed", action="append", type=int, help="default: 1 to 3")
    return parser


def _measure(preset: str, seed: int) -> list[float]:
    """Return the gains of both richer configurations."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        events, truth = folder / "events.jsonl", folder / "truth.csv"
        write(simulate(preset, seed), events, truth)
        payments, found = read(events, truth), []
        rounds = weeks(payments, _WEEKS)
        for title, config in _configurations(folder):
            run = run_flow(events, folder / "decisions.jsonl", ("--config", str(config)))
            found.append(evaluate_run(payments, rounds, run))
            _print(seed, title, found, run.seconds)
    return [each.average_precision - found[0].average_precision for each in found[1:]]


def _configurations(folder: Path) -> Iterator[tuple[str, Path]]:
    yield "payments", shipped("fraud")
    lines = _SESSIONS.read_text().splitlines()
    only_sessions = folder / "sessions.toml"
    only_sessions.write_text("\n".join(line for line in lines if not line.startswith(_OF_DEVICES)))
    yield "and sessions", only_sessions
    yield "and devices", _SESSIONS


def _print(seed: int, title: str, found: Sequence[Quality], seconds: float) -> None:
    precision, auc, cards = found[-1]
    gain = precision - found[0].average_precision
    print(
        f"{seed:>4}  {title:<22} {precision:>6.3f} {auc:>6.3f} {cards:>6.3f} {gain:>+8.3f} {seconds:>7.1f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
