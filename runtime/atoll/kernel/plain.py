"""Plain files: those whose top level gives the same whenever it runs, so that a second run would change nothing.

Rules of this file: pure. It reads an author's source tree and says what it found; nothing is imported or run.
Bodies of functions do not matter here, for the top level does not run them. Whatever is not named below makes a file
not plain: the list is of what is known to be harmless, and doubt means no.

A plain top level has docstrings, imports, functions without decorators, classes without decorators and keywords, and
assignments of constant expressions. What it takes from other modules could be bound anew there, so it is told
(`Plain.taken`), and `pristine.py` looks whether it still is what it was.
"""

import ast
import builtins
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

ELEMENTS_MAX: Final = 64
"""Elements of a module's tables that are compared after each invocation; with more of them a fresh run is no dearer."""

_OF_AUTHORS: Final = frozenset({"__all__", "__author__", "__version__"})
"""Names with double underscores that mean nothing to the import system; any other one at module level may."""
_HOOKS: Final = frozenset({"__class_getitem__", "__init_subclass__"})
"""Methods that a class statement or an annotation would call: author code that runs with the top level."""
_DECORATORS: Final = frozenset({"classmethod", "property", "staticmethod"})
_BUILTINS: Final = frozenset(name for name in vars(builtins) if not name.startswith("__"))


@dataclass(slots=True)
class Plain:
    """What a plain top level took from other modules, own ones included."""

    modules: set[str] = field(default_factory=set)
    taken: set[tuple[str, str]] = field(default_factory=set)
    """Attributes of modules that it read."""
    bound: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Its names that hold such an attribute, or a module: then the second part is empty."""
    later: set[tuple[str, str]] = field(default_factory=set)
    """What its functions may import while they run: module and name, or an empty name for any."""


def plain(source: bytes | str, name: str) -> Plain | None:
    """What the top level of a module takes from others; None when it is not plain."""
    reader = _Reader(name)
    try:
        tree = ast.parse(source)
        reader.module(tree)
        reader.found.later.update(_imported(tree))
    except (_NotPlain, RecursionError):
        return None
    return reader.found


def _imported(tree: ast.Module) -> Iterable[tuple[str, str]]:
    """All that is imported anywhere, by module and name; a module as such gives any of its names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)


class _NotPlain(Exception):
    pass


_Scope = dict[str, bool]
"""The names bound so far in a module or class, and whether each is made of literals only."""


class _Reader:
    """Reads one module; each method returns if the node is plain and raises if it is not."""

    def __init__(self, name: str) -> None:
        self.found = Plain()
        self._name = name
        self._module: _Scope = {}
        self._deferred = False
        self._elements = 0

    def module(self, tree: ast.Module) -> None:
        for node in tree.body:
            match node:
                case ast.Import():
                    self._import(node)
                case ast.ImportFrom():
                    self._import_from(node)
                case ast.If(orelse=[]):
                    self._not_taken(node.test)
                case _:
                    self._statement(node, self._module)

    def _statement(self, node: ast.stmt, scope: _Scope) -> None:
        match node:
            case ast.Pass() | ast.Expr(value=ast.Constant()):
                pass
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self._function(node, scope)
            case ast.ClassDef(decorator_list=[], keywords=[]):
                self._class(node, scope)
            case ast.Assign():
                literal = self._value(node.value, scope)
                for target in node.targets:
                    self._target(target, scope, literal)
            case ast.AnnAssign(target=ast.Name()) if node.simple:
                literal = node.value is not None and self._value(node.value, scope)
                self._annotation(node.annotation, scope)
                if node.value is not None:
                    self._target(node.target, scope, literal)
            case _:
                raise _NotPlain

    # Imports, and the two tests whose bodies never run.

    def _import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._needs(alias.name)
            head, _, _ = alias.name.partition(".")
            package, _, last = alias.name.rpartition(".")
            if alias.asname is None:
                self._import_as(head, (head, ""))
            elif package:
                self.found.taken.add((package, last))
                self._import_as(alias.asname, (package, last))
            else:
                self._import_as(alias.asname, (head, ""))

    def _import_from(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            if alias.name == "*":
                raise _NotPlain
            if node.level or node.module is None:
                # Relative to a package of the worker's own: nothing of it is taken from outside.
                self._bind(alias.asname or alias.name, self._module)
                continue
            self._needs(node.module)
            self._deferred |= (node.module, alias.name) == ("__future__", "annotations")
            self.found.taken.add((node.module, alias.name))
            self._import_as(alias.asname or alias.name, (node.module, alias.name))

    def _needs(self, module: str) -> None:
        parts = module.split(".")
        self.found.modules.update(".".join(parts[:end]) for end in range(1, len(parts) + 1))

    def _import_as(self, name: str, origin: tuple[str, str]) -> None:
        if self.found.bound.get(name) != origin:
            self._bind(name, self._module)
        self.found.bound[name] = origin

    def _not_taken(self, test: ast.expr) -> None:
        match test:
            case ast.Name() | ast.Attribute() if self._origin(test) == ("typing", "TYPE_CHECKING"):
                self._read(test, self._module)
            case ast.Compare(
                left=ast.Name(id="__name__"), ops=[ast.Eq()], comparators=[ast.Constant(value="__main__")]
            ) if self._name != "__main__":
                pass
            case _:
                raise _NotPlain

    # Functions and classes.

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef, scope: _Scope) -> None:
        if getattr(node, "type_params", None):
            raise _NotPlain
        for decorator in node.decorator_list:
            self._decorator(decorator, scope)
        arguments = node.args
        for default in [*arguments.defaults, *arguments.kw_defaults]:
            if default is not None:
                self._value(default, scope)
        others = [one for one in (arguments.vararg, arguments.kwarg) if one is not None]
        for one in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *others]:
            if one.annotation is not None:
                self._annotation(one.annotation, scope)
        if node.returns is not None:
            self._annotation(node.returns, scope)
        self._bind(node.name, scope)

    def _decorator(self, node: ast.expr, scope: _Scope) -> None:
        if scope is self._module:
            raise _NotPlain
        match node:
            case ast.Name(id=name) if name in _DECORATORS and name not in scope and name not in self._module:
                self._read(node, scope)
            case _:
                raise _NotPlain

    def _class(self, node: ast.ClassDef, scope: _Scope) -> None:
        if getattr(node, "type_params", None):
            raise _NotPlain
        for base in node.bases:
            self._read(base, scope)
        body: _Scope = {}
        for statement in node.body:
            self._statement(statement, body)
        if _HOOKS & body.keys():
            raise _NotPlain
        self._bind(node.name, scope)

    # Names.

    def _bind(self, name: str, scope: _Scope, literal: bool = False) -> None:
        if scope is self._module:
            if name in self.found.bound:
                raise _NotPlain
            if name.startswith("__") and name.endswith("__") and name not in _OF_AUTHORS:
                raise _NotPlain
        scope[name] = literal

    def _target(self, node: ast.expr, scope: _Scope, literal: bool) -> None:
        match node:
            case ast.Name(id=name):
                self._bind(name, scope, literal)
            case ast.Tuple(elts=parts):
                for part in parts:
                    self._target(part, scope, False)
            case _:
                raise _NotPlain

    def _read(self, node: ast.expr, scope: _Scope) -> None:
        """A name, or an attribute of an imported module."""
        match node:
            case ast.Name(id=name) if name in scope or name in self._module:
                pass
            case ast.Name(id=name) if name in _BUILTINS:
                self.found.taken.add(("builtins", name))
            case ast.Attribute() if (origin := self._origin(node)) is not None:
                self.found.taken.add(origin)
                if isinstance(node.value, ast.Attribute):
                    self._read(node.value, scope)
            case _:
                raise _NotPlain

    def _origin(self, node: ast.expr) -> tuple[str, str] | None:
        """The module, by its dotted name, and the attribute that an expression means, as far as imports tell."""
        match node:
            case ast.Name(id=name):
                return self.found.bound.get(name)
            case ast.Attribute(value=value, attr=attribute):
                origin = self._origin(value)
                return None if origin is None else (".".join(filter(None, origin)), attribute)
            case _:
                return None

    # Expressions.

    def _value(self, node: ast.expr, scope: _Scope) -> bool:
        """A constant expression; returns whether it is made of literals only, so that operators on it are builtin."""
        match node:
            case ast.Constant():
                return True
            case ast.Name(id=name):
                self._read(node, scope)
                return scope[name] if name in scope else self._module.get(name, False)
            case ast.UnaryOp(operand=operand):
                return self._literal([operand], scope)
            case ast.BinOp(left=left, right=right):
                return self._literal([left, right], scope)
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                return self._all(self._counted(parts), scope)
            case ast.Set(elts=parts):
                return self._literal(self._counted(parts), scope)
            case ast.Dict(keys=keys, values=values) if None not in keys:
                self._literal([key for key in keys if key is not None], scope)
                return self._all(self._counted(values), scope)
            case ast.Call():
                return self._call(node, scope)
            case _:
                raise _NotPlain

    def _counted(self, parts: list[ast.expr]) -> list[ast.expr]:
        self._elements += len(parts)
        if self._elements > ELEMENTS_MAX:
            raise _NotPlain
        return parts

    def _all(self, parts: Iterable[ast.expr], scope: _Scope) -> bool:
        literal = [self._value(part, scope) for part in parts]
        return all(literal)

    def _literal(self, parts: Iterable[ast.expr], scope: _Scope) -> bool:
        if not self._all(parts, scope):
            raise _NotPlain
        return True

    def _call(self, node: ast.Call, scope: _Scope) -> bool:
        """The two calls that give the same thing each time."""
        origin = self._origin(node.func)
        arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
        if origin == ("re", "compile"):
            for argument in arguments:
                self._pattern(argument, scope)
        elif origin == ("logging", "getLogger") and len(arguments) == 1 and not node.keywords:
            match arguments[0]:
                case ast.Name(id="__name__"):
                    pass
                case argument:
                    self._literal([argument], scope)
        else:
            raise _NotPlain
        self._read(node.func, scope)
        return False

    def _pattern(self, node: ast.expr, scope: _Scope) -> None:
        match node:
            case ast.Attribute() if (self._origin(node) or ("", ""))[0] == "re":
                self._read(node, scope)
            case ast.BinOp(left=left, op=ast.BitOr(), right=right):
                self._pattern(left, scope)
                self._pattern(right, scope)
            case _:
                self._literal([node], scope)

    def _annotation(self, node: ast.expr, scope: _Scope) -> None:
        """An annotation: part of the top level, unless `from __future__ import annotations` defers it."""
        if self._deferred:
            return
        match node:
            case ast.Constant():
                pass
            case ast.Name() | ast.Attribute():
                self._read(node, scope)
            case ast.Subscript(value=value, slice=index):
                self._annotation(value, scope)
                self._annotation(index, scope)
            case ast.BinOp(left=left, op=ast.BitOr(), right=right):
                self._annotation(left, scope)
                self._annotation(right, scope)
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                for part in parts:
                    self._annotation(part, scope)
            case _:
                raise _NotPlain
