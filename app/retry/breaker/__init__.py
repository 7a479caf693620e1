"""The guard of a dependency: when its jobs may be claimed, and what their outcomes make of it.

Python holds the only copy of these rules and SQL only stores: whoever has something to say opens a transaction, loads
the dependency's row `FOR UPDATE`, calls one function of `transition` or `admit`, and stores what it returns. The row's
lock makes that atomic over all workers; a second copy in PL/pgSQL would be untested by the simulation that justifies
the figures, and the two would drift. It costs one round trip more than a function in the server, and only for a
dependency that is sick.

    states      the row, its states, and the transitions that are legal
    rules       the figures: thresholds, breaks, ratios
    relevance   what an outcome says about the dependency
    counting    outcomes by the second, and whether they are enough to trip
    transition  what reports, probes, hints and operators change
    admit       what may be claimed now: probes, tokens, everything, nothing
    ramp        how the waiting jobs are let out
    local       what each worker keeps in memory: a snapshot, a ring of outcomes, a brake
    row         the row's columns and back
"""
