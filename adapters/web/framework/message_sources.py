"""The messages of the HTTP API as templates, read from the source code of the core and of the other adapters.

Messages are ordinary texts there: `f"Order {order_id} is being paid."` becomes the template
`Order {order_id} is being paid.` A conditional expression becomes one template for each of its texts, and a local
variable that is assigned once, to a text, becomes this text. `framework.api_messages` recognizes messages by their
templates, so only a translation must be written for a new message.
"""

import ast
import builtins
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Final

PROJECT: Final = Path(__file__).parent.parent.parent.parent
SOURCES: Final = (
    "scalecommerce_core/domain",
    "scalecommerce_core/ports",
    "scalecommerce_core/pricing",
    "scalecommerce_core/queries",
    "scalecommerce_core/services",
    "adapters/db/core/connect_errors.py",
    "adapters/db/core/errors.py",
    "adapters/http",
    "adapters/payments",
    "adapters/security",
    "adapters/webhooks",
)
"""Packages and modules with messages for the clients of the HTTP API."""
EXCLUDED: Final = (
    "adapters/http/examples",
    "adapters/http/framework/openapi.py",
    "adapters/http/framework/problem_kinds.py",
    "scalecommerce_core/pricing/evaluation",
    "scalecommerce_core/services/email_texts.py",
    "scalecommerce_core/services/seeding",
)
"""Their texts are for documentation, operators or e-mails."""
NO_MESSAGE_CALLS: Final = frozenset(
    {"Header", "Link", "Meta", "OperationSpec", "RateLimit", "ResponseSpec", "Templates", "TroubleMeaning"}
    | {"text_meta", "warn", "compile", "execute"}
)
"""Calls whose arguments are no messages: those of `Templates` are translated as templates (`pages.seller`)."""
PART_CALLS: Final = ("NotFound", "TooManyAttempts.of", "acquire")
"""Calls whose texts are parts of a message, such as `product`."""
PARTS: Final = (
    # statuses of orders, payments and runs
    "CREATED", "PENDING", "REJECTED", "PAID", "CANCELLED", "REFUNDED", "OPEN", "CAPTURED", "DECLINED", "ABANDONED",
    "TOO_LATE", "CONFIRMED", "DECIDING", "WRITING", "DONE", "STOPPED", "FAILED", "ROLLING_BACK", "ROLLED_BACK",
    "AWAITING_APPROVAL",
    "EXPIRED",
    # actions on orders
    "be reserved", "be rejected", "be paid", "be cancelled", "expire", "be refunded",
    # types of values
    "text", "a whole number", "a number", "true or false", "a list", "an object", "null", "profit", "revenue",
    # answers of the receivers of webhooks
    "could not connect: no https server with a valid certificate was reached at a public address",
    "could not connect: no http server was reached at this address of this machine",
    "could not connect: no https server with a valid certificate was reached at this address of this machine",
    "no connection in time", "no connection", "the answer is not HTTP", "the request cannot be sent",
    "the connection broke", "no answer in time", "no answer within {seconds} s", "refused: {error}", "status {status}",
    # msgspec
    "Expected `array` of length >= {length}.", "Expected `array` of length <= {length}.",
    "Expected `str` matching regex {pattern}.", "Invalid enum value {value}.",
    # e-mails and readers of events
    "VERIFY_EMAIL", "CHANGE_EMAIL", "RESET_PASSWORD", "EMAIL_CHANGE_REQUESTED", "EMAIL_CHANGED", "PASSWORD_CHANGED",
    "SECOND_FACTOR_ENABLED", "SECOND_FACTOR_DISABLED", "RECOVERY_CODE_USED", "ACCOUNT_DELETED", "PASSWORD_RESET",
    "statistics", "webhooks",
    # imported files, and choices of guardrails and strategies
    "The file", "none", "whole", "units", "conversion",
    # refunds
    "{quantity} of product {product}, back in stock",
)  # fmt: skip
"""Other texts that messages have as parameters, or that are shown by themselves."""
PROGRAMMING_ERRORS: Final = frozenset(
    {name for name in vars(builtins) if name.endswith(("Error", "Exception"))} | {"LedgerInconsistent"}
)
"""Exceptions that never reach a client, except for `ValueError` in `PARSERS`."""
PARSERS: Final = ("scalecommerce_core/services/product_files",)
MAX_VARIANTS: Final = 32
_BEGIN: Final = re.compile("[A-Z0-9{]")
_END: Final = (".", "?", "!")
_WORDS: Final = re.compile("[A-Za-z]{2,}")
_PLACEHOLDER: Final = re.compile(r"\{(\w*)\}")


def message_templates() -> list[str]:
    """The templates of all messages, sorted; the names of placeholders are in braces."""
    found = set(PARTS)
    for path in _modules():
        is_parser = path.relative_to(PROJECT).as_posix().startswith(PARSERS)
        found |= templates_of(path.read_text(), is_parser=is_parser)
    return sorted(found)


def _modules() -> Iterator[Path]:
    for source in SOURCES:
        root = PROJECT / source
        for path in sorted(root.rglob("*.py")) if root.is_dir() else [root]:
            if not path.relative_to(PROJECT).as_posix().startswith(EXCLUDED):
                yield path


def templates_of(code: str, *, is_parser: bool = False) -> set[str]:
    """The templates of the messages in the source code of a module. `is_parser`: the messages of its `ValueError`s
    reach clients.
    """
    return _Reader(ast.parse(code), PROGRAMMING_ERRORS - {"ValueError"} if is_parser else PROGRAMMING_ERRORS).read()


class _Reader:
    def __init__(self, tree: ast.Module, programming_errors: frozenset[str]) -> None:
        self._tree = tree
        self._programming_errors = programming_errors
        self._parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
        self._scopes: dict[ast.AST, Mapping[str, ast.expr]] = {}
        self._inlined: set[ast.expr] = set()

    def read(self) -> set[str]:
        found: dict[str, ast.AST] = {}
        parts: set[str] = set()
        for node in ast.walk(self._tree):
            if isinstance(node, ast.ClassDef) and any("register" in ast.unparse(each) for each in node.decorator_list):
                # Pages show the first paragraph of a strategy's docstring.
                parts.add(" ".join((ast.get_docstring(node) or "").partition("\n\n")[0].split()))
            if not _is_text(node) or _is_text(self._parents[node]) or self._is_documentation(node):
                continue
            if self._is_part(node):
                parts.update(self._variants(node))
            else:
                variants = ("".join(_with_unique_names([_without_messages(each)])) for each in self._variants(node))
                found.update(dict.fromkeys(filter(_is_message, variants), node))
        complete = {text for text, node in found.items() if node not in self._inlined or text.endswith(_END)}
        return complete | parts

    def _is_part(self, node: ast.AST) -> bool:
        parent = self._parents[node]
        return isinstance(parent, ast.Call) and ast.unparse(parent.func).removeprefix("errors.").endswith(PART_CALLS)

    def _is_documentation(self, node: ast.AST) -> bool:
        """Whether a text is a docstring, describes the API, or is for programmers and logs."""
        while not isinstance(node, ast.stmt):
            child, node = node, self._parents[node]
            match node:
                case ast.FormattedValue() | ast.Compare():
                    return True
                case ast.Subscript() if child is node.slice:
                    return True
                case ast.Dict() if child in node.keys or _key_of(node, child) == "description":
                    return True
                case ast.Call() if _called(node) in NO_MESSAGE_CALLS or ast.unparse(node.func).startswith("logger."):
                    return True
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            return ast.unparse(node.exc.func) in self._programming_errors
        return isinstance(node, ast.Expr) and not isinstance(node.value, ast.Call)

    def _variants(self, node: ast.AST) -> list[str]:
        """The texts that an expression may have, with placeholders."""
        match node:
            case ast.Constant(value=str(text)):
                return [text]
            case ast.IfExp():
                return [*self._variants(node.body), *self._variants(node.orelse)]
            case ast.BinOp(op=ast.Add()):
                return self._joined([self._variants(node.left), self._variants(node.right)])
            case ast.JoinedStr():
                return self._joined(
                    [
                        self._variants(part.value if isinstance(part, ast.FormattedValue) else part)
                        for part in node.values
                    ]
                )
            case ast.Name() if (value := self._assigned(node)) is not None:
                return self._variants(value)
            case ast.BoolOp(op=ast.Or(), values=[*others, ast.Constant(value=str(text))]):
                return [text, *(variant for other in others for variant in self._variants(other))]
            case _:
                return [f"{{{_name_of(node)}}}"]

    def _joined(self, choices: list[list[str]]) -> list[str]:
        while len(combined := list(product(*choices))) > MAX_VARIANTS:
            longest = max(choices, key=len)
            choices = [["{value}"] if each is longest else each for each in choices]
        return ["".join(_with_unique_names(parts)) for parts in combined]

    def _assigned(self, name: ast.Name) -> ast.expr | None:
        """The text that a local variable or a constant always has, as an expression."""
        scope: ast.AST = name
        while scope in self._parents:
            scope = self._parents[scope]
            if isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef | ast.Module):
                found = self._texts_in(scope)
                if name.id in found:
                    self._inlined.add(found[name.id])
                    return found[name.id]
        return None

    def _texts_in(self, scope: ast.AST) -> Mapping[str, ast.expr]:
        if scope not in self._scopes:
            texts: dict[str, ast.expr] = {}
            bound: list[str] = []
            for node in ast.walk(scope) if not isinstance(scope, ast.Module) else scope.body:
                target, value = None, None
                if isinstance(node, ast.Assign) and len(node.targets) == 1:
                    target, value = node.targets[0], node.value
                elif isinstance(node, ast.AnnAssign):
                    target, value = node.target, node.value
                elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                    bound.append(node.id)
                if isinstance(target, ast.Name) and value is not None and _is_text(value):
                    texts[target.id] = value
            self._scopes[scope] = {name: text for name, text in texts.items() if bound.count(name) <= 1}
        return self._scopes[scope]


def _is_message(template: str) -> bool:
    """Whether a text is a sentence, or its beginning: a parameter may be the end."""
    words = len(_WORDS.findall(_PLACEHOLDER.sub("", template)))
    if " " not in template or not words or _BEGIN.match(template) is None:
        return False
    return template.endswith(_END) or (template.endswith("}") and (words > 1 or ": {" in template))


def _without_messages(template: str) -> str:
    """The template without the placeholders before and after it that are sentences of their own."""
    return re.sub(r"(?<=[.?!]) \{\w*\}$|^\{\w*\} (?=[A-Z])", "", template)


def _called(call: ast.Call) -> str:
    return ast.unparse(call.func).rpartition(".")[2]


def _key_of(node: ast.Dict, value: ast.AST) -> object:
    return next(
        (getattr(key, "value", None) for key, each in zip(node.keys, node.values, strict=True) if each is value), None
    )


def _is_text(node: ast.AST) -> bool:
    """Whether an expression is a text of its own."""
    match node:
        case ast.Constant():
            return isinstance(node.value, str)
        case ast.JoinedStr():
            return True
        case ast.IfExp():
            return _is_text(node.body) and _is_text(node.orelse)
        case ast.BinOp(op=ast.Add()):
            return _is_text(node.left) or _is_text(node.right)
        case _:
            return False


def _name_of(node: ast.AST) -> str:
    match node:
        case ast.Name():
            return node.id.lower()
        case ast.Attribute():
            return node.attr.strip("_").lower()
        case ast.Call(func=ast.Name(id="str" | "len" | "repr" | "max" | "min" | "round"), args=[first, *_]):
            return _name_of(first)
        case ast.Call(func=func):
            return _name_of(func)
        case ast.Subscript(value=value):
            return _name_of(value)
        case _:
            return "value"


def _with_unique_names(parts: Iterable[str]) -> Iterator[str]:
    """The parts with the names of placeholders numbered from the second one of a name on."""
    seen: dict[str, int] = {}

    def rename(match: re.Match[str]) -> str:
        name = match[1] or "value"
        seen[name] = seen.get(name, 0) + 1
        return f"{{{name}}}" if seen[name] == 1 else f"{{{name}_{seen[name]}}}"

    for part in parts:
        yield _PLACEHOLDER.sub(rename, part)
