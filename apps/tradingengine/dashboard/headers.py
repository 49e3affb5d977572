"""Security headers of every answer, and the cookie that keeps a person on one release."""

from typing import Final

from tradingengine.telemetry.middleware import ASGIApp, Message, Receive, Scope, Send

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

_HEADERS: Final = (
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=(), payment=()"),
    (b"x-frame-options", b"DENY"),
)

RELEASE_COOKIE: Final = "te-release"
_DAY_SECONDS: Final = 86_400


def release_cookie(release: str) -> str | None:
    """The Set-Cookie value of a document of this release; None for a pod without a release."""
    if not release:
        return None
    return f"{RELEASE_COOKIE}={release}; Path=/; SameSite=Lax; HttpOnly; Max-Age={_DAY_SECONDS}"


class SecurityHeaders:
    """ASGI middleware that adds the security headers to each answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            await send(message)

        await self._app(scope, receive, add)
