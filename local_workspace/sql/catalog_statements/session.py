"""USE, SET and RESET: what the later statements of a session find.

Without a session they are checked and change nothing, as a statement sent alone is its own session.
"""

from __future__ import annotations

from collections.abc import Callable

from ...engine.interface import EngineError, Result
from ...errors import ApiError
from ..answers import Compute, done, texts
from ..session_settings import DEFAULTS, checked_setting, setting_name
from ..words import Words
from .context import Context


def use(words: Words, context: Context) -> Compute:
    """USE [CATALOG | SCHEMA | DATABASE] name"""
    words.expect("USE")
    if words.take("CATALOG"):
        return _use_catalog(words, context)
    words.take_any("SCHEMA", "DATABASE")
    catalog, schema = context.schema_name(words.name(most=2))
    words.end()
    return lambda: _place(context, catalog, schema)


def _use_catalog(words: Words, context: Context) -> Compute:
    name = words.string() if words.next.kind == "string" else words.name(most=1)[0]
    words.end()
    return lambda: _place(context, name.lower(), "default")


def _place(context: Context, catalog: str, schema: str) -> Result:
    if context.session is None:
        context.sessions.checked_place(catalog, schema)
    else:
        context.sessions.use(context.session, catalog, schema)
    return done()


def set_(words: Words, context: Context) -> Compute:
    """SET; SET CATALOG c; SET TIME ZONE z; SET [-v] name [= value]"""
    words.expect("SET")
    if words.take("CATALOG"):
        return _use_catalog(words, context)
    if words.take("TIME", "ZONE"):
        return _set_zone(words, context)
    if words.done:
        return lambda: texts(["key", "value"], sorted((DEFAULTS | _settings(context)).items()))
    name = ".".join(words.name(most=9))
    if words.done:
        return lambda: _show(context, name)
    words.expect("=")
    return _assign(context, name, _value(words))


def _set_zone(words: Words, context: Context) -> Compute:
    if words.take("LOCAL"):
        words.end()
        return _assign(context, "TIMEZONE", DEFAULTS["TIMEZONE"])
    zone = words.string()
    words.end()
    return _assign(context, "TIMEZONE", zone)


def _value(words: Words) -> str:
    if words.next.kind == "string":
        value = words.string()
        words.end()
        return value
    if words.done:
        raise words.wrong()
    value = "".join(token.text for token in words.tokens[words.at :])
    words.at = len(words.tokens)
    return value


def _assign(context: Context, name: str, value: str) -> Compute:
    def compute() -> Result:
        known, checked = _settled(lambda: checked_setting(name, value))
        if context.session is not None:
            context.sessions.configure(context.session, _settings(context) | {known: checked})
        return texts(["key", "value"], [(name, checked)])

    return compute


def _show(context: Context, name: str) -> Result:
    known = _settled(lambda: setting_name(name))
    value = (DEFAULTS | _settings(context)).get(known, "<undefined>")
    return texts(["key", "value"], [(name, value)])


def reset(words: Words, context: Context) -> Compute:
    """RESET [name]"""
    words.expect("RESET")
    name = None if words.done else ".".join(words.name(most=9))
    words.end()

    def compute() -> Result:
        known = None if name is None else _settled(lambda: setting_name(name))
        if context.session is not None:
            left = {key: value for key, value in _settings(context).items() if known not in
                    (None, key)}  # fmt: skip
            context.sessions.configure(context.session, left)
        return done()

    return compute


def _settings(context: Context) -> dict[str, str]:
    return dict(context.session.confs) if context.session else {}


def _settled(check: Callable):
    """The checked setting. A setting that is not to be had fails the statement."""
    try:
        return check()
    except ApiError as error:
        name = error.message.partition("]")[0].lstrip("[")
        raise EngineError(error.message, name, error.message.rpartition(" ")[2]) from error
