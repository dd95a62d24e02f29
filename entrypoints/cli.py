"""The command `scalecommerce`."""

import sys
from importlib.util import find_spec
from typing import Final

REQUIRED_MODULES: Final = (
    "alembic", "argon2", "celery", "faker", "granian", "httpcore2", "jwt", "msgspec", "packaging", "psycopg", "redis",
    "rich", "sqlalchemy", "starlette", "structlog", "typed_settings", "typer", "zxcvbn",
)  # fmt: skip
"""What the server extra brings, by the names that are imported."""


def main() -> None:
    """Run the command line; where only the library is installed, say what is missing."""
    if missing := [module for module in REQUIRED_MODULES if find_spec(module) is None]:
        sys.stderr.write(
            "The command line needs more than the library: pip install 'scalecommerce[server]'"
            f" (missing: {', '.join(missing)}).\n"
        )
        sys.exit(2)
    try:
        from entrypoints import logs

        # Before anything else is imported, so that its warnings and errors are lines of the log.
        logs.configure_early(next((word for word in sys.argv[1:] if word[:1] != "-"), "command"))
        from adapters.cli.app import app
        from entrypoints.runtime import CommandRuntime

        app(obj=CommandRuntime())
    except KeyboardInterrupt:
        # While modules are imported: later, the commands say what stands.
        sys.stderr.write("Interrupted.\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
