"""Owns live devices in a project: a process a link, one that fills the store, and what is told of them."""
