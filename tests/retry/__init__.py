"""Promises of the engine."""
