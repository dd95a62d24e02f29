"""A few hundred of the cases that `make fuzz` tries in thousands."""

from pathlib import Path

from tests.fuzz.campaign import attack, prepare
from tests.integration.deployment import Deployment


def test_the_server_conforms_to_its_openapi_document(deployment: Deployment, tmp_path: Path) -> None:
    limits = ("--phases", "examples,fuzzing,stateful", "--max-examples", "4", "--generation-deterministic")
    result = attack(prepare(deployment), tmp_path, *limits, patience=200)
    assert result.is_clean, result.text
    assert result.cases >= 150
