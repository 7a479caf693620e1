"""The engine. Pure: standard library only; no clock, no I/O, no logging; `now` and `rng` are arguments."""
