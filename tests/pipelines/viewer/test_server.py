"""The viewer: what it shows is what `enr render` makes, and nobody but its own page is answered."""

from __future__ import annotations

import http.client
import io
import json
import threading
from urllib.parse import urlencode

import numpy as np
import pytest
from PIL import Image

from enr.errors import EnrError
from enr.model import load_model
from enr.pipelines.rendering.camera_paths import Cameras, CameraStep
from enr.pipelines.rendering.novel_views import NovelViewSettings, render_novel_views
from enr.pipelines.viewer.server import ViewerServer
from enr.pipelines.viewer.stage import MOST_UPLOADS, Stage


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    pixels = np.full((60, 80, 3), 250, np.uint8)
    pixels[20:40, 30:50] = (200, 40, 60)
    path = tmp_path_factory.mktemp("pictures") / "box.png"
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def server(checkpoint):
    server = ViewerServer(("127.0.0.1", 0), Stage(load_model(checkpoint)), "a model")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def ask(server, method, path, body=None, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=20)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content


def upload(server, content, name="box.png", origin=None):
    own = f"http://127.0.0.1:{server.server_address[1]}"
    return ask(server, "POST", f"/upload?{name}", content, Origin=origin or own)


def test_the_page_and_its_state_are_served(server):
    status, page = ask(server, "GET", "/")
    assert status == 200
    assert b"<canvas" in page
    assert b"http://" not in page.replace(b"http://www.w3.org", b"")
    state = json.loads(ask(server, "GET", "/state")[1])
    assert (state["width"], state["height"], state["subjects"]) == (16, 16, [])


def test_a_frame_is_the_picture_that_enr_render_makes(server, checkpoint, picture):
    status, answer = upload(server, picture.read_bytes())
    assert status == 200, answer
    step = CameraStep(40, -15, (0.1, 0, -0.2))
    query = {"id": json.loads(answer)["id"], "azimuth_deg": 40, "elevation_deg": -15, "x": 0.1, "y": 0, "z": -0.2}
    status, frame = ask(server, "GET", "/frame?" + urlencode(query))
    assert status == 200
    rendered = render_novel_views(NovelViewSettings(picture, Cameras((step,)), checkpoint)).images[0]
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(frame))), rendered)
    assert ask(server, "GET", "/truth?" + urlencode(query))[0] == 204


@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"Host": "127.0.0.1:1"}])
def test_a_foreign_host_is_refused(server, headers):
    assert ask(server, "GET", "/state", **headers)[0] == 403


def test_a_foreign_origin_uploads_nothing(server, picture):
    assert upload(server, picture.read_bytes(), origin="http://evil.example")[0] == 403
    assert ask(server, "POST", "/upload?box.png", picture.read_bytes())[0] == 403
    assert not server.stage.subjects


@pytest.mark.parametrize("content", [b"no picture", b"\x89PNG\r\n\x1a\n broken"])
def test_a_broken_upload_gets_a_sentence(server, content):
    status, message = upload(server, content, name="mine.png")
    assert status == 400
    assert b"mine.png cannot be read as a picture" in message


@pytest.mark.parametrize("value", ["nan", "inf", "1e30", "text"])
def test_numbers_that_are_none_are_refused(server, picture, value):
    key = json.loads(upload(server, picture.read_bytes())[1])["id"]
    status, message = ask(server, "GET", f"/frame?id={key}&azimuth_deg={value}")
    assert status == 400
    assert b"azimuth_deg" in message


def test_an_unknown_picture_and_page_are_named(server):
    assert ask(server, "GET", "/frame?id=none")[0] == 400
    assert ask(server, "GET", "/secrets")[0] == 404


def test_uploads_are_bounded(server, picture):
    content = picture.read_bytes()
    keys = [json.loads(upload(server, content)[1])["id"] for _ in range(MOST_UPLOADS + 2)]
    assert len(set(keys)) == len(keys)
    assert len(server.stage.subjects) == MOST_UPLOADS
    assert keys[0] not in server.stage.subjects


def test_a_port_in_use_is_said(server, checkpoint):
    with pytest.raises(EnrError, match="--port"):
        ViewerServer(("127.0.0.1", server.server_address[1]), server.stage, "another")
