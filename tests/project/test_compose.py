"""Checks of the Dockerfile and the Compose file without running containers."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import attrs
import pytest
import yaml
from sqlalchemy import make_url

from entrypoints.settings import Settings
from tests.unit.support.command_tree import command_tree

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
OURS = sorted(name for name, service in SERVICES.items() if "build" in service)

# The keys of the Compose specification that the file may use.
SERVICE_KEYS = {
    *("image", "build", "command", "environment", "ports", "volumes", "depends_on", "healthcheck", "restart"),
    *("read_only", "tmpfs", "cap_drop", "security_opt", "stop_grace_period", "shm_size", "configs"),
}
HEALTHCHECK_KEYS = {"test", "interval", "timeout", "retries", "start_period", "start_interval", "disable"}
CONDITIONS = {"service_started", "service_healthy", "service_completed_successfully"}
DURATION = re.compile(r"\d+(ms|s|m|h)")


def commands() -> list[list[str]]:
    (default,) = re.findall(r"^CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
    return [json.loads(default), *(SERVICES[name]["command"] for name in OURS)]


def test_every_process_has_its_service() -> None:
    assert set(SERVICES) == {"migrate", "api", "worker", "beat", "postgres", "redis"}
    assert OURS == ["api", "beat", "migrate", "worker"]
    assert {key for key in COMPOSE if not key.startswith("x-")} == {"name", "services", "volumes", "configs"}


@pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)
def test_services_use_keys_that_compose_knows(service: dict[str, Any]) -> None:
    assert set(service) <= SERVICE_KEYS
    assert service["restart"] in {"unless-stopped", "on-failure"}
    for volume in service.get("volumes", []):
        assert volume.split(":")[0] in COMPOSE["volumes"]
    for config in service.get("configs", []):
        assert config["source"] in COMPOSE["configs"]
    for needed, how in service.get("depends_on", {}).items():
        assert needed in SERVICES
        assert how["condition"] in CONDITIONS


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_that_stays_has_a_health_check(name: str) -> None:
    if name == "api":
        assert "HEALTHCHECK" in DOCKERFILE
        assert "healthcheck" not in SERVICES[name]
        return
    check = SERVICES[name]["healthcheck"]
    assert set(check) <= HEALTHCHECK_KEYS
    if name == "migrate":
        assert check == {"disable": True}
        return
    assert check["test"][0] in {"CMD", "CMD-SHELL"}
    assert all(DURATION.fullmatch(check[key]) for key in check if key in {"interval", "timeout", "start_period"})


def test_what_is_waited_for_can_become_healthy() -> None:
    for service in SERVICES.values():
        for needed, how in service.get("depends_on", {}).items():
            expected = "service_completed_successfully" if needed == "migrate" else "service_healthy"
            assert how["condition"] == expected


def test_no_secret_has_a_default() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    for secret in ("POSTGRES_PASSWORD", "REDIS_PASSWORD", "JWT_SECRET"):
        assert f"${{{secret}:?" in text
        assert f"${{{secret}:-" not in text


def test_postgres_keeps_its_data_where_version_18_has_it() -> None:
    assert SERVICES["postgres"]["image"] == "${POSTGRES_IMAGE:-postgres:18}"
    assert SERVICES["postgres"]["volumes"] == ["postgres:/var/lib/postgresql"]


def test_the_engine_is_no_superuser_of_postgresql() -> None:
    (config,) = SERVICES["postgres"]["configs"]
    assert config["target"].startswith("/docker-entrypoint-initdb.d/")
    script = COMPOSE["configs"][config["source"]]["content"].replace("$$", "$")
    role = make_url(
        SERVICES["api"]["environment"]["DATABASE_URL"].replace(":?set it to a password of letters and digits", "")
    )
    assert role.username != SERVICES["postgres"]["environment"]["POSTGRES_USER"] == "postgres"
    assert role.database == SERVICES["postgres"]["environment"]["POSTGRES_DB"]
    assert f"CREATE ROLE {role.username} LOGIN PASSWORD :'password';" in script
    assert f"ALTER DATABASE {role.database} OWNER TO {role.username};" in script
    assert 'password=$ENGINE_PASSWORD"' in script
    assert "SUPERUSER" not in script
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0


def test_the_image_does_not_run_as_root() -> None:
    assert re.findall(r"^USER (.*)$", DOCKERFILE, re.MULTILINE) == ["10001"]
    assert 'ENTRYPOINT ["scalecommerce"]' in DOCKERFILE


def test_the_image_and_the_makefile_use_the_same_uv() -> None:
    (pinned,) = re.findall(r"^UV_VERSION := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert f"uv=={pinned}\n" in DOCKERFILE


def test_the_settings_that_are_passed_exist() -> None:
    names = {attribute.name.upper() for attribute in attrs.fields(Settings)}
    for name in OURS:
        assert set(SERVICES[name]["environment"]) <= names


@pytest.mark.parametrize("command", commands(), ids=lambda command: command[0])
def test_the_command_line_has_the_commands_with_these_options(command: list[str]) -> None:
    group = command_tree()
    name, *arguments = command
    assert name in group.commands
    group.commands[name].make_context(name, arguments)  # parses and checks the arguments without running the command
