"""The loss under diagnosis: found in a file or a module, and what it may be called with.

Whatever goes wrong here is the target's, so it is told as a sentence (`TargetError`), never as our stack trace.
"""

from __future__ import annotations

import ast
import difflib
import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from lossparity.conformance.diagnosis.calling import theirs

# The packages by which a file shows the engine that its losses run on. In this order where it imports several.
ENGINES: dict[str, tuple[str, ...]] = {
    "torch": ("torch", "torchvision"),
    "tensorflow": ("tensorflow", "keras", "tf_keras"),
    "jax": ("jax", "optax", "flax"),
    "numpy": ("numpy",),
}


class TargetError(Exception):
    """The target cannot be called: a sentence that says why, and what was tried."""


@dataclass(frozen=True)
class Target:
    """A callable and its parameters.

    name: as it was asked for, "my_losses.py:focal".
    engine: torch, tensorflow, jax or numpy.
    call: the parameters of a call: name -> whether it must be given.
    options: of a class, those of its constructor, in the same form; of a function, empty.
    constructed: whether it is a class, of which an instance is called.
    packages: the top-level packages that it, or a class of which it is one, comes from.
    build: takes constructor options and returns what is called (of a function: the function itself).
    """

    name: str
    engine: str
    call: Mapping[str, bool]
    options: Mapping[str, bool]
    build: Callable[..., Callable[..., Any]]
    constructed: bool
    packages: frozenset[str] = frozenset()

    @property
    def short(self) -> str:
        """The name without the place."""
        return self.name.rpartition(":")[2]


def find(word: str, engine: str | None = None, root: str = ".") -> Target:
    """The target that `word` names: `package.module:name` or `path/to/file.py:name`, a function or a class.

    root: the folder to which a path is relative, and in which modules are looked for.
    Errors: TargetError, where there is no such thing, it does not import, or cannot be called.
    """
    place, _, name = word.rpartition(":")
    if not place or not name:
        raise TargetError(f"TARGET {word!r} is not FILE.py:NAME or package.module:NAME")
    module, source = _imported(place, Path(root))
    found = _attribute(module, name, place)
    if not callable(found):
        raise TargetError(f"{name} in {place} is {a(type(found).__name__)}, not a function or a class")
    return _target(found, source, word, engine)


def of(found: Callable[..., Any], engine: str | None = None) -> Target:
    """The target that is this function, object or class. Errors as of `find`."""
    module = inspect.getmodule(found)
    word = f"{getattr(found, '__module__', '')}:{getattr(found, '__qualname__', type(found).__qualname__)}"
    return _target(found, _source(module) if module is not None else "", word, engine)


def _target(found: Any, source: str, word: str, engine: str | None) -> Target:
    packages = frozenset(each.__module__.partition(".")[0] for each in getattr(found, "__mro__", (found,)))
    return Target(
        word, engine or _engine(found, source, word), *_parameters(found, word), inspect.isclass(found), packages
    )


def _imported(place: str, root: Path) -> tuple[ModuleType, str]:
    """The module and its source."""
    is_file = place.endswith(".py") or "/" in place
    path = (root / place).resolve()
    if is_file and not path.is_file():
        raise TargetError(f"there is no file {place}")
    try:
        if is_file:
            sys.path.insert(0, str(path.parent))  # as `python FILE` has it: the file may import its neighbours
            spec = importlib.util.spec_from_file_location(path.stem, path)
            if spec is None or spec.loader is None:
                raise TargetError(f"{place} is not a Python file")
            module = importlib.util.module_from_spec(spec)
            sys.modules[path.stem] = module
            with theirs():
                spec.loader.exec_module(module)
        else:
            sys.path.insert(0, str(root.resolve()))
            with theirs():
                module = importlib.import_module(place)
    except TargetError:
        raise
    except SystemExit as error:
        raise TargetError(f"{place} does not import: it calls sys.exit({error.code!r})") from None
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        raise TargetError(f"{place} does not import: {told(error)}") from None
    return module, _source(module)


def _source(module: ModuleType) -> str:
    try:
        return inspect.getsource(module)
    except (OSError, TypeError):
        return ""


def told(error: BaseException) -> str:
    """An exception in one line: its class, its first line, and the last line of the target's own that raised it."""
    first = str(error).strip().split("\n")[0][:300]
    own = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "lossparity" not in Path(frame.filename).parts and "importlib" not in frame.filename
    ]
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg} (line {error.lineno})"
    outside = [frame for frame in own if "site-packages" not in Path(frame.filename).parts]
    place = f" (line {outside[-1].lineno}: {outside[-1].line})" if outside else ""
    return f"{type(error).__name__}: {first}{place}"


def _attribute(module: ModuleType, name: str, place: str) -> Any:
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            own = [n for n, each in vars(module).items() if callable(each) and not n.startswith("_")]
            near = difflib.get_close_matches(name, own, n=1)
            there = (
                f"; did you mean {near[0]}?" if near else f"; it has {', '.join(sorted(own)[:12]) or 'no callables'}"
            )
            raise TargetError(f"there is no {name} in {place}{there}")
        found = getattr(found, part)
    return found


def _engine(found: Any, source: str, word: str) -> str:
    """The engine by the packages that the target's classes and its file come from; NumPy where it imports none."""
    bases = {each.__module__.partition(".")[0] for each in getattr(found, "__mro__", ())}
    for name, packages in ENGINES.items():
        if bases & set(packages):
            return name
    seen = set(_imports(source))
    for name, packages in ENGINES.items():
        if seen & set(packages):
            return name
    loaded = [name for name, packages in ENGINES.items() if name != "numpy" and packages[0] in sys.modules]
    if len(loaded) == 1:
        return loaded[0]
    if source:
        return "numpy"
    raise TargetError(f"{word} imports none of {', '.join(ENGINES)} by name: say which with --engine")


def _imports(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def _parameters(found: Any, word: str) -> tuple[dict[str, bool], dict[str, bool], Callable[..., Callable[..., Any]]]:
    """What a call takes, what a constructor takes, and how a callable is made."""
    if not inspect.isclass(found):
        return _signature(found, word), {}, lambda: found
    for name in ("forward", "call", "__call__"):  # of a torch module, a Keras loss, any class
        method = inspect.getattr_static(found, name, None)
        if method is not None and getattr(found, name) is not getattr(object, name, None):
            call = _signature(getattr(found, name), word, bound=not isinstance(method, staticmethod))
            break
    else:
        raise TargetError(f"{word} is a class whose instances cannot be called: it has no forward, call or __call__")
    if name == "call" and "y_true" in call:  # Keras: the public __call__ weighs and reduces
        call["sample_weight"] = False
    own = _signature(found, word) if found.__init__ is not object.__init__ else {}
    build: Any = found
    return call, own, build


def _signature(found: Any, word: str, bound: bool = False) -> dict[str, bool]:
    try:
        parameters = list(inspect.signature(found).parameters.values())[1 if bound else 0 :]
    except (TypeError, ValueError):
        raise TargetError(f"{word} does not say what it takes: it has no signature that Python can read") from None
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {p.name: p.default is p.empty for p in parameters if p.kind in named}


def a(word: str) -> str:
    """A word with its article."""
    return f"{'an' if word[:1].lower() in 'aeiou' else 'a'} {word}"
