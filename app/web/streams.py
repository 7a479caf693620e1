"""What every stream of server-sent events has in common."""

MEDIA_TYPE = "text/event-stream"

RETRY_MILLISECONDS = 2_000
"""How long a browser waits before it connects again."""

UNBUFFERED = {"X-Accel-Buffering": "no"}
"""Proxies that gather an answer before they pass it on would hold the news back."""
