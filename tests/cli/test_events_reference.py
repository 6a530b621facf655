"""The page of events is as generated, and what it shows is a configuration."""

from __future__ import annotations

from pathlib import Path

from headrace.cli.events_reference import EXAMPLE, events_page
from headrace.config.events import FIELD_TYPES, EventSettings, FieldSettings
from headrace.config.loading import load
from headrace.operators.events.declared import BUILT_IN

PAGE = events_page()


def test_the_page_is_up_to_date():
    page = Path(__file__).resolve().parents[2] / "docs/events.md"
    assert page.read_text() == PAGE, "run: headrace reference"


def test_every_key_type_and_field_is_on_it():
    keys = {*FieldSettings.model_fields, *EventSettings.model_fields}
    fields = {name for each in BUILT_IN.types.values() for name in each.fields}
    assert [name for name in {*keys, *fields, *FIELD_TYPES} if f"`{name}`" not in PAGE] == []
    assert [name for name in BUILT_IN.types if f"### {name}\n" not in PAGE] == []


def test_its_example_can_be_run(tmp_path):
    path = tmp_path / "flow.toml"
    path.write_text(EXAMPLE)
    assert list(load(path).events) == ["payment", "delivery_scan"]
