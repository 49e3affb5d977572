"""What a Secret holds."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any


def decoded(secret: Mapping[str, Any]) -> dict[str, str]:
    """Values of a Secret as text, by key; what is no text is left out."""
    values = {}
    for key, value in (secret.get("data") or {}).items():
        try:
            values[key] = base64.b64decode(value).decode()
        except (binascii.Error, UnicodeDecodeError):
            continue
    return values
