"""The only room that speaks Procrastinate."""
