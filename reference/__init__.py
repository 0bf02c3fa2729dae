"""Pure-NumPy reference losses, with exact vector-Jacobian products.

    >>> from lossparity import reference
    >>> value, pullback = reference.cross_entropy.vjp([[0.0, 1.0]], [1])
    >>> pullback()["input"]

Computation is float64. `LOSSES` maps every loss's name to it, `ACTIVATIONS` those of the functions that
losses are built on.
"""

from __future__ import annotations

from lossparity.reference.core import REDUCTIONS, Loss
from lossparity.reference.regression import huber_loss, l1_loss, mse_loss, smooth_l1_loss

LOSSES: dict[str, Loss] = {
    each.name: each
    for each in (
        l1_loss,
        mse_loss,
        smooth_l1_loss,
        huber_loss,
    )
}

__all__ = ["LOSSES", "REDUCTIONS", "Loss", *LOSSES]
