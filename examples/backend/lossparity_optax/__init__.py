"""optax.losses as a backend of lossparity: the row that registers it. Nothing here imports JAX."""

from lossparity.adapters import Backend

BACKEND = Backend("optax", module="lossparity_optax.adapter", namespaces=("optax.",), imports=("jax", "optax"),
                  distributions=("optax", "jax", "jaxlib"), requires=("jax>=0.4.30", "optax>=0.2.5"),
                  engine="jax")  # fmt: skip
