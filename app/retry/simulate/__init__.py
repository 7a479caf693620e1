"""An outage, played through: what a policy does to the jobs, and to the dependency.

Seeded and discrete in events: the same scenario and seed give the same answer. Decisions, breaker, budget and ramp are
the real ones; what is made up is the dependency, the time that calls take, and how fast news travels between workers.

    scenario   what happens to the dependency, and when jobs come
    dependency what one call comes to
    clients    the policies under test: plain ones, and ours with its breaker
    world      queue, workers and clock
    outcome    the figures and the series
    run        every scenario under every policy
    table      figures as text
    plot       series as SVG
"""
