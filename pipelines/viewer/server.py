"""The viewer's small server: the page, its frames, and uploads, for this machine alone.

A foreign page must not read or change anything: the Host must be the server's own, and so must the Origin of whatever
changes state. Uploads and numbers are bounded.
"""

from __future__ import annotations

import ipaddress
import json
import math
import socket
import sys
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from typing import Any, ClassVar, cast
from urllib.parse import SplitResult, parse_qs, urlsplit

from enr.errors import EnrError
from enr.pipelines.rendering.camera_paths import CameraStep
from enr.pipelines.viewer.shelf import OpenModel, Shelf
from enr.pipelines.viewer.stage import FrameRequest, Shown, png

UPLOAD_BYTES = 20 * 2**20
LARGEST = 1e4
MOST_DIGITS = 18
"""Of a count that is asked for; Python reads no number of thousands of digits."""
SILENT_S = 30.0
"""So long a request may be silent before its thread is given up."""
HTTP_PORT = 80
"""What browsers leave out of the name of a host."""
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
EVERYWHERE = "0.0.0.0"
POLICY = "default-src 'self' 'unsafe-inline' blob: data:; frame-ancestors 'none'"
Query = dict[str, str]


class ViewerServer(ThreadingHTTPServer):
    """Serves the models of a shelf.

    Args:
        address: host and port; port 0 takes a free one.
        shelf: what is shown.

    Raises:
        EnrError: the address cannot be had.
    """

    daemon_threads = True
    request_queue_size = 64  # a page asks for many pictures at once, and several pages may

    def __init__(self, address: tuple[str, int], shelf: Shelf) -> None:
        try:
            super().__init__(address, Handler)
        except OSError as error:
            raise EnrError(
                f"The viewer cannot listen on {address[0]}:{address[1]} ({error.strerror}); give another --port, or "
                "0 for any that is free (and as --host an address of this machine)."
            ) from error
        self.shelf = shelf
        self.page = (resources.files("enr.pipelines.viewer") / "page.html").read_bytes()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A page that was closed, or a wire that was cut, is nobody's trouble; anything else is told."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    @property
    def url(self) -> str:
        """Where the page is."""
        host = str(self.server_address[0])
        return f"http://{'127.0.0.1' if host == EVERYWHERE else host}:{self.server_address[1]}/"

    def is_own_host(self, name: str) -> bool:
        """Whether a Host header names this server: by a loopback name, or by the address it was told to listen on.

        Where it listens everywhere, by any address or the machine's name: what a foreign page can make a browser send
        is a name of its own.
        """
        listens, port = str(self.server_address[0]), self.server_address[1]
        host, _, given_port = name.rpartition(":")
        if port == HTTP_PORT and (":" not in name or name.endswith("]")):
            host, given_port = name, str(port)
        if given_port != str(port):
            return False
        if host in (*LOOPBACK, listens):
            return True
        return listens == EVERYWHERE and (_is_address(host) or host.lower() == socket.gethostname().lower())


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    timeout = SILENT_S
    server: ViewerServer
    routes: ClassVar[dict[str, str]] = {"/": "_page", "/state": "_state", "/pulse": "_pulse", "/frame": "_frame",
                                         "/source": "_source", "/truth": "_truth"}  # fmt: skip

    def do_GET(self) -> None:
        """The page, its state, or a picture."""
        url = _split(self.path)
        route = self.routes.get(url.path)
        if not self.server.is_own_host(self.headers.get("Host", "")):
            self._answer(HTTPStatus.FORBIDDEN, b"This viewer answers its own page alone.", "text/plain")
        elif route is None:
            self._answer(HTTPStatus.NOT_FOUND, b"There is nothing here.", "text/plain")
        else:
            self._guarded(lambda: getattr(self, route)({key: value[0] for key, value in parse_qs(url.query).items()}))

    def do_POST(self) -> None:
        """An upload: the picture's bytes are the body, its name is in the query."""
        own = self.server.is_own_host(self.headers.get("Host", ""))
        origin = _split(self.headers.get("Origin", "")).netloc
        said = self.headers.get("Content-Length") or ""
        is_count = said.isdecimal() and len(said) <= MOST_DIGITS
        length = int(said) if is_count else 0
        if not own or origin != self.headers.get("Host") or _split(self.path).path != "/upload":
            self.close_connection = True
            self._answer(HTTPStatus.FORBIDDEN, b"This viewer takes pictures from its own page alone.", "text/plain")
        elif not 0 < length <= UPLOAD_BYTES:
            self.close_connection = True
            given = f"{length:,}" if is_count else said[:40]
            limit = f"The picture has {given} bytes; give one of at most {UPLOAD_BYTES // 2**20} MiB."
            status = HTTPStatus.BAD_REQUEST if len(said) > MOST_DIGITS else HTTPStatus.REQUEST_ENTITY_TOO_LARGE
            self._answer(status, limit.encode(), "text/plain; charset=utf-8")
        else:
            query = {key: value[0] for key, value in parse_qs(_split(self.path).query).items()}
            self._guarded(lambda: self._take(query, length))

    def _take(self, query: Query, length: int) -> None:
        body = self.rfile.read(length)
        stage = self._model(query).stage
        self._json(stage.facts(stage.add_picture(query.get("name", "the picture")[:80], body)))

    def _model(self, query: Query) -> OpenModel:
        number = query.get("model", "0")
        if not number.isdecimal() or len(number) > MOST_DIGITS:
            raise EnrError(f"There is no model {number[:40]!r} here; choose one of the list.")
        return self.server.shelf.model(int(number))

    def _page(self, _: Query) -> None:
        self._answer(HTTPStatus.OK, self.server.page, "text/html; charset=utf-8")

    def _state(self, query: Query) -> None:
        model = self._model(query)
        config = model.stage.model.config
        height, width = config.image_shape[1:]
        lens = {"width": width, "height": height, "focal_px": config.focal_px, "radius": config.radius}
        self._json({"models": self.server.shelf.names, "subjects": model.stage.listed(), **lens, **model.said_of_it()})

    def _pulse(self, query: Query) -> None:
        self._json(self._model(query).said_of_it())

    def _frame(self, query: Query) -> None:
        distance = _number(query, "distance") if "distance" in query else None
        look = FrameRequest(_step(query), distance, cast(Shown, query.get("shown", "picture")))
        self._png(self._model(query).stage.frame(query.get("id", ""), look))

    def _source(self, query: Query) -> None:
        stage, key = self._model(query).stage, query.get("id", "")
        if "facts" in query:
            self._json(stage.facts(key))
        else:
            self._png(stage.source(key))

    def _truth(self, query: Query) -> None:
        picture = self._model(query).stage.nearest_truth(query.get("id", ""), _step(query))
        if picture is None:
            self._answer(HTTPStatus.NO_CONTENT, b"", "text/plain")
        else:
            self._png(picture)

    def _guarded(self, work: Any) -> None:
        """A refusal becomes a sentence on the page; a page that was closed is nobody's trouble."""
        try:
            work()
        except EnrError as error:
            self._answer(HTTPStatus.BAD_REQUEST, str(error).encode(), "text/plain; charset=utf-8")
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _json(self, content: Mapping[str, object]) -> None:
        self._answer(HTTPStatus.OK, json.dumps(content).encode(), "application/json")

    def _png(self, picture: Any) -> None:
        self._answer(HTTPStatus.OK, png(picture), "image/png")

    def _answer(self, status: HTTPStatus, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Content-Security-Policy", POLICY)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: a frame each 20 ms is no news."""


def _number(query: Query, name: str) -> float:
    text = query.get(name, "0")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not abs(value) <= LARGEST:
        raise EnrError(f"{name} is {text[:40]!r}; give a number of at most {LARGEST:g}.")
    return value


def _step(query: Query) -> CameraStep:
    x, y, z = (_number(query, axis) for axis in "xyz")
    return CameraStep(_number(query, "azimuth_deg"), _number(query, "elevation_deg"), (x, y, z))


def _split(address: str) -> SplitResult:
    """The parts of an address; all empty where it is none, such as one of half an IPv6 address."""
    try:
        return urlsplit(address)
    except ValueError:
        return SplitResult("", "", "", "", "")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True
