"""The rooms of the house: what each lets others use, and that no arrow between them leads back."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINKED = ("config", "flows", "operators")
WITH_ROOMS = ("kinds", "operators")
LINES_MAX = 500
LONGER = {
    "operators.recommend.kernels",  # compiled code is cached by its one file: docs/adr/0005
}
"""Modules above that, to be divided; one that is short enough is to be taken out of here."""
EXPORTED = {
    "config": (
        "addresses bounded canonical conditions decision_errors decision_flow decision_policy "
        "decision_policy_errors decision_target durations "
        "event_entities event_feature_errors event_features event_reading events expression "
        "features flow_kinds fraud_flow in_force kafka layers lists loading paths policy printable "
        "private_files recommend recommend_flow recommend_rules references table_entries tables "
        "vocabulary"
    ),
    "flows": "kinds named",
    "operators.compiled": "generated inline kept kernels twins",
    "operators.decisions": (
        "attribution_baseline decision detail estimate estimate_window inputs judged pending prequential "
        "reasons score scoring scoring_compiled target"
    ),
    "operators.events": (
        "compatibility contract declared declared_schemas decode event_times oversized schemas time_zones "
        "timestamps unreadable"
    ),
    "operators.features": (
        "EventFeatures FeatureSet SlotGroup features_over meaning_differences meaning_of take_compiled "
        "windows"
    ),
    "operators.models": (
        "Bin Calibration ESTIMATORS Estimator MODELS Model ModelShape NotLearned Provisional Reliability "
        "Teacher WeightedModel build_estimator build_model estimator_errors fused model_errors reference "
        "takes_weights unbuilt_model"
    ),
    "operators.policy": (
        "APPROVAL Action Command DecisionPolicy KillSwitch ListContent Policy ReloadList Verdict act "
        "commands conditions list_content lists read_declared read_list read_lists verdict"
    ),
    "operators.recommend": (
        "catalogue coverage detail engine explained kernels pointwise prepared ranked rules "
        "similarity slates visitors"
    ),
    "operators.simulator": (
        "CUSTOMERS_MIN TRUTH_FILES Ceilings Network World ceilings count_events event_blocks presets "
        "simulate truth_blocks write write_truths"
    ),
    "cli": "app",
    "control": "dead_letters inbox reader",
    "dataflow": (
        "by_shard engine failure file_source ordered_sink shard shard_parts telemetry topic_reader "
        "topic_steps"
    ),
    "erasure": "search",
    "files": (
        "check_outputs file_bytes input_report line_reader merged_reader output_file pace progress resume "
        "sorted_sources sources time_order"
    ),
    "journal": (
        "batches checkpoint disk end erasures format frame_reader frames keys known_sources passed_headers "
        "provenance reader records retention scan segments verify writer"
    ),
    "kafka": (
        "asyncapi connection delivery outlet partition_merge producer read_back reader repair starts topics"
    ),
    "kinds": "",
    "kinds.decisions": "kind",
    "kinds.fraud": "kind truth",
    "kinds.recommend": "kind",
    "ledger": "bin_ranges explained export export_columns index keys ledger sections tables verify",
    "metrics": "http_server labels latency measures metric scrape serving",
    "replay": "charts examples intervals options page past verify view walk words",
    "runtime": "compiling file_run interrupts launcher members places runs stopped",
    "shard": (
        "acknowledged apply_record attempts base batch_applier belonging checkpoint_header clock commands "
        "decision_line deduplication durable kinds machine mismatch noted_contract outgoing positions "
        "recovery_point routing telemetry topic_shard waiting"
    ),
    "state": "backup inspection",
}
"""What other rooms may import: modules, of some rooms names too."""


def files() -> Iterator[tuple[str, Path]]:
    """Every module of the product, by its dotted name below the package."""
    for folder, prefix in ((ROOT / "src/headrace", ""), *((ROOT / name, f"{name}.") for name in LINKED)):
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            if not prefix and parts[0] in LINKED:
                continue
            yield (prefix + ".".join(parts)).removesuffix(".__init__"), path


MODULES = dict(files())


def room_of(module: str) -> str:
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] in WITH_ROOMS else parts[0]


def imports(module: str) -> Iterator[tuple[str, str]]:
    """The modules that one imports, each with the name that it takes from there, empty for the module."""
    path = MODULES[module]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            if node.level:
                package = module.split(".")[: None if path.name == "__init__.py" else -1]
                package = package[: len(package) - node.level + 1]
                origin = ".".join([*package, *([node.module] if node.module else [])])
            elif (node.module or "").split(".")[0] == "headrace":
                origin = (node.module or "").removeprefix("headrace").removeprefix(".")
            else:
                continue
            for alias in node.names:
                inner = f"{origin}.{alias.name}".removeprefix(".")
                yield (inner, "") if inner in MODULES else (origin, alias.name)


def between_rooms() -> Iterator[tuple[str, str, str]]:
    """Who imports what of another room: module, the module that it imports from, and the name."""
    for module in MODULES:
        for origin, name in imports(module):
            if origin and room_of(origin) != room_of(module):
                yield module, origin, name


def test_no_arrow_between_rooms_leads_back():
    arrows: dict[str, set[str]] = {}
    for module, origin, _ in between_rooms():
        arrows.setdefault(room_of(module), set()).add(room_of(origin))
    assert len(arrows) > 20
    TopologicalSorter(arrows).prepare()  # raises CycleError, with the circle


@pytest.mark.parametrize("room", EXPORTED)
def test_a_room_exports_what_is_pinned(room):
    exported = getattr(import_module(f"headrace.{room}"), "__all__", [])
    assert sorted(exported) == sorted(EXPORTED[room].split())
    for name in exported:
        assert f"{room}.{name}" in MODULES or hasattr(import_module(f"headrace.{room}"), name)


def test_every_room_is_pinned():
    rooms = {room_of(module) for module in MODULES} - {"", "__init__", "__main__", "errors"}
    assert {room for room in rooms if room not in WITH_ROOMS} | set(WITH_ROOMS) >= set(EXPORTED)
    assert rooms - set(WITH_ROOMS) <= set(EXPORTED)


def test_rooms_use_of_each_other_what_they_export():
    wrong = []
    for module, origin, name in between_rooms():
        room = room_of(origin)
        if room in EXPORTED and (origin != room or name):
            inner = origin.removeprefix(room).removeprefix(".").split(".")[0]
            if (inner or name) not in EXPORTED[room].split():
                wrong.append(f"{module} imports {origin}{f':{name}' if name else ''}")
    assert not wrong, "\n".join(wrong)


def test_inside_linked_folders_imports_of_them_are_relative():
    """Tools that follow paths then see the arrows."""
    wrong = []
    for module, path in MODULES.items():
        if module.split(".")[0] in LINKED:
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ImportFrom) and not node.level:
                    origin = (node.module or "").split(".")
                    if origin[0] == "headrace" and origin[1:2] and origin[1] in LINKED:
                        wrong.append(f"{path}: {node.module}")
    assert not wrong, "\n".join(wrong)


def test_no_module_is_longer_than_what_one_reads_in_a_sitting():
    longer = {name for name, path in MODULES.items() if len(path.read_text().splitlines()) > LINES_MAX}
    assert longer == LONGER
    beside = [path for folder in ("tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
    assert [str(path) for path in beside if len(path.read_text().splitlines()) > LINES_MAX] == []
