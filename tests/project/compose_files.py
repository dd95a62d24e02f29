"""The Compose files, and the variables that their services get."""

import re
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[2]
COMPOSE: Final = ROOT / "deploy/compose"
SINGLE: Final = ROOT / "docker-compose.yml"
HA: Final = COMPOSE / "ha.yml"
METRICS: Final = COMPOSE / "metrics.yml"
PATRONI: Final = COMPOSE / "patroni"
VARIABLE: Final = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")
Service = dict[str, Any]


def load(file: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(file.read_text())
    return loaded


def services(file: Path) -> dict[str, Service]:
    found: dict[str, Service] = load(file)["services"]
    return found


def interpolated(value: str) -> str:
    """The value with a password for each variable that has no default."""
    return VARIABLE.sub(lambda found: found[3] if found[2] == "-" else f"{found[1]}-{'x' * 32}", value)


def environment(file: Path, name: str) -> dict[str, str]:
    """The environment variables of a service."""
    return {key: interpolated(value) for key, value in services(file)[name]["environment"].items()}
