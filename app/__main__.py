"""The command line, as `python -m app` or `afresh`. It must start quickly: what a command needs is imported by it."""

import typer

from .cli import (
    classify,
    database,
    dead_letters,
    demo,
    dependencies,
    doctor,
    jobs,
    keys,
    policies,
    processes,
    queues,
    simulate,
    system,
)

cli = typer.Typer(
    name="afresh",
    help="Background jobs on Postgres that know why they failed, when to try again, and say so in words.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
cli.command()(system.up)
cli.command()(processes.worker)
cli.command()(processes.api)
cli.command()(database.migrate)
cli.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(database.psql)
cli.command()(demo.demo)
cli.add_typer(jobs.group, name="jobs")
cli.add_typer(dead_letters.group, name="dead-letters")
cli.add_typer(queues.group, name="queues")
cli.add_typer(dependencies.group, name="dependencies")
cli.add_typer(keys.group, name="keys")
cli.command()(classify.classify)
cli.command()(policies.policies)
cli.command()(simulate.simulate)
cli.command()(doctor.doctor)


def main() -> None:
    """Run a command."""
    cli(prog_name="afresh")


if __name__ == "__main__":
    main()
