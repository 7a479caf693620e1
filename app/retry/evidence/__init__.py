"""Readers: each knows one kind of evidence and returns a `Verdict`, or None where it sees nothing."""
