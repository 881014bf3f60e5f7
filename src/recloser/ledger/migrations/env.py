# ruff: noqa: INP001 - Alembic loads this file by its path, it is no module of a package
"""Runs the migrations on the connection the ledger hands over, inside its transaction."""

from alembic import context

connection = context.config.attributes["connection"]
context.configure(connection=connection, version_table=context.config.attributes["version_table"])
with context.begin_transaction():
    context.run_migrations()
