"""`env` for one invocation, made from a worker's variables.

Invariant: no invocation sees another's changes. Texts and numbers cannot be changed and are shared; an object or
array is copied when an invocation first asks for it. What an author sets on `env` stays in the invocation.
The repr shows names only, for values may be secret.
"""

from collections.abc import Mapping
from typing import Any

from atoll.bindings.values import copied


class EnvFactory:
    """Builds the env of one invocation (`ports.Env`); `variables` holds JSON values by name."""

    __slots__ = ("_variables",)

    def __init__(self, variables: Mapping[str, Any]) -> None:
        self._variables = dict(variables)

    def __call__(self) -> "Env":
        return Env(self._variables)

    def __repr__(self) -> str:
        return f"<EnvFactory of {', '.join(sorted(self._variables)) or 'nothing'}>"


class Env:
    """The variables and bindings of a worker as attributes; it has no other public ones, for any name may be theirs."""

    __slots__ = ("__dict__", "__variables")

    def __init__(self, variables: dict[str, Any]) -> None:
        self.__variables = variables

    def __getattr__(self, name: str) -> Any:
        """Called once for each name: what it finds is kept as an ordinary attribute."""
        if name == "_Env__variables":
            # Not set yet: copy and pickle look at an object before it is whole.
            raise AttributeError(name)
        try:
            value = self.__variables[name]
        except KeyError:
            raise AttributeError(self.__missing(name), name=name, obj=self) from None
        value = self.__dict__[name] = copied(value)
        return value

    def __missing(self, name: str) -> str:
        if name.startswith("__"):
            return name
        known = ", ".join(dir(self)) or "nothing"
        return f"env has no {name!r}; it has {known}. A variable is added under [vars] in the configuration"

    def __dir__(self) -> list[str]:
        return sorted({*self.__variables, *self.__dict__})

    def __repr__(self) -> str:
        return f"<env: {', '.join(dir(self)) or 'empty'}>"
