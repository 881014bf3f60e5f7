"""Owns a simulated PMU or PDC: its sockets and datagrams, made-up waves, and those of a simulated grid."""
