"""Pricing policies beside the built-in ones: those of installed packages, and those that `PRICING_POLICIES` names.

A package offers a policy in the entry point group `scalecommerce.pricing_policies`: a name, and a class that
`scalecommerce_core.pricing.interface.register` takes, or a module that registers its classes when it is imported.
`PRICING_POLICIES` and `simulate --load` name a module (`my_shop.policies`), a class in it (`my_shop.policies:Markup`)
or a file (`policies/markup.py`), of the working directory or of an installed package.
"""

import importlib
import importlib.util
import logging
import os
import re
import sys
import sysconfig
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from importlib.metadata import entry_points
from pathlib import Path
from traceback import extract_tb
from types import ModuleType
from typing import Any, Final

import numpy as np

import scalecommerce_core.pricing.built_in  # noqa: F401 - imported first, so that its names are taken
from scalecommerce_core.pricing import interface
from scalecommerce_core.pricing.interface import atomic_registration, one_line_message, register, registered_strategies

logger = logging.getLogger(__name__)

GROUP: Final = "scalecommerce.pricing_policies"
_SOURCE: Final = re.compile(r"(?P<file>.+\.py)(?::(?P<file_class>\w+))?|(?P<module>[\w.]+)(?::(?P<module_class>\w+))?")
_IMPORT_FILES: Final = frozenset({__file__, interface.__file__, importlib.__file__})
"""Files that are in the traceback of every import."""
_LIBRARIES: Final = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})


class PolicyNotLoaded(ValueError):
    """A module, file or class of policies cannot be used; the message names it, and the line of its file."""


def load_all(setting: str) -> None:
    """Register the policies of installed packages, and those that the setting names.

    A package whose policies cannot be loaded is logged and skipped, since it may be installed for another purpose.
    Raises PolicyNotLoaded if a policy that the setting names cannot be loaded.
    """
    for point in entry_points(group=GROUP):
        try:
            with _isolated(), atomic_registration():
                _use(point.load())
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - a failing package must not stop the others
            package = point.dist.name if point.dist is not None else point.value
            problem = _describe_error(error)
            logger.error("the pricing policy %r of package %s is not loaded: %s", point.name, package, problem)  # noqa: TRY400 - the message names the line
    load_named(setting)


def load_named(setting: str) -> None:
    """Register the policies that the comma-separated setting names; idempotent. Raises PolicyNotLoaded."""
    for source in filter(None, map(str.strip, setting.split(","))):
        load(source)


def load(source: str) -> None:
    """Register the policies of a module, a class in it, or a file; idempotent. Raises PolicyNotLoaded."""
    parts = _SOURCE.fullmatch(source)
    if parts is None:
        raise PolicyNotLoaded(
            f"{source!r} is neither a module such as my_shop.policies or my_shop.policies:Markup nor a file"
        )
    add_search_directory(Path.cwd())
    before = dict(registered_strategies())
    if parts["file"]:
        module, fresh = _file(Path(parts["file"]))
    else:
        module, fresh = _module(parts["module"])
    name = parts["file_class"] or parts["module_class"]
    if name is None:
        if fresh and registered_strategies() == before:
            raise PolicyNotLoaded(
                f"{source} registers no policy: put @register above the class, or name the class: {source}:Markup"
            )
        return
    if not hasattr(module, name):
        raise PolicyNotLoaded(f"{source} has no class {name}; it has {', '.join(_classes(module)) or 'no class'}")
    try:
        _use(getattr(module, name))
    except (TypeError, ValueError) as error:
        raise PolicyNotLoaded(f"{source}: {_describe_error(error)}") from error


@contextmanager
def _isolated() -> Iterator[None]:
    """Send what a module prints to standard error, so that `--json` stays JSON, and undo its `numpy.seterr`."""
    with redirect_stdout(sys.stderr), np.errstate():
        yield


def add_search_directory(directory: Path) -> None:
    """Append the directory to `sys.path`: last, so that its files do not hide installed modules."""
    if str(directory) not in sys.path:
        sys.path.append(str(directory))


def _use(found: Any) -> None:
    """Register a class. A module needs nothing here: its import has registered its classes."""
    if isinstance(found, ModuleType) or found in registered_strategies().values():
        return
    if not isinstance(found, type):
        raise TypeError(f"{found!r} is neither a class nor a module")
    register(found)


def _module(name: str) -> tuple[ModuleType, bool]:
    """Import the module; return it, and whether it was new."""
    fresh = name not in sys.modules
    try:
        with _isolated(), atomic_registration():
            return importlib.import_module(name), fresh
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise PolicyNotLoaded(f"{name} cannot be imported: {_describe_error(error)}") from error
        raise PolicyNotLoaded(
            f"there is no module {name}, neither in {Path.cwd()} nor among the installed packages"
        ) from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise PolicyNotLoaded(f"{name} cannot be imported: {_describe_error(error)}") from error


def _file(path: Path) -> tuple[ModuleType, bool]:
    file = next((each for each in _candidates(path) if each.is_file()), None)
    if file is None:
        raise PolicyNotLoaded(f"there is no file {path}")
    # The checksum distinguishes files of the same name in different directories.
    name = f"{file.stem}_{zlib.crc32(str(file).encode()):08x}"
    if name in sys.modules:
        return sys.modules[name], False
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise PolicyNotLoaded(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    add_search_directory(file.parent)
    sys.modules[name] = module
    try:
        with _isolated(), atomic_registration():
            spec.loader.exec_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        del sys.modules[name]
        raise PolicyNotLoaded(f"{path} cannot be imported: {_describe_error(error)}") from error
    return module, True


def _candidates(path: Path) -> Iterator[Path]:
    for place in (Path.cwd(), *map(Path, filter(None, sys.path))):
        yield (place / path).resolve()


def _classes(module: ModuleType) -> list[str]:
    return sorted(
        name for name, value in vars(module).items() if isinstance(value, type) and value.__module__ == module.__name__
    )


def _describe_error(error: BaseException) -> str:
    """Describe the error and the last line of the traceback that is outside of libraries."""
    if isinstance(error, SyntaxError):
        return f"{error.msg} ({_relative_path(error.filename)}, line {error.lineno})"
    frames = [frame for frame in extract_tb(error.__traceback__) if frame.filename not in _IMPORT_FILES]
    frames = [frame for frame in frames if not frame.filename.startswith("<frozen ")]
    own = [frame for frame in frames if not frame.filename.startswith(_LIBRARIES)]
    # The files of an installed package are among the libraries too.
    shown = (own or [frame for frame in frames if frame.filename == frames[0].filename])[-1:]
    place = "".join(f" ({_relative_path(frame.filename)}, line {frame.lineno})" for frame in shown)
    kind = "" if isinstance(error, ImportError) else f"{type(error).__name__}: "
    return f"{kind}{one_line_message(error)}".removesuffix(".") + place


def _relative_path(file: str | None) -> str:
    """The path relative to the working directory if that is shorter."""
    if file is None:
        return "?"
    relative = os.path.relpath(file)
    return file if relative.startswith("..") else relative
