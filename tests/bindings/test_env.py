"""`env`: variables as attributes, each invocation's its own."""

import copy
import json

import pytest

from atoll.bindings.env import EnvFactory

VARIABLES = {"NAME": "text", "SECRET": "hunter2", "COUNT": 3, "CONFIG": {"a": [1, {"b": 2}], "keys": 5}, "LIST": [[1]]}


def test_variables_are_attributes() -> None:
    """Texts and numbers as they are; objects with attribute access, as on Cloudflare."""
    env = EnvFactory(VARIABLES)()
    assert (env.NAME, env.COUNT) == ("text", 3)
    assert env.CONFIG.a[1].b == env.CONFIG["a"][1]["b"] == 2
    assert env.CONFIG["keys"] == 5
    assert env.CONFIG is env.CONFIG
    assert type(env.CONFIG.to_py()) is dict
    assert env.CONFIG.to_py() == VARIABLES["CONFIG"]
    assert type(env.LIST.to_py()[0]) is list
    assert json.dumps(env.CONFIG) == json.dumps(VARIABLES["CONFIG"])


def test_no_invocation_sees_the_changes_of_another() -> None:
    """Neither what it set on env nor what it did to an object in it, however deep."""
    factory = EnvFactory(VARIABLES)
    first, second = factory(), factory()
    first.CONFIG.a[1].b = 99
    first.LIST[0].append(2)
    first.NAME = "changed"
    first.extra = 1
    assert second.CONFIG.a[1].b == 2
    assert second.LIST == [[1]]
    assert second.NAME == "text"
    assert not hasattr(second, "extra")
    assert first.NAME == "changed"
    del first.NAME
    assert first.NAME == "text"


def test_a_missing_name_says_what_there_is() -> None:
    """And no value is told."""
    env = EnvFactory(VARIABLES)()
    with pytest.raises(AttributeError, match=r"env has no 'NAMES'; it has CONFIG, COUNT, LIST, NAME, SECRET") as caught:
        _ = env.NAMES
    assert "hunter2" not in str(caught.value)
    with pytest.raises(AttributeError, match="it has nothing"):
        _ = EnvFactory({})().NAME
    with pytest.raises(AttributeError, match=r"there is no 'c' here, but a, keys"):
        _ = env.CONFIG.c


def test_no_repr_shows_a_value() -> None:
    """Values may be secret; names are not."""
    factory = EnvFactory(VARIABLES)
    env = factory()
    assert env.SECRET == "hunter2"
    assert repr(env) == "<env: CONFIG, COUNT, LIST, NAME, SECRET>"
    assert dir(env) == ["CONFIG", "COUNT", "LIST", "NAME", "SECRET"]
    assert "hunter2" not in repr(factory)


def test_what_the_factory_was_given_can_change_later() -> None:
    """It has a mapping of its own."""
    variables = {"A": "1"}
    factory = EnvFactory(variables)
    variables["A"] = "2"
    assert factory().A == "1"


def test_env_can_be_copied() -> None:
    """copy and pickle look at it before it is whole, which must not recurse."""
    env = EnvFactory(VARIABLES)()
    assert copy.copy(env).NAME == "text"
    assert copy.deepcopy(env.CONFIG).a[1].b == 2
