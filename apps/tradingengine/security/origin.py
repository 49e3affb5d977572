"""Same-origin rule for requests that change something: a browser says where a page came from, and must say here."""

from urllib.parse import urlsplit


def same_origin(origin: str | None, host: str | None, *, fetch_site: str | None = None) -> bool:
    """Whether a request with these `Origin`, `Host` and `Sec-Fetch-Site` headers is not another site's.

    A client that is no browser sends no Origin; the session cookie is SameSite=Strict on top of this. Scheme is not
    compared, since the gateway may end TLS.
    """
    if fetch_site is not None and fetch_site not in ("same-origin", "none"):
        return False
    if origin is None:
        return True
    if host is None:
        return False
    parts = urlsplit(origin)
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()
