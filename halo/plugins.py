"""Plugins: a file of a package of ours, or a dotted path outside; no registry and no import order."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

from halo.errors import ConfigError


def plugin_names(package: str) -> tuple[str, ...]:
    """Return the names of the plugins that `package` ships, sorted."""
    return tuple(sorted(info.name for info in pkgutil.iter_modules(importlib.import_module(package).__path__)))


def resolve(package: str, name: str, protocol: type) -> ModuleType:
    """Return the module `package.name`, or the module at the dotted path `name`.

    Args:
        package: where our own plugins of this kind live, `halo.methods`.
        name: a file of that package, or a dotted path such as `my_lab.methods.lattice`.
        protocol: the class whose annotations and methods name what the module must have.

    Raises:
        ConfigError: there is no such module, or it lacks a part of the protocol.
    """
    path = name if "." in name else f"{package}.{name}"
    try:
        module = importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name and not path.startswith(error.name):
            raise
        known = ", ".join(plugin_names(package))
        message = f"no plugin {name!r} in {package}; it has {known}, and a dotted path names your own."
        raise ConfigError(message) from error
    missing = sorted(part for part in parts_of(protocol) if not hasattr(module, part))
    if missing:
        raise ConfigError(f"plugin {path} lacks {', '.join(missing)}; see the protocol in {package}.")
    return module


def parts_of(protocol: type) -> set[str]:
    """Return the public names that `protocol` declares."""
    declared = set(protocol.__annotations__) | set(vars(protocol))
    return {part for part in declared if not part.startswith("_")}
