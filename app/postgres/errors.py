"""What can go wrong before there is a database to work with. Each error's text is one line for a person."""


class PostgresError(Exception):
    """The command line prints it without a traceback and ends with exit code 2."""


class EmbeddedServerError(PostgresError):
    """The embedded server cannot be set up, started, reached or stopped."""


class ConnectionSettingError(PostgresError):
    """The database URL cannot be understood. The text never contains the URL: it may hold a password."""


class MigrationError(PostgresError):
    """The schema and the migration files do not belong together, or a migration cannot be applied."""


class SchemaBehind(MigrationError):  # noqa: N818 - a state an operator mends with `afresh migrate`, not a defect
    """Migrations wait to be applied, and this process may not apply them."""
