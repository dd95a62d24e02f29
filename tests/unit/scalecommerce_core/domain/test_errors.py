import importlib
import pkgutil
import re
from collections.abc import Iterator

import scalecommerce_core
from scalecommerce_core.domain import errors
from scalecommerce_core.domain.errors import MarketError


def _subclasses(cls: type[MarketError], depth: int = 0) -> Iterator[tuple[str, int]]:
    yield cls.__name__, depth
    for subclass in cls.__subclasses__():
        if subclass.__module__.startswith("scalecommerce_core."):
            yield from _subclasses(subclass, depth + 1)


def test_the_tree_of_errors_lists_every_class_at_its_place() -> None:
    for module in pkgutil.walk_packages(scalecommerce_core.__path__, "scalecommerce_core."):
        if ".testing" not in module.name:
            importlib.import_module(module.name)
    listed = re.findall(r"^((?:[│ ]   |[├└]── )*)([A-Z]\w+)(?:  .+)?$", errors.__doc__ or "", re.MULTILINE)
    assert sorted((name, len(indent) // 4) for indent, name in listed) == sorted(_subclasses(MarketError))


def test_every_line_of_the_tree_says_when_the_error_is_raised() -> None:
    lines = re.findall(r"^[│├└ ].*── (\w+)(.*)$", errors.__doc__ or "", re.MULTILINE)
    assert [name for name, explanation in lines if len(explanation.split()) < 4] == []


def test_codes_of_errors_are_unique() -> None:
    def codes(cls: type[MarketError]) -> Iterator[str]:
        yield cls.code
        for subclass in cls.__subclasses__():
            if subclass.__module__.startswith("scalecommerce_core."):
                yield from codes(subclass)

    found = list(codes(MarketError))
    assert len(found) == len(set(found))
