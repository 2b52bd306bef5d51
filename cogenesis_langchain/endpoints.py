"""What may stand as an address in the config, and how TLS is spoken to it. Contacts nobody.

An endpoint is `https://host[:port][/path]`; plain http is accepted on loopback only. No user info, query
or fragment: they carry secrets into logs, and the gate compares scheme, host, port and path.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

if TYPE_CHECKING:
    import ssl

_PORTS = {"http": 80, "https": 443}


def is_loopback(url: str) -> bool:
    """Whether the host of `url` is this machine: `localhost`, 127.0.0.0/8 or ::1."""
    return _is_loopback_host(urlsplit(url).hostname or "")


def origin(url: str) -> tuple[str, str, int]:
    """(scheme, host, port) of a checked URL, the default port filled in: what two endpoints share."""
    parts = urlsplit(url)
    return parts.scheme, (parts.hostname or "").rstrip("."), parts.port or _PORTS[parts.scheme]


def tls_context(url: str) -> ssl.SSLContext:
    """TLS for private bytes to `url`: certifi's authorities, host names checked, no variable obeyed.

    Python's and httpx's default contexts write the keys of each session to the file SSLKEYLOGFILE names.
    """
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # demands a certificate, and the right name in it
    context.verify_flags |= ssl.VERIFY_X509_STRICT  # the default context's own choice from Python 3.13 on
    if urlsplit(url).scheme == "https":  # loading takes tens of milliseconds; plain http needs none
        import certifi

        context.load_verify_locations(certifi.where())
    return context


def check_endpoint(url: str) -> str:
    """Give `url` back without its trailing slash, or raise ValueError saying what to write instead."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # reading it is what validates it
    except ValueError:
        raise ValueError("must be a URL such as https://api.example.com/v1") from None
    _check_parts(url, parts)
    if parts.scheme == "http" and not _is_loopback_host(parts.hostname or ""):
        raise ValueError("plain http is accepted on loopback only; use https")
    return url.rstrip("/")


def _check_parts(url: str, parts: SplitResult) -> None:
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError("must be a URL such as https://api.example.com/v1")
    if not url.isascii() or any(c.isspace() or c in "\\{}" for c in url):
        raise ValueError("must be a URL without spaces, backslashes, braces or characters outside ASCII")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold a user name or password; use api_key: os.environ/NAME")
    if parts.query or parts.fragment:
        raise ValueError("must not hold a query or fragment")


def _is_loopback_host(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
