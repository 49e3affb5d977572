"""Alembic migrations in plain SQL; run by `te migrate` alone."""
