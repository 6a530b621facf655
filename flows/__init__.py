"""Dataflows from sources to sinks; they only wire operators."""
