"""Which migration this source expects."""

from typing import Final

REVISION: Final = "0001"
"""The newest expansion in `storage/migrations`; told to the operator as `schema_revision`."""
