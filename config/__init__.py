"""Typed settings, and one commented TOML file for each flow."""
