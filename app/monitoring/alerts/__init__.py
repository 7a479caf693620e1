"""Alerts: rules as data, a pure judgement of what was observed, and messages that do not storm."""
