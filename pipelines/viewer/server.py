"""The viewer's small server: the page, its frames, and uploads, for this machine alone.

A foreign page must not read or change anything: the Host must be the server's own, and so must the Origin of whatever
changes state. Uploads and numbers are bounded.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

from enr.errors import EnrError
from enr.pipelines.rendering.camera_paths import CameraStep
from enr.pipelines.viewer.stage import Stage, png

UPLOAD_BYTES = 20 * 2**20
LARGEST = 1e4
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


class ViewerServer(ThreadingHTTPServer):
    """Serves one stage.

    Args:
        address: host and port; port 0 takes a free one.
        stage: what is shown.
        model_name: what the page calls the model.

    Raises:
        EnrError: the address cannot be had.
    """

    daemon_threads = True

    def __init__(self, address: tuple[str, int], stage: Stage, model_name: str) -> None:
        try:
            super().__init__(address, Handler)
        except OSError as error:
            raise EnrError(
                f"The viewer cannot listen on {address[0]}:{address[1]} ({error.strerror}); give another --port, or "
                "0 for any that is free."
            ) from error
        self.stage = stage
        self.model_name = model_name
        self.page = (resources.files("enr.pipelines.viewer") / "page.html").read_bytes()

    @property
    def url(self) -> str:
        """Where the page is."""
        host = str(self.server_address[0])
        return f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{self.server_address[1]}/"

    def is_own_host(self, name: str) -> bool:
        """Whether a Host header names this server: by a loopback name, or by the address it was told to listen on."""
        own = {f"{host}:{self.server_address[1]}" for host in (*LOOPBACK, str(self.server_address[0]))}
        return name in own or str(self.server_address[0]) == "0.0.0.0"


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: ViewerServer
    routes: ClassVar[dict[str, str]] = {"/": "_page", "/state": "_state", "/frame": "_frame", "/source": "_source",
                                         "/truth": "_truth"}  # fmt: skip

    def do_GET(self) -> None:
        """The page, its state, or a picture."""
        url = urlsplit(self.path)
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
        origin = urlsplit(self.headers.get("Origin", "")).netloc
        length = int(self.headers.get("Content-Length") or 0)
        if not own or origin != self.headers.get("Host") or urlsplit(self.path).path != "/upload":
            self.close_connection = True
            self._answer(HTTPStatus.FORBIDDEN, b"This viewer takes pictures from its own page alone.", "text/plain")
        elif not 0 < length <= UPLOAD_BYTES:
            self.close_connection = True
            limit = f"The picture has {length:,} bytes; give one of at most {UPLOAD_BYTES // 2**20} MiB."
            self._answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, limit.encode(), "text/plain")
        else:
            body = self.rfile.read(length)
            name = unquote(urlsplit(self.path).query)[:80] or "the picture"
            self._guarded(lambda: self._json(self.server.stage.facts(self.server.stage.add_picture(name, body))))

    def _page(self, _: dict[str, str]) -> None:
        self._answer(HTTPStatus.OK, self.server.page, "text/html; charset=utf-8")

    def _state(self, _: dict[str, str]) -> None:
        stage = self.server.stage
        height, width = stage.model.config.image_shape[1:]
        subjects = [{"id": key, "name": subject.name} for key, subject in stage.subjects.items()]
        focal = stage.model.config.focal_px
        radius = stage.model.config.radius
        self._json({"model": self.server.model_name, "width": width, "height": height, "focal_px": focal,
                    "radius": radius, "subjects": subjects})  # fmt: skip

    def _frame(self, query: dict[str, str]) -> None:
        distance = _number(query, "distance") if "distance" in query else None
        self._png(self.server.stage.frame(query.get("id", ""), _step(query), distance))

    def _source(self, query: dict[str, str]) -> None:
        if "facts" in query:
            self._json(self.server.stage.facts(query.get("id", "")))
        else:
            self._png(self.server.stage.source(query.get("id", "")))

    def _truth(self, query: dict[str, str]) -> None:
        picture = self.server.stage.nearest_truth(query.get("id", ""), _step(query))
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
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: a frame each 20 ms is no news."""


def _number(query: dict[str, str], name: str) -> float:
    text = query.get(name, "0")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not abs(value) <= LARGEST:
        raise EnrError(f"{name} is {text[:40]!r}; give a number of at most {LARGEST:g}.")
    return value


def _step(query: dict[str, str]) -> CameraStep:
    x, y, z = (_number(query, axis) for axis in "xyz")
    return CameraStep(_number(query, "azimuth_deg"), _number(query, "elevation_deg"), (x, y, z))
