"""Afresh: background jobs on Postgres that know why they failed and what to do about it.

Rooms, from the street to the cellar; imports only go down:

    __main__ · cli      the command line, one file for each command or group of them; demo and joke server
    api · dashboard     HTTP for programs, HTML for people
    web                 what both share: keys and roles, origin rules, limits, problem+json
    tasks               what jobs do
    monitoring          logs and metrics, subscribers of telemetry; samples, alerts, health
    testing             for users' own tests of their tasks
    queue               the only room that speaks Procrastinate; the spine is queue/execute
    retrying            the engine for code that is not queued
    store               our tables, one file per concept; the caller owns the transaction
    postgres            where the database comes from, and its schema: connect, embedded, migrate, undo
    config · telemetry  settings in small frozen groups; events and emit()
    redact              masks secrets, wherever something is shown
    retry               pure: classify, decide, explain; standard library only
"""

__version__ = "0.1.0"
