"""Checks of the Compose files in deploy/compose, and of the configurations that they mount, without containers."""

import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import attrs
import pytest
import yaml
from redis import Redis, RedisError

from adapters.embedded.redis import find_program
from adapters.redis.servers import RedisServers
from entrypoints import settings
from scalecommerce_core.domain.secret import Secret
from tests.integration.engine_process import PATIENCE, eventually
from tests.integration.replicated_postgres import programs_directory
from tests.project.compose_files import (
    COMPOSE,
    HA,
    METRICS,
    PATRONI,
    ROOT,
    SINGLE,
    VARIABLE,
    environment,
    load,
    services,
)
from tests.unit.support.command_tree import command_tree

FILES: Final = (SINGLE, HA, METRICS)


ENGINE: Final = ("migrate", "api", "worker", "beat")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_files_follow_the_schema_of_compose(file: Path) -> None:
    result = _check_schema(file)
    assert result.returncode == 0, result.stdout


def test_an_unknown_key_would_be_found(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(METRICS.read_text().replace("restart:", "restarts:"))
    assert "restarts" in _check_schema(wrong).stdout


def installed(program: str) -> str:
    """The path of a program of the environment in which the tests run."""
    return str(Path(sys.executable).with_name(program))


def _check_schema(file: Path) -> "subprocess.CompletedProcess[str]":
    command = [installed("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("file", [HA, METRICS], ids=lambda file: file.name)
def test_every_name_in_a_file_refers_to_something(file: Path) -> None:
    document = load(file)
    volumes, configs = document["volumes"], document["configs"]
    used_volumes, used_configs, used_networks = set(), set(), set()
    for service in document["services"].values():
        used_volumes |= {volume.partition(":")[0] for volume in service.get("volumes", [])}
        used_configs |= {config["source"] for config in service.get("configs", [])}
        used_networks |= set(service.get("networks", ["default"]))
        for needed, how in service.get("depends_on", {}).items():
            assert needed in document["services"]
            expected = "service_completed_successfully" if needed == "migrate" else "service_healthy"
            assert how == {"condition": expected}
    assert used_volumes == set(volumes)
    assert used_configs == set(configs)
    assert used_networks == {"default", *document.get("networks", {})}
    # Compose reads paths relative to the project directory, the root of the repository.
    for config in configs.values():
        assert (ROOT / config["file"]).is_file()


def test_every_file_is_used() -> None:
    mounted = {config["file"] for file in (HA, METRICS) for config in load(file)["configs"].values()}
    there = {str(file.relative_to(ROOT)) for file in COMPOSE.rglob("*") if file.is_file()}
    assert {path for path in there if path not in mounted} == {
        "deploy/compose/ha.yml",
        "deploy/compose/metrics.yml",
        "deploy/compose/patroni/Dockerfile",
    }
    assert (ROOT / services(HA)["postgres-1"]["build"]["context"] / "Dockerfile").is_file()


def test_processes_run_as_in_the_file_for_one_machine() -> None:
    """The other deployment differs in the addresses of servers, the number of processes and the metrics."""
    for name in ENGINE:
        single, available = dict(services(SINGLE)[name]), dict(services(HA)[name])
        for service in (single, available):
            for key in ("depends_on", "ports", "deploy", "environment", "healthcheck"):
                service.pop(key, None)
        assert available == single


@pytest.mark.parametrize("name", [name for name in services(HA) if name not in {"api", "migrate"}])
def test_every_service_that_stays_has_a_health_check(name: str) -> None:
    check = services(HA)[name]["healthcheck"]["test"]
    assert check[0] in {"CMD", "CMD-SHELL"}
    if "-m" in check:
        assert importlib.util.find_spec(check[check.index("-m") + 1]) is not None


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_no_secret_has_a_default(file: Path) -> None:
    found = VARIABLE.findall(file.read_text())
    secrets = {name for name, *_ in found if name.endswith(("PASSWORD", "SECRET"))}
    for secret in secrets:
        uses = [(kind, default) for name, kind, default in found if name == secret]
        assert any(kind == "?" for kind, _ in uses) or secret == "POSTGRES_SUPERUSER_PASSWORD", secret
        assert all(kind != "-" or default.startswith("${") for kind, default in uses), secret


def test_images_are_pinned_and_can_be_replaced() -> None:
    for file in FILES:
        for name, service in services(file).items():
            if "image" not in service:
                assert file == METRICS
                assert name in ENGINE  # changes of the services of the other file
                continue
            if "build" in service:
                assert re.fullmatch(r"scalecommerce[-\w]*:\$\{SCALECOMMERCE_TAG:-latest\}", service["image"])
                continue
            assert re.fullmatch(r"\$\{[A-Z]+_IMAGE:-[\w./]+:v?\d[\d.]*\}", service["image"]), name
    postgres = services(SINGLE)["postgres"]["image"]
    assert services(HA)["postgres-1"]["build"]["args"]["POSTGRES_IMAGE"] == postgres
    assert services(HA)["redis-1"]["image"] == services(SINGLE)["redis"]["image"] == services(HA)["sentinel-1"]["image"]


# --- the engine


@pytest.mark.parametrize("name", ENGINE)
def test_the_engine_accepts_the_settings(name: str) -> None:
    loaded = settings.load(environment(HA, name))
    hosts = re.search(r"@(.*)/", loaded.database_url.reveal())
    assert hosts is not None
    assert hosts[1].split(",") == [f"postgres-{n}:5432" for n in (1, 2, 3)]
    assert isinstance(loaded.redis_url, Secret)
    servers = RedisServers.parse(loaded.redis_url.reveal())
    assert "sentinel-3" in servers.broker_url
    assert loaded.metrics_port == 9464
    if name != "migrate":
        assert (
            settings.load({**environment(SINGLE, name), **services(METRICS)[name]["environment"]}).metrics_port == 9464
        )


def test_settings_are_those_of_the_engine() -> None:
    known = {attribute.name.upper() for attribute in attrs.fields(settings.Settings)}
    for file in FILES:
        for name in ENGINE:
            assert set(services(file).get(name, {}).get("environment", {})) <= known


@pytest.mark.parametrize("name", ENGINE)
def test_the_command_line_has_the_commands_with_these_options(name: str) -> None:
    command, *arguments = services(HA)[name]["command"]
    command_tree().commands[command].make_context(command, arguments)


def test_ports_of_processes_are_those_that_others_use() -> None:
    api = services(HA)["api"]
    assert api["ports"][0].endswith(f":{api['command'][-1]}")
    first, last = map(int, re.findall(r"\d{4}", api["ports"][0])[:2])
    assert last - first + 1 == api["deploy"]["replicas"]
    assert ":9464/metrics" in services(HA)["beat"]["healthcheck"]["test"][-1]
    scraped = yaml.safe_load((COMPOSE / "prometheus.yml").read_text())["scrape_configs"]
    assert {
        job["job_name"]: (job["dns_sd_configs"][0]["names"], job["dns_sd_configs"][0]["port"]) for job in scraped
    } == {f"scalecommerce-{name}": ([name], 9464) for name in ("api", "worker", "beat")}
    targets = yaml.safe_load((ROOT / "deploy/monitoring/prometheus.yml").read_text())["scrape_configs"]
    assert [job["job_name"] for job in scraped] == [job["job_name"] for job in targets]


# --- Patroni and etcd


def etcd_options(name: str) -> dict[str, str]:
    program, *options = services(HA)[name]["command"]
    assert program == "etcd"
    return dict(option.removeprefix("--").split("=", 1) for option in options)


def test_the_members_of_etcd_know_each_other() -> None:
    members = ["etcd-1", "etcd-2", "etcd-3"]
    for name in members:
        options = etcd_options(name)
        assert options["name"] == name
        assert options["initial-cluster"].split(",") == [f"{each}=http://{each}:2380" for each in members]
        assert options["initial-advertise-peer-urls"] == f"http://{name}:2380"
        assert options["advertise-client-urls"] == f"http://{name}:2379"
        assert services(HA)[name]["volumes"] == [f"{name}:{options['data-dir']}"]
    assert patroni()["etcd3"]["hosts"] == [f"{name}:2379" for name in members]


def patroni() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((PATRONI / "patroni.yml").read_text())
    return loaded


def test_patroni_has_the_version_that_is_tested() -> None:
    (pinned,) = re.findall(r"patroni\[etcd3,psycopg3\]==([\d.]+)", (PATRONI / "Dockerfile").read_text())
    assert pinned == version("patroni")


@pytest.fixture
def etcd() -> Iterator[str]:
    """The address of a server that accepts connections: the validation tries to reach etcd."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_patroni_accepts_its_configuration(etcd: str, tmp_path: Path) -> None:
    assert validation(etcd, tmp_path, (PATRONI / "patroni.yml").read_text()) == ""


def test_patroni_would_find_a_wrong_value(etcd: str, tmp_path: Path) -> None:
    wrong = (PATRONI / "patroni.yml").read_text().replace("listen: 0.0.0.0:5432", "listen: nowhere")
    assert "postgresql.listen" in validation(etcd, tmp_path, wrong)


def validation(etcd: str, directory: Path, text: str) -> str:
    """What `patroni --validate-config` finds wrong, with the variables of a service of ha.yml."""
    file = directory / "patroni.yml"
    file.write_text(text)
    variables = environment(HA, "postgres-1") | {
        # Instead of the paths and names of the containers.
        "PATRONI_ETCD3_HOSTS": etcd,
        "PATRONI_POSTGRESQL_BIN_DIR": str(programs_directory()),
        "PATRONI_POSTGRESQL_DATA_DIR": str(directory / "data"),
    }
    command = [installed("patroni"), "--validate-config", "--ignore-listen-port", str(file)]
    result = subprocess.run(
        command, env={"PATH": os.environ["PATH"], **variables}, capture_output=True, text=True, check=False
    )
    assert result.returncode == (1 if result.stdout + result.stderr else 0)
    return result.stdout + result.stderr


def test_each_postgres_has_its_name_and_data() -> None:
    for n in (1, 2, 3):
        service = services(HA)[f"postgres-{n}"]
        values = service["environment"]
        assert values["PATRONI_NAME"] == f"postgres-{n}"
        assert values["PATRONI_POSTGRESQL_CONNECT_ADDRESS"] == f"postgres-{n}:5432"
        assert values["PATRONI_RESTAPI_CONNECT_ADDRESS"] == f"postgres-{n}:8008"
        assert service["volumes"] == [f"postgres-{n}:/var/lib/postgresql"]
    assert patroni()["postgresql"]["data_dir"].startswith("/var/lib/postgresql/")
    assert ":8008/health" in services(HA)["postgres-1"]["healthcheck"]["test"][-1]


def test_only_the_servers_of_postgresql_reach_etcd() -> None:
    assert load(HA)["networks"] == {"etcd": {"internal": True}}
    reached = {name: service["networks"] for name, service in services(HA).items() if "networks" in service}
    assert reached == {f"etcd-{n}": ["etcd"] for n in (1, 2, 3)} | {
        f"postgres-{n}": ["default", "etcd"] for n in (1, 2, 3)
    }


@pytest.mark.parametrize("name", ["postgres-1", "postgres-2", "postgres-3"])
def test_the_rest_api_of_patroni_needs_a_password_for_changes(name: str) -> None:
    """As Patroni reads its configuration: it ignores variables that it does not know."""
    program = "import sys; from patroni.config import Config; print(Config(sys.argv[1])['restapi'].get('auth'))"
    result = subprocess.run(
        [sys.executable, "-c", program, PATRONI / "patroni.yml"],
        env={"PATH": os.environ["PATH"], **environment(HA, name)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == f"patroni:PATRONI_RESTAPI_PASSWORD-{'x' * 32}"


def test_postgresql_accepts_the_connections_that_the_runbook_counts() -> None:
    runbook = (ROOT / "docs/runbook.md").read_text()
    formula = re.search(
        r"Each API process, and each of the `WORKER_CONCURRENCY` \+ (\d+) task processes of a worker,"
        r" opens up to `DATABASE_POOL_SIZE` \+ (\d+) connections",
        runbook,
    )
    assert formula is not None
    further_processes, further_connections = map(int, formula.groups())
    api, worker = (services(HA)[name] for name in ("api", "worker"))
    assert "--workers" not in api["command"]  # one process in each container
    of_api, of_worker = (settings.load(environment(HA, name)) for name in ("api", "worker"))
    connections = api["deploy"]["replicas"] * (of_api.database_pool_size + further_connections)
    connections += (
        worker["deploy"]["replicas"]
        * (of_worker.worker_concurrency + further_processes)
        * (of_worker.database_pool_size + further_connections)
    )
    parameters = patroni()["bootstrap"]["dcs"]["postgresql"]["parameters"]
    assert connections < parameters["max_connections"]
    assert f"up to {connections}. " in (PATRONI / "patroni.yml").read_text()


def test_commits_wait_for_a_standby() -> None:
    dcs = patroni()["bootstrap"]["dcs"]
    assert dcs["synchronous_mode"] is True
    assert dcs["synchronous_node_count"] == 1


def test_the_engine_is_no_superuser_of_postgresql() -> None:
    script = (PATRONI / "create-role.sh").read_text()
    assert patroni()["bootstrap"]["post_bootstrap"] == "/etc/patroni/create-role.sh"
    assert "CREATE ROLE scalecommerce LOGIN PASSWORD :'password';" in script
    assert "SUPERUSER" not in script
    assert f"${'ENGINE_PASSWORD'}" in script
    assert "ENGINE_PASSWORD" in services(HA)["postgres-1"]["environment"]
    assert subprocess.run(["sh", "-n"], input=script, text=True, check=False).returncode == 0


# --- Redis and Sentinel


def test_replicas_follow_the_server_that_sentinel_monitors() -> None:
    (monitored,) = re.findall(r"^sentinel monitor (\S+) (\S+) (\d+) 2$", sentinel_conf(), re.MULTILINE)
    name, host, port = monitored
    for n in (1, 2, 3):
        command = services(HA)[f"redis-{n}"]["command"]
        assert command[command.index("--replica-announce-ip") + 1] == f"redis-{n}"
        followed = command[command.index("--replicaof") + 1 :][:2] if "--replicaof" in command else []
        assert followed == ([] if host == f"redis-{n}" else [host, port])
        # All options of the server of the file for one machine.
        assert command[: len(services(SINGLE)["redis"]["command"])] == services(SINGLE)["redis"]["command"]
    assert f"/{name}/0" in services(HA)["api"]["environment"]["REDIS_URL"]


def sentinel_conf() -> str:
    return (COMPOSE / "sentinel.conf").read_text()


def test_a_sentinel_starts_with_its_script_and_keeps_its_state(tmp_path: Path) -> None:
    """With the server of the embedded Redis, and other addresses."""
    with closing(socket.create_server(("127.0.0.1", 0))) as reserved:
        port = int(reserved.getsockname()[1])
    template = tmp_path / "template.conf"
    template.write_text(
        sentinel_conf().replace("port 26379", f"bind 127.0.0.1\nport {port}").replace("redis-1", "127.0.0.1")
    )
    data = tmp_path / "data"
    data.mkdir()
    variables = {
        "PATH": os.environ["PATH"],
        "REDIS_PASSWORD": "letters1",
        "SENTINEL_DIRECTORY": str(data),
        "SENTINEL_TEMPLATE": str(template),
        "SENTINEL_PROGRAM": str(find_program()),
    }
    identities = set()
    for _ in range(2):
        with (tmp_path / "log").open("ab") as log:
            process = subprocess.Popen(["sh", COMPOSE / "sentinel.sh"], env=variables, stdout=log, stderr=log)
        try:
            with Redis(port=port, decode_responses=True) as client:
                state = eventually(lambda: masters(client), "a Sentinel")
                identities.add(client.execute_command("SENTINEL", "MYID"))
        finally:
            process.terminate()
            process.wait(PATIENCE)
        assert state["scalecommerce"]["quorum"] == 2
        assert (state["scalecommerce"]["ip"], state["scalecommerce"]["port"]) == ("127.0.0.1", 6379)
    assert len(identities) == 1
    written = (data / "sentinel.conf").read_text()
    assert re.search(r"^sentinel auth-pass scalecommerce \"?letters1\"?$", written, re.MULTILINE)
    assert len(re.findall(r"announce-ip", written)) == 1


def masters(client: Redis) -> dict[str, Any] | None:
    try:
        found = client.sentinel_masters()
    except RedisError:
        return None
    assert isinstance(found, dict)
    return found or None


# --- Prometheus and Grafana


@pytest.mark.skipif(
    shutil.which("promtool") is None and "CI" not in os.environ,
    reason="promtool (Debian's package prometheus) is missing",
)
def test_promtool_accepts_the_configuration(tmp_path: Path) -> None:
    """With the files in one directory, as in the container."""
    mounted = services(METRICS)["prometheus"]["configs"]
    for config in mounted:
        source = ROOT / load(METRICS)["configs"][config["source"]]["file"]
        (tmp_path / Path(config["target"]).name).write_text(source.read_text())
    command = ["promtool", "check", "config", "prometheus.yml"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "SUCCESS: 1 rule files found" in result.stdout + result.stderr


def test_grafana_finds_prometheus_and_the_dashboard() -> None:
    (source,) = yaml.safe_load((COMPOSE / "grafana/datasources.yml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    assert services(METRICS)["prometheus"]["ports"] == ["127.0.0.1:9090:9090"]
    (provider,) = yaml.safe_load((COMPOSE / "grafana/dashboards.yml").read_text())["providers"]
    targets = {config["source"]: config["target"] for config in services(METRICS)["grafana"]["configs"]}
    assert Path(targets["dashboard"]).parent == Path(provider["options"]["path"])
    assert Path(targets["grafana-datasources"]).parent.name == "datasources"
    assert Path(targets["grafana-dashboards"]).parent.name == "dashboards"
