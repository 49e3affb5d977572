"""Which migration this source expects."""

from typing import Final

REVISION: Final = "0001"
"""The head of `storage/migrations`; told to the operator as `schema_revision`."""
