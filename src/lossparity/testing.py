"""lossparity in other people's tests: is this function, module or class the loss that it says it is?

    from lossparity.testing import assert_conforms, conforms

    def test_focal():
        assert_conforms(my_focal, "sigmoid_focal_loss")

    @conforms("cross_entropy", takes=("ignore_index",), dtypes=("float32",))
    def test_fused_cross_entropy(input, target, ignore_index):
        return fused_cross_entropy(input, target, ignore_index=ignore_index)

The second makes one test of every case, dtype and reduction that the function takes. Importing this is light: the suite
and the framework are loaded by the first call.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

__all__ = ["assert_adapter", "assert_conforms", "conforms"]


def assert_adapter(module: ModuleType) -> None:
    """Raise AssertionError unless an adapter keeps what lossparity.adapters asks of one (conformance.kit)."""
    from lossparity.conformance import kit

    kit.assert_adapter(module)


def assert_conforms(
    function: Callable[..., Any],
    loss: str,
    *,
    engine: str | None = None,
    arguments: Mapping[str, str] | None = None,
    reductions: Sequence[str] = (),
    dtypes: Sequence[str] = (),
    expected_failures: Mapping[str, str] | None = None,
    seed: int = 0,
) -> None:
    """Raise AssertionError, with the sentences of `lossparity check`, unless `function` is the loss.

    function: a function, or a class that is called once it is constructed. loss: a name of `lossparity list losses`.
    engine: torch, tensorflow, jax or numpy (default: what the function's module imports).
    arguments: {ours: theirs} where names do not say it. reductions, dtypes: only these (default: all that it takes).
    expected_failures: {pattern: reason}, patterns of `CASE/DTYPE/ASPECT` as in fnmatch ("saturated-*/float32/value");
    where only those differ, it passes; one that nothing matches any more is stale and fails.
    A documented dialect conforms.
    """
    from lossparity.conformance.diagnosis.diagnose import diagnosis_of
    from lossparity.conformance.diagnosis.target import TargetError, of
    from lossparity.reports import diagnosis

    given = [f"{ours}={theirs}" for ours, theirs in (arguments or {}).items()]
    try:
        found = diagnosis_of(of(function, engine), loss, given, reductions, dtypes, seed, expected_failures or {})
    except TargetError as error:
        raise AssertionError(str(error)) from None
    if found.stale:
        patterns = ", ".join(found.stale)
        raise AssertionError(f"expected_failures that no check fails any more: {patterns}; remove them")
    if found.verdict == "differs":
        raise AssertionError(diagnosis.text(found.data()))


def conforms(
    loss: str,
    *,
    takes: Sequence[str] | None = None,
    engine: str | None = None,
    arguments: Mapping[str, str] | None = None,
    reductions: Sequence[str] = (),
    dtypes: Sequence[str] = (),
    expected_failures: Mapping[str, str] | None = None,
    seed: int = 0,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator that makes one pytest test of every case of a loss that the decorated function takes.

    takes: the optional arguments of the definition that it takes (default: those that its signature names).
    All else is as in `assert_conforms`. pytest collects the function by its name, test_...; it is called when it is
    decorated, to see what it takes.
    """
    import pytest

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        from lossparity.conformance.diagnosis import single
        from lossparity.conformance.diagnosis.target import TargetError, of

        refused = ""
        unmet = dict(expected_failures or {})
        try:
            rows = list(single.rows(of(function, engine), loss, takes, arguments or {}, reductions, dtypes, seed))
        except TargetError as error:
            rows = []
            refused = str(error)
        gone = [p for p in unmet if not any(fnmatch.fnmatch(row.id, p.rpartition("/")[0]) for row in rows)]
        if gone and not refused:
            refused = f"no case is what {', '.join(gone)} of expected_failures names: CASE/DTYPE/ASPECT"

        params = [pytest.param(row, id=row.id) for row in rows]
        if refused or not rows:
            params.append(pytest.param(None, id="of-the-whole"))

        @pytest.mark.parametrize("lossparity_row", params)
        def test(lossparity_row: Any) -> None:
            if lossparity_row is None:
                raise AssertionError(refused or f"there is no case of {loss} that it takes")
            failures = lossparity_row.failures()
            here = {p: r for p, r in unmet.items() if fnmatch.fnmatch(lossparity_row.id, p.rpartition("/")[0])}
            other = [words for name, words in failures if not any(fnmatch.fnmatch(name, p) for p in here)]
            if other:
                raise AssertionError("\n".join(other))
            if failures:
                pytest.xfail("; ".join(here.values()))
            if here:
                raise AssertionError(f"it does not fail any more as {', '.join(here)} expects: remove that")

        test.__name__, test.__qualname__ = function.__name__, function.__qualname__
        test.__module__, test.__doc__ = function.__module__, function.__doc__
        named: Callable[..., Any] = test
        return named

    return decorate
