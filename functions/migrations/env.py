"""Alembic's environment: online on the connection that `handler` opened; offline it prints the SQL, for the linter."""

from alembic import context

if context.is_offline_mode():
    context.configure(dialect_name="postgresql", version_table="schema_version", version_table_schema="core")
else:
    context.configure(
        connection=context.config.attributes["connection"],
        version_table="schema_version",
        version_table_schema="core",
    )
with context.begin_transaction():
    context.run_migrations()
