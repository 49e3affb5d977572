"""Security headers of every answer, and the cookie that keeps a person on one release."""

from typing import Final

from tradingengine.control.middleware import COMMON_HEADERS

# The chart library and preact set styles through the CSSOM, which style-src does not restrict; the data block is
# not a script to the browser. So neither inline scripts nor inline styles are ever needed.
CONTENT_SECURITY_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "font-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    )
)

# Not `no-referrer`: with it a browser sends `Origin: null`, and the api could not tell our own page from another.
HEADERS: Final = {
    **COMMON_HEADERS,
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "referrer-policy": "same-origin",
}

RELEASE_COOKIE: Final = "te-release"
_DAY_SECONDS: Final = 86_400


def release_cookie(release: str) -> str | None:
    """The Set-Cookie value of a document of this release; None for a pod without a release."""
    if not release:
        return None
    return f"{RELEASE_COOKIE}={release}; Path=/; SameSite=Lax; HttpOnly; Max-Age={_DAY_SECONDS}"
