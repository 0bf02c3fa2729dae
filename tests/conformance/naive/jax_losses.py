"""Losses as write-ups teach them, in jax."""

import jax
import jax.numpy as jnp


def half_mse(targets, predictions):
    return 0.5 * jnp.mean((predictions - targets) ** 2)


def bce_clipped(targets, probs):
    p = jnp.clip(probs, 1e-7, 1 - 1e-7)
    return -jnp.mean(targets * jnp.log(p) + (1 - targets) * jnp.log(1 - p))


def detached(input, target):
    return jnp.mean((jax.lax.stop_gradient(input) - target) ** 2)
