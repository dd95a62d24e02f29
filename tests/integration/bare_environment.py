"""Environments with the shipped packages only: the wheel with its extras, and that of the Dockerfile."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from attrs import field, frozen

ROOT: Final = Path(__file__).parents[2]
CALLERS_OWN: Final = {"VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "CONDA_PREFIX", "UV_PYTHON", "UV_PROJECT_ENVIRONMENT"}
ENVIRONMENT: Final = {name: value for name, value in os.environ.items() if name not in CALLERS_OWN}


def run(*command: str | Path, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=cwd, env={**ENVIRONMENT, **more}, capture_output=True, text=True, timeout=300, check=False
    )


def succeed(*command: str | Path, cwd: Path, **more: str) -> str:
    done = run(*command, cwd=cwd, **more)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def from_cache_or_registry(*command: str | Path, cwd: Path, **more: str) -> None:
    """Run the command from uv's cache if possible, so that it also works without a network."""
    if run(*command, "--offline", cwd=cwd, **more).returncode:
        succeed(*command, cwd=cwd, **more)


def uv() -> str | None:
    """Return the path of uv: the one of the Makefile, or the machine's."""
    ours = ROOT / ".cache/uv/bin/uv"
    return str(ours) if ours.exists() else shutil.which("uv")


class Environments:
    """Creates environments in `directory`; the wheel is built once."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._wheel: Path | None = None

    def wheel(self, *extras: str) -> Path:
        """Create a directory with `venv`, in which the project's wheel is installed with these extras."""
        directory = self._directory / ("-".join(extras) or "core")
        directory.mkdir()
        python = directory / "venv/bin/python"
        wanted = f"{self._built(directory)}[{','.join(extras)}]" if extras else self._built(directory)
        if (program := uv()) is not None:
            succeed(program, "venv", "--quiet", "--python", sys.executable, "venv", cwd=directory)
            # Compiled once here; otherwise several processes compile the same modules at the same time.
            options: list[str | Path] = [
                "--quiet",
                "--python",
                python,
                *(["--compile-bytecode"] if "server" in extras else []),
            ]
            from_cache_or_registry(program, "pip", "install", *options, wanted, cwd=directory)
        else:
            succeed(sys.executable, "-m", "venv", "venv", cwd=directory)
            succeed(python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", wanted, cwd=directory)
        return directory

    def _built(self, directory: Path) -> Path:
        if self._wheel is None:
            dist = self._directory / "dist"
            if (program := uv()) is not None:
                command: list[str | Path] = [program, "build", "--quiet", "--wheel", "--out-dir", dist, ROOT]
            else:
                command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", dist, ROOT]
            from_cache_or_registry(*command, cwd=directory)
            (self._wheel,) = dist.glob("*.whl")
        return self._wheel

    def image(self) -> "Image":
        """Build the environment of the Dockerfile without a container engine."""
        return Dockerfile(self._directory / "image").build()


@frozen
class Image:
    """The environment of the image, with the start command and health check of the Dockerfile."""

    environment: Path
    entrypoint: list[str]
    command: list[str]
    health_check: list[str]


@frozen
class Dockerfile:
    """Executes the instructions of the build stage in `root`, which represents the `/` of the image."""

    root: Path
    text: str = field(factory=(ROOT / "Dockerfile").read_text)

    def build(self) -> Image:
        stages = re.split(r"^FROM .*$", "\n".join(self._lines()), flags=re.MULTILINE)[1:]
        build, final = ([line for line in stage.splitlines() if line] for stage in stages)
        variables: dict[str, str] = {}
        place = self.root
        for line in build:
            instruction, _, rest = line.partition(" ")
            match instruction:
                case "WORKDIR":
                    place = self._inside(rest)
                    place.mkdir(parents=True)
                case "ENV":
                    variables |= dict(word.split("=", 1) for word in shlex.split(rest))
                case "COPY":
                    self._copy(rest.split(), place)
                case "RUN":
                    self._run(shlex.split(rest), place, variables)
                case _:
                    raise AssertionError(f"The Dockerfile has an instruction that this test does not know: {line}")
        environment = self._inside(variables["UV_PROJECT_ENVIRONMENT"])
        assert f"COPY --from=build {variables['UV_PROJECT_ENVIRONMENT']} {variables['UV_PROJECT_ENVIRONMENT']}" in final
        assert any(line.startswith(f"ENV PATH={variables['UV_PROJECT_ENVIRONMENT']}/bin:") for line in final)
        return Image(
            environment,
            entrypoint=self._words(final, "ENTRYPOINT "),
            command=self._words(final, "CMD "),
            health_check=self._words(final, "HEALTHCHECK "),
        )

    def _lines(self) -> Iterator[str]:
        """Yield the instructions, one per line, without comments."""
        joined = re.sub(r"\\\n\s*", "", "\n".join(line for line in self.text.splitlines() if line[:1] != "#"))
        return (line.strip() for line in joined.splitlines())

    def _words(self, lines: list[str], instruction: str) -> list[str]:
        (line,) = (line for line in lines if line.startswith(instruction))
        words: list[str] = json.loads(line[line.index("[") :])
        return words

    def _inside(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def _copy(self, names: list[str], place: Path) -> None:
        *sources, target = names
        sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"}
        for source in sources:
            assert source in sent, f".dockerignore keeps {source} out"
            if (ROOT / source).is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / source, place / target, ignore=ignored)
            else:
                shutil.copy(ROOT / source, place / target / source)

    def _run(self, words: list[str], place: Path, variables: Mapping[str, str]) -> None:
        words = [word for word in words if not word.startswith("--mount=")]
        if words[:2] == ["pip", "install"]:
            # This installs uv, which exists here; another test compares the versions.
            assert words[-1].startswith("uv==")
            return
        assert words[:2] == ["uv", "sync"], f"The Dockerfile runs what this test does not know: {words}"
        program = uv()
        assert program is not None, "uv is missing: `make .venv/.ready` brings it"
        environment = str(self._inside(variables["UV_PROJECT_ENVIRONMENT"]))
        # An environment of this interpreter replaces the base image.
        given = {**variables, "UV_PROJECT_ENVIRONMENT": environment, "UV_PYTHON": sys.executable}
        from_cache_or_registry(program, *words[1:], "--quiet", cwd=place, **given)
