"""Requests to other people's hosts: which may be called, at which addresses, how they are signed and sent."""
