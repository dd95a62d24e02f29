"""The command `scalecommerce`."""

import sys
from importlib.util import find_spec
from typing import Final

REQUIRED_MODULES: Final = (
    "alembic", "argon2", "celery", "faker", "granian", "httpcore2", "jwt", "msgspec", "packaging", "psycopg", "redis",
    "rich", "sqlalchemy", "starlette", "structlog", "typed_settings", "typer", "zxcvbn",
)  # fmt: skip
"""Modules of the `server` extra."""


def main() -> None:
    """Run the command line. If only the library is installed, name the missing modules and exit with status 2."""
    if missing := [module for module in REQUIRED_MODULES if find_spec(module) is None]:
        sys.stderr.write(
            "The command line requires the server extra: pip install 'scalecommerce[server]'"
            f" (missing: {', '.join(missing)}).\n"
        )
        sys.exit(2)
    try:
        from entrypoints import logs

        # Before other imports, so that their warnings and errors appear in the log.
        logs.configure_early(next((word for word in sys.argv[1:] if word[:1] != "-"), "command"))
        from adapters.cli.app import app
        from entrypoints.runtime import CommandRuntime

        app(obj=CommandRuntime())
    except KeyboardInterrupt:
        # Interrupted during the imports; later, the commands handle this themselves.
        sys.stderr.write("Interrupted.\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
