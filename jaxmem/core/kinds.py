"""Mixers, models and tasks by name: those of the package, and plugins.

A plugin is a module outside of the package that defines what a file of `jaxmem.mixers`
(`Mixer`), of `jaxmem.models` (`Config`, `Model`) or the `task` of a folder of
`jaxmem.tasks` (`Config`, `resolve_model`, `Task`) defines. Its name is that of its
file. It is found in two ways:

- `load("my_package.my_mixer")` imports it; `--plugins my_package.my_mixer` calls that;
- a distribution declares it as an entry point of the group "jaxmem.mixers",
  "jaxmem.models" or "jaxmem.tasks"; it is imported when the user names it, in a config
  or as `--plugins NAME`.

A saved file imports nothing: inside `saved_file()` only what is of the package, or was
imported before, has a name.
"""

import contextlib
import contextvars
import dataclasses
import functools
import importlib
import importlib.metadata
import pkgutil
import sys
from collections.abc import Iterator
from types import ModuleType

from jaxmem.core import migrations, registry
from jaxmem.core.errors import UserError, reason

# The option of every command that imports plugins.
FLAG = "--plugins"
# A context and not an argument: reading a saved config calls `parse` of a pattern,
# `entry` and `get`, the same functions that a user calls.
_READS_SAVED = contextvars.ContextVar("reads_saved", default=False)
# Package -> name -> the plugin.
_PLUGINS: dict[str, dict[str, ModuleType]] = {}
_LOADED: list[str] = []


@contextlib.contextmanager
def saved_file() -> Iterator[None]:
  """Makes the names of plugins that are not imported yet unknown inside the context.

  A saved file must not cause an import that its reader has not asked for: it would run
  the code of whoever wrote the file.
  """
  token = _READS_SAVED.set(True)
  try:
    yield
  finally:
    _READS_SAVED.reset(token)


@dataclasses.dataclass(frozen=True)
class Group:
  """What can be named in a config: the files of a package, and plugins.

  Attributes:
    noun: what a member is, in messages.
    package: whose files the members are; also the name of the group of entry points.
    needs: names that a member defines, and the attributes that each must have.
    file: a member is this file of a folder; "" for a file of the package itself.
  """

  noun: str
  package: str
  needs: tuple[tuple[str, tuple[str, ...]], ...]
  file: str = ""

  def names(self) -> list[str]:
    """Returns the names that have a member now: of files, and of imported plugins."""
    return sorted({*_package_members(self), *_PLUGINS.get(self.package, {})})

  def get(self, name: str) -> ModuleType:
    """Returns the member of a name.

    Args:
      name: of the member, or one that it had before 0.2.

    Raises:
      KeyError: if there is none; names the nearest.
      UserError: if it is an entry point that cannot be imported, or is no member.
    """
    name = migrations.KINDS.get(self.package, {}).get(name, name)
    # the package first: a plugin cannot take the place of one of its files
    if name in _package_members(self):
      return importlib.import_module(_package_members(self)[name])
    plugins = _PLUGINS.get(self.package, {})
    # an entry point is imported only where the user, and no saved file, has named it
    if name not in plugins and not _READS_SAVED.get() and name in self.installed():
      return self.add(name, _loaded(self.installed()[name]))
    if name not in plugins:
      raise KeyError(f"no {self.noun} {name!r}: {self._hint(name)}")
    return plugins[name]

  def name_of(self, config: type) -> str:
    """Returns the name of the member whose `Config` is this class.

    Args:
      config: the class of a config.

    Raises:
      KeyError: if there is none.
    """
    members = _package_members(self)

    def defines(name):
      """Whether the class is of this member's file, or of its folder."""
      module = members.get(name, "?").removesuffix(f".{self.file}")
      return config.__module__.startswith(module)

    # the likely member first: the others then stay unimported
    for name in sorted(self.names(), key=defines, reverse=True):
      if self.get(name).Config is config:
        return name
    for name, entry in self.installed().items():
      module = sys.modules.get(entry.module)
      if module and getattr(module, "Config", None) is config:
        self.add(name, module)
        return name
    raise KeyError(
      f"{config.__module__}.{config.__name__} is the Config of no {self.noun}: name "
      f"its module with {FLAG}, or call jaxmem.load_plugin"
    )

  def installed(self) -> dict[str, importlib.metadata.EntryPoint]:
    """Returns the entry points of the group, by name; nothing is imported."""
    entries = importlib.metadata.entry_points(group=self.package)
    return {entry.name: entry for entry in sorted(entries)}

  def add(self, name: str, module: ModuleType) -> ModuleType:
    """Registers a plugin under a name, and returns it.

    Args:
      name: that configs will use.
      module: the plugin.

    Raises:
      UserError: if the name is taken, or the module is no member.
    """
    self.check(module)
    plugin = _PLUGINS.get(self.package, {}).get(name, module)  # of that name, if any
    holder = _package_members(self).get(name) or plugin.__name__
    if holder != module.__name__:
      raise UserError(
        f"plugin {module.__name__} is called {name!r}, which {holder} is already: "
        "rename its file or entry point"
      )
    # the first module of a name stays: a second import of it is another object
    return _PLUGINS.setdefault(self.package, {}).setdefault(name, module)

  def check(self, module: ModuleType) -> None:
    """Raises UserError unless a module defines all that a member defines."""
    for name, attributes in self.needs:
      value = getattr(module, name, None)
      if value is None or (attributes and not isinstance(value, type)):
        raise UserError(
          f"{module.__name__} is no {self.noun}: it must define {self._needed()}"
        )
      fields = getattr(value, "__dataclass_fields__", {})
      lacks = [a for a in attributes if a not in fields and a not in dir(value)]
      if lacks:
        raise UserError(
          f"{module.__name__}.{name} has no {', '.join(lacks)}: a {self.noun} needs "
          f"{', '.join(attributes)}"
        )

  def _needed(self) -> str:
    return ", ".join(name for name, _ in self.needs)

  def _hint(self, name: str) -> str:
    hint = registry.nearest(name, self.names())
    if not _READS_SAVED.get():
      return hint
    installed = ", ".join(self.installed()) or "none"
    return (
      f"{hint}; a plugin is imported only if you name it, {FLAG} MODULE (entry points "
      f"installed: {installed})"
    )


@functools.cache
def _package_members(group: Group) -> dict[str, str]:
  """The members that are files of the package: name -> module."""
  if group.file:  # tasks, found by their folders: none of them need be imported
    folders = pkgutil.iter_modules(importlib.import_module(group.package).__path__)
    names = [info.name for info in folders if info.ispkg]
    return {name: f"{group.package}.{name}.{group.file}" for name in names}
  marker = group.needs[-1][0]
  members = registry.members(group.package, marker)
  return {name: module.__name__ for name, module in members.items()}


def load(name: str) -> None:
  """Imports a plugin and registers it under its name.

  Args:
    name: of an entry point, or a module, dotted.

  Raises:
    UserError: if there is none, it cannot be imported, or is no plugin.
  """
  if not name:
    raise UserError(f"{FLAG} needs the name of a module or of an entry point")
  entries = [(g, g.installed()[name]) for g in GROUPS if name in g.installed()]
  for group, entry in entries:
    group.add(name, _loaded(entry))
  if not entries:
    _load_module(name)
  if name not in _LOADED:
    _LOADED.append(name)


def loaded() -> tuple[str, ...]:
  """Returns what `load` was called with, for the processes that a command starts."""
  return tuple(_LOADED)


def _load_module(name: str) -> None:
  """`load` of a module."""
  try:
    module = importlib.import_module(name)
  except (Exception, SystemExit) as error:  # a plugin's code may raise anything
    installed = sorted({each for group in GROUPS for each in group.installed()})
    raise UserError(
      f"{FLAG} {name}: cannot be imported ({reason(error)}); give a module that Python "
      f"finds, or an entry point (installed: {', '.join(installed) or 'none'})"
    ) from error
  # one module may be a member of several groups, such as a model with its mixer
  groups = [g for g in GROUPS if all(hasattr(module, name) for name, _ in g.needs)]
  if not groups:
    needed = "; ".join(f"a {g.noun} {g._needed()}" for g in GROUPS)
    raise UserError(f"{FLAG} {name}: the module is no plugin, which defines: {needed}")
  for group in groups:
    group.add(name.rpartition(".")[2], module)


def _loaded(entry: importlib.metadata.EntryPoint) -> ModuleType:
  try:
    module = entry.load()
  except (Exception, SystemExit) as error:  # a plugin's code may raise anything
    raise UserError(
      f"plugin {entry.name!r} ({entry.value}) cannot be imported: {reason(error)}"
    ) from error
  if not isinstance(module, ModuleType):
    raise UserError(f"plugin {entry.name!r} ({entry.value}) must be a module")
  return module


_MIXER = ("d_model", "dtype", "family", "init_state", "state_axes", "__call__")
_MODEL_CONFIG = ("d_model", "pattern", "num_groups", "dropout", "dtype")
_MODEL = ("objective", "example", "init_state", "state_axes")
_TASK_CONFIG = ("source", "segment_length", "batch_size")
_TASK = ("describe", "to_metric", "validation_metric", "save_assets", "report")
MIXERS = Group("memory", "jaxmem.mixers", (("Mixer", _MIXER),))
MODELS = Group("model", "jaxmem.models", (("Config", _MODEL_CONFIG), ("Model", _MODEL)))
TASKS = Group(
  "task",
  "jaxmem.tasks",
  (("Config", _TASK_CONFIG), ("resolve_model", ()), ("Task", _TASK)),
  "task",
)
GROUPS = (MIXERS, MODELS, TASKS)
