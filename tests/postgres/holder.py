"""A process that uses an embedded server until its standard input ends, for tests that share, leave and kill.

Arguments: DATA_DIR SYSTEM_DIR [USER]. As another user it begins as root, for Python may be out of that user's reach.
"""

import os
import pwd
import sys
from pathlib import Path

from app.postgres.account import account_of
from app.postgres.embedded import embedded_server
from app.postgres.errors import PostgresError


def main() -> None:
    """Say ``ready`` when the server answers, or the reason why it does not."""
    if sys.argv[3:]:
        account = account_of(pwd.getpwnam(sys.argv[3]).pw_uid)
        os.setgroups([])
        os.setgid(account.gid)
        os.setuid(account.uid)
    try:
        server = embedded_server(Path(sys.argv[1]), system_dir=Path(sys.argv[2]))
        with server.join():
            print("ready", server.home.path, flush=True)  # noqa: T201 - the test waits for it
            sys.stdin.read()
    except PostgresError as error:
        print(error, flush=True)  # noqa: T201 - the test reads it
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
