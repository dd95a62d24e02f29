"""Checks of the manifests in deploy/kubernetes, against the schemas of Kubernetes and against the engine."""

import importlib.util
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import attrs
import kubernetes_validate
import pytest
import yaml

from adapters.http.framework.middleware import HEALTH_CHECKS
from entrypoints import settings
from scalecommerce_core.domain.secret import Secret
from scalecommerce_core.domain.web_address import FIRST_FREE_PORT, HTTPS_PORT
from tests.unit.support.command_tree import command_tree

ROOT: Final = Path(__file__).parents[2]
KUBERNETES: Final = ROOT / "deploy/kubernetes"
BASE: Final = KUBERNETES / "base"
OVERLAY: Final = KUBERNETES / "overlays/example"
SECRET: Final = "scalecommerce"
# `sleep` of preStop exists since 1.30.
VERSIONS: Final = ["1.30", kubernetes_validate.latest_version()]
Manifest = dict[str, Any]


def documents(directory: Path) -> list[tuple[str, Manifest]]:
    """The manifests of a directory, without its kustomization and the patches that this one lists."""
    patches = {patch["path"] for patch in kustomization(directory).get("patches", [])}
    return [
        (f"{file.relative_to(KUBERNETES)}:{document['kind']}/{document['metadata']['name']}", document)
        for file in sorted(directory.glob("*.yaml"))
        if file.name != "kustomization.yaml" and file.name not in patches
        for document in yaml.safe_load_all(file.read_text())
    ]


def kustomization(directory: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((directory / "kustomization.yaml").read_text())
    return loaded


ALL: Final = [*documents(BASE), *documents(OVERLAY)]
WORKLOADS: Final = [document for _, document in ALL if document["kind"] in {"Deployment", "Job"}]


def of_kind(kind: str) -> list[Manifest]:
    return [document for _, document in ALL if document["kind"] == kind]


def pod(workload: Manifest) -> dict[str, Any]:
    spec: dict[str, Any] = workload["spec"]["template"]["spec"]
    return spec


def container(workload: Manifest) -> dict[str, Any]:
    (only,) = pod(workload)["containers"]
    assert isinstance(only, dict)
    return only


def selected(selector: dict[str, Any]) -> list[str]:
    """The names of the workloads whose pods have the labels."""
    wanted = selector.get("matchLabels", {}).items()
    expressions = selector.get("matchExpressions", [])
    assert all(expression["operator"] == "In" for expression in expressions)
    return [
        workload["metadata"]["name"]
        for workload, labels in ((each, each["spec"]["template"]["metadata"]["labels"]) for each in WORKLOADS)
        if wanted <= labels.items()
        and all(labels.get(expression["key"]) in expression["values"] for expression in expressions)
    ]


def ids(value: object) -> str:
    if isinstance(value, dict):
        return str(value["metadata"]["name"])
    return str(value)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("name", "document"), ALL, ids=[name for name, _ in ALL])
def test_manifests_follow_the_schemas_of_kubernetes(name: str, document: Manifest, version: str) -> None:
    kubernetes_validate.validate(document, version, strict=True)
    assert document["metadata"].get("namespace") is None, f"{name}: the overlay sets the namespace"


def test_an_unknown_field_would_be_found() -> None:
    wrong = yaml.safe_load((BASE / "service-account.yaml").read_text()) | {"automountToken": False}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("directory", [BASE, OVERLAY], ids=["base", "example"])
def test_kustomizations_list_every_file(directory: Path) -> None:
    found = kustomization(directory)
    assert set(found) <= {"apiVersion", "kind", "labels", "namespace", "resources", "images", "patches"}
    patches = [patch["path"] for patch in found.get("patches", [])]
    listed = [*found["resources"], *patches]
    assert len(set(listed)) == len(listed)
    files = {name for name in listed if (directory / name).is_file()}
    assert files == {file.name for file in directory.iterdir()} - {"kustomization.yaml"}
    assert [(directory / name).resolve() for name in listed if name not in files] == [BASE] * (directory == OVERLAY)
    for patch in patches:
        document = yaml.safe_load((directory / patch).read_text())
        targets = [each for _, each in documents(BASE) if each["kind"] == document["kind"]]
        assert document["metadata"]["name"] in {target["metadata"]["name"] for target in targets}


def test_the_image_of_every_container_is_that_of_this_release() -> None:
    (image,) = kustomization(OVERLAY)["images"]
    assert {container(workload)["image"] for workload in WORKLOADS} == {image["name"]}
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert image["newTag"] == version


def test_every_process_has_its_workload() -> None:
    assert [(workload["kind"], container(workload)["args"][0]) for workload in WORKLOADS] == [
        ("Deployment", "serve"),
        ("Deployment", "beat"),
        ("Job", "migrate"),
        ("Deployment", "worker"),
    ]


@pytest.mark.parametrize("workload", WORKLOADS, ids=ids)
def test_the_command_line_has_the_commands_with_these_options(workload: Manifest) -> None:
    name, *arguments = container(workload)["args"]
    assert "command" not in container(workload)  # The entry point of the image is `scalecommerce`.
    command_tree().commands[name].make_context(name, arguments)


# --- settings


def configured() -> dict[str, str]:
    values: dict[str, str] = {}
    for file in (BASE / "settings.yaml", OVERLAY / "settings.yaml"):
        values |= yaml.safe_load(file.read_text())["data"]
    return values


@pytest.mark.parametrize("workload", WORKLOADS, ids=ids)
def test_secrets_come_from_the_secret_alone(workload: Manifest) -> None:
    assert container(workload)["envFrom"] == [{"configMapRef": {"name": "scalecommerce"}}]
    variables = container(workload)["env"]
    for variable in variables:
        reference = variable["valueFrom"]["secretKeyRef"]
        assert (reference["name"], reference["key"]) == (SECRET, variable["name"])
    secrets = {each.name.upper() for each in attrs.fields(settings.Settings) if is_secret(each)}
    assert {variable["name"] for variable in variables} == secrets
    required = {each["name"] for each in variables if not each["valueFrom"]["secretKeyRef"].get("optional")}
    assert required == {"DATABASE_URL", "REDIS_URL", "JWT_SECRET"}


def is_secret(attribute: "attrs.Attribute[Any]") -> bool:
    return attribute.type is Secret or str(attribute.type).find("Secret") >= 0


def test_no_manifest_contains_a_secret() -> None:
    assert not of_kind("Secret")
    assert "Secret" not in {document["kind"] for _, document in documents(OVERLAY)}


def test_the_engine_accepts_the_settings() -> None:
    known = {attribute.name.upper(): attribute for attribute in attrs.fields(settings.Settings)}
    assert not [name for name in configured() if is_secret(known[name])]
    secrets = {"DATABASE_URL": "postgresql://u@db/shop", "REDIS_URL": "redis://r:6379/0", "JWT_SECRET": "x" * 32}
    loaded = settings.load(configured() | secrets)
    assert (loaded.metrics_host, loaded.metrics_port) == ("0.0.0.0", 9464)  # noqa: S104 - a policy limits it


# --- pods


@pytest.mark.parametrize("workload", WORKLOADS, ids=ids)
def test_pods_have_no_rights_that_they_do_not_need(workload: Manifest) -> None:
    spec, only = pod(workload), container(workload)
    (user,) = re.findall(r"^USER (.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": int(user),
        "runAsGroup": int(user),
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert only["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert spec["automountServiceAccountToken"] is False
    assert only["volumeMounts"] == [{"name": "tmp", "mountPath": "/tmp"}]  # noqa: S108 - the only writable directory
    assert [set(volume) for volume in spec["volumes"]] == [{"name", "emptyDir"}]
    assert set(only["resources"]["requests"]) == {"cpu", "memory"}
    assert set(only["resources"]["limits"]) == {"memory"}


def probes(workload: Manifest) -> Iterator[dict[str, Any]]:
    for name, value in container(workload).items():
        if name.endswith("Probe"):
            yield value


@pytest.mark.parametrize("workload", [each for each in WORKLOADS if each["kind"] == "Deployment"], ids=ids)
def test_probes_ask_what_the_process_answers(workload: Manifest) -> None:
    ports = {port["name"]: port["containerPort"] for port in container(workload)["ports"]}
    assert ports["metrics"] == int(configured()["METRICS_PORT"])
    asked = [*probes(workload)]
    assert "readinessProbe" in container(workload)
    for probe in asked:
        if "exec" in probe:
            python, option, module = probe["exec"]["command"]
            assert (python, option) == ("python", "-m")
            assert importlib.util.find_spec(module) is not None
        else:
            path, port = probe["httpGet"]["path"], probe["httpGet"]["port"]
            assert path in (HEALTH_CHECKS if port == "http" else {"/metrics"})
            assert port in ports
    arguments = container(workload)["args"]
    if "--port" in arguments:
        assert ports["http"] == int(arguments[arguments.index("--port") + 1])
    else:
        assert set(ports) == {"metrics"}


def test_only_a_process_that_does_not_answer_is_restarted() -> None:
    """A restart does not help while PostgreSQL or Redis is away, so no liveness probe may depend on them."""
    liveness = [container(workload).get("livenessProbe") for workload in WORKLOADS]
    assert [probe["httpGet"]["path"] for probe in liveness if probe is not None] == ["/healthz"]


def test_pods_have_time_to_finish_their_work() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["api"]["stop_grace_period"]
    assert compose == "30s"
    for workload in (each for each in WORKLOADS if each["metadata"]["name"] != "scalecommerce-beat"):
        if workload["kind"] == "Deployment":
            sleep = container(workload).get("lifecycle", {}).get("preStop", {"sleep": {"seconds": 0}})["sleep"]
            assert pod(workload)["terminationGracePeriodSeconds"] >= 30 + sleep["seconds"]


# --- what refers to pods


def test_updates_and_disruptions_leave_a_process_of_each_kind() -> None:
    budgets = {budget["metadata"]["name"]: budget["spec"] for budget in of_kind("PodDisruptionBudget")}
    assert {name: selected(spec["selector"]) for name, spec in budgets.items()} == {
        name: [name] for name in ("scalecommerce-api", "scalecommerce-worker")
    }
    (scaler,) = of_kind("HorizontalPodAutoscaler")
    assert scaler["spec"]["scaleTargetRef"]["name"] == "scalecommerce-api"
    replicas = {each["metadata"]["name"]: each["spec"].get("replicas") for each in of_kind("Deployment")}
    # The autoscaler sets that of the API; a number here would undo its work with each update.
    assert replicas == {"scalecommerce-api": None, "scalecommerce-beat": 1, "scalecommerce-worker": 2}
    assert scaler["spec"]["minReplicas"] >= 2
    for workload in of_kind("Deployment"):
        assert workload["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
        assert selected(workload["spec"]["selector"]) == [workload["metadata"]["name"]]


def test_the_service_leads_to_the_api() -> None:
    (service,) = of_kind("Service")
    assert selected({"matchLabels": service["spec"]["selector"]}) == ["scalecommerce-api"]
    (ingress,) = of_kind("Ingress")
    (rule,) = ingress["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    assert path["backend"]["service"]["name"] == service["metadata"]["name"]
    assert path["backend"]["service"]["port"]["name"] in {port["name"] for port in service["spec"]["ports"]}
    assert rule["host"] == configured()["ALLOWED_HOSTS"]


def test_everything_is_denied_that_no_policy_allows() -> None:
    policies = {policy["metadata"]["name"]: policy["spec"] for policy in of_kind("NetworkPolicy")}
    denied = policies.pop("scalecommerce-default-deny")
    assert set(denied) == {"podSelector", "policyTypes"}
    assert denied["policyTypes"] == ["Ingress", "Egress"]
    assert selected(denied["podSelector"]) == [each["metadata"]["name"] for each in WORKLOADS]
    ports = {port["containerPort"] for workload in of_kind("Deployment") for port in container(workload)["ports"]}
    for name, spec in policies.items():
        (direction,) = spec["policyTypes"]
        assert set(spec) == {"podSelector", "policyTypes", direction.lower()}, name
        assert selected(spec["podSelector"]), name
        for rule in spec[direction.lower()]:
            numbers = {port["port"] for port in rule["ports"]}
            assert numbers, f"{name}: a rule without ports allows all of them"
            if direction == "Ingress":
                assert rule["from"], f"{name}: a rule without sources allows all of them"
                assert numbers <= ports


def outgoing(name: str) -> tuple[list[str], list[tuple[int, int]]]:
    """The workloads that a policy lets connect to others, and the first and last port of each range that it allows."""
    (spec,) = [policy["spec"] for policy in of_kind("NetworkPolicy") if policy["metadata"]["name"] == name]
    (rule,) = spec["egress"]
    ranges = [(port["port"], port.get("endPort", port["port"])) for port in rule["ports"]]
    return selected(spec["podSelector"]), ranges


def test_webhooks_reach_every_port_that_the_engine_accepts() -> None:
    assert outgoing("scalecommerce-webhooks") == (
        ["scalecommerce-worker"],
        [(HTTPS_PORT, HTTPS_PORT), (FIRST_FREE_PORT, 65_535)],
    )


@pytest.mark.parametrize(("name", "port"), [("scalecommerce-payments", 443), ("scalecommerce-traces", 4318)])
def test_the_example_lets_api_and_workers_reach_gateway_and_collector(name: str, port: int) -> None:
    assert outgoing(name) == (["scalecommerce-api", "scalecommerce-worker"], [(port, port)])


# --- the commands of the runbook


def test_the_upgrade_of_the_runbook_applies_everything_in_order() -> None:
    """First the Job with all that has no component, then workers, then the other processes."""
    block = re.search(
        r"<!-- upgrade in Kubernetes -->\n+```sh\n(.*?)```", (ROOT / "docs/runbook.md").read_text(), re.DOTALL
    )
    assert block is not None
    selectors = re.findall(r"apply --kustomize (\S+) --selector '(\S+) (in|notin) \((.*)\)'", block[1])
    assert {(directory, key) for directory, key, *_ in selectors} == {
        (str(OVERLAY.relative_to(ROOT)), "app.kubernetes.io/component")
    }
    rest, *applied = [(operator, values.split(", ")) for *_, operator, values in selectors]
    assert applied == [("in", ["worker"]), ("in", ["api", "beat"])]
    assert rest == ("notin", [component for _, components in applied for component in components])
    found = {each["metadata"]["labels"]["app.kubernetes.io/component"]: each["metadata"]["name"] for each in WORKLOADS}
    order = ["migrate", *rest[1]]
    assert sorted(found) == sorted(order)
    waits = re.findall(r"(?:job|deployment)/(\S+)$", block[1], re.MULTILINE)
    assert waits == [found[component] for component in order]
    assert re.findall(r"--namespace (\S+)", block[1]) == [kustomization(OVERLAY)["namespace"]] * (len(waits) + 1)
