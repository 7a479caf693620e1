"""Subscribers of telemetry: what the outside sees."""
