"""Alembic's environment. Online it runs on the connection that `handler` opened; offline it prints the SQL for the linter."""

from alembic import context

VERSION_TABLE = {"version_table": "schema_version", "version_table_schema": "core"}

if context.is_offline_mode():
    context.configure(dialect_name="postgresql", **VERSION_TABLE)
    with context.begin_transaction():
        context.run_migrations()
else:
    context.configure(connection=context.config.attributes["connection"], **VERSION_TABLE)
    with context.begin_transaction():
        context.run_migrations()
