"""Somebody's own loss: what it is called with, which loss it is, in which documented variant, and where it differs."""
