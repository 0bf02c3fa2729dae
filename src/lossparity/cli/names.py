"""What there is to name in a policy, whether or not two records have it."""

from __future__ import annotations

from typing import Any


def known_names() -> Any:
    """The losses, backends, cases and aspects that this lossparity knows."""
    from lossparity.adapters import BACKENDS
    from lossparity.conformance.cases import CASES
    from lossparity.reference import LOSSES
    from lossparity.reports.scope import Names

    arguments = dict.fromkeys(name for loss in LOSSES.values() for name in loss.arguments)
    return Names(
        losses=tuple(LOSSES),
        backends={name: backend.namespaces for name, backend in BACKENDS.items()},
        cases=tuple(dict.fromkeys(name for cases in CASES.values() for name in cases)),
        aspects=(
            *("value", "shape", "dtype", "error", "twin"),
            *(f"{kind}:{name}" for kind in ("gradient", "second") for name in arguments),
        ),
    )
