"""Address of the server: validation, and search for a free port."""

from __future__ import annotations

import errno
import os
import socket
from dataclasses import dataclass
from typing import Final

from hermes.errors import HermesError

PORTS_TRIED: Final = 100
"""Number of ports to try if the port was not given explicitly, as in Gradio."""
LARGEST_PORT: Final = 65535


class AddressError(HermesError):
    """The page cannot listen on the requested address."""


@dataclass(frozen=True)
class Address:
    """The address at which the page is served.

    Attributes:
        host: Host name or IP address, without brackets.
        port: TCP port, 1 to 65535.
    """

    host: str
    port: int

    @property
    def url_host(self) -> str:
        """The host as URLs and Gradio's `server_name` write it: IPv6 addresses in brackets."""
        return f"[{self.host}]" if ":" in self.host else self.host

    def __str__(self) -> str:
        """The URL of the page."""
        return f"http://{self.url_host}:{self.port}"


def find_address(host: str, port: int, *, explicit: bool) -> Address:
    """Find a free port on a host.

    Args:
        host: Host name or IP address; IPv6 addresses with or without brackets.
        port: The first port to try.
        explicit: Whether the user chose the port. If so, no other port is tried.

    Raises:
        AddressError: The host is unknown or not local, the port requires more permissions, or no port is free.
    """
    host = host.removeprefix("[").removesuffix("]")
    last = port if explicit else min(port + PORTS_TRIED - 1, LARGEST_PORT)
    for candidate in range(port, last + 1):
        address = Address(host, candidate)
        if is_free(address):
            return address
    if explicit:
        raise AddressError(
            f"Port {port} is in use on {host}. Stop the other program, or choose another port with --port."
        )
    raise AddressError(f"The ports {port} to {last} are all in use on {host}. Choose another one with --port.")


def is_free(address: Address) -> bool:
    """Return whether a server can listen on an address now.

    Raises:
        AddressError: No server can listen there, even if the port is free.
    """
    try:
        found = socket.getaddrinfo(address.host or None, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise AddressError(f"The host “{address.host}” is not known.") from error
    for family, kind, protocol, _, where in found:
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(where)
                probe.listen(1)
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    return False
                raise AddressError(f"The page cannot listen on {address}: {os.strerror(error.errno or 0)}.") from error
    return True
