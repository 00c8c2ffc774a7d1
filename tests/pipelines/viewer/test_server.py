"""The viewer: what it shows is what `enr render` makes, and nobody but its own page is answered."""

from __future__ import annotations

import http.client
import io
import json
import shutil
import socket
import threading
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pytest
from PIL import Image
from tests.command_line import enr
from tests.pipelines.conftest import CONFIG
from tests.pipelines.tiny_config import tiny_config
from tests.pipelines.toy_shards import Toy, make_toy, write_toy

from enr.compositing import over_background
from enr.errors import EnrError
from enr.model import Renderer, save_model
from enr.pipelines.rendering.camera_paths import Cameras, CameraStep
from enr.pipelines.rendering.maps import depth_pictures, opacity_pictures
from enr.pipelines.rendering.novel_views import NovelViewSettings, render_novel_views
from enr.pipelines.training.runs import create_run, save_checkpoint, write_config
from enr.pipelines.viewer.open import open_viewer
from enr.pipelines.viewer.server import ViewerServer
from enr.pipelines.viewer.shelf import Offer, Shelf
from enr.pipelines.viewer.stage import MOST_UPLOADS


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    pixels = np.full((60, 80, 3), 250, np.uint8)
    pixels[20:40, 30:50] = (200, 40, 60)
    path = tmp_path_factory.mktemp("pictures") / "box.png"
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def server(checkpoint):
    with serving(Shelf([checkpoint], Offer())) as server:
        yield server


@contextmanager
def serving(shelf):
    server = ViewerServer(("127.0.0.1", 0), shelf)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
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
    return ask(server, "POST", "/upload?" + urlencode({"name": name}), content, Origin=origin or own)


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
    assert ask(server, "POST", "/upload?name=box.png", picture.read_bytes())[0] == 403
    assert not server.shelf.model(0).stage.uploads


@pytest.mark.parametrize("content", [b"no picture", b"\x89PNG\r\n\x1a\n broken"])
def test_a_broken_upload_gets_a_sentence(server, content):
    status, message = upload(server, content, name="mine.png")
    assert status == 400
    assert message == b"mine.png is no picture; give a PNG or JPEG file."


def test_numbers_of_thousands_of_digits_are_refused(of_shards, capfd):
    digits = "9" * 5000
    for path in (
        f"/state?model={digits}",
        f"/frame?id={digits}-0",
        f"/frame?id=0-{digits}",
        f"/frame?id=0-0&x={digits}",
    ):
        status, message = ask(of_shards, "GET", path)
        assert status == 400 and len(message) < 200
    own = f"http://127.0.0.1:{of_shards.server_address[1]}"
    status, _ = ask(of_shards, "POST", "/upload", None, Origin=own, **{"Content-Length": digits})
    assert status == 400
    assert capfd.readouterr().err == ""


def test_addresses_that_are_none_are_refused(server, picture, capfd):
    assert upload(server, picture.read_bytes(), origin="http://[::1")[0] == 403
    with socket.create_connection(server.server_address, timeout=10) as connection:
        connection.sendall(b"GET http://[::1 HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % server.server_address[1])
        assert b" 404 " in connection.recv(100)
    assert capfd.readouterr().err == ""


def test_browsers_leave_out_the_port_80(server):
    server.server_address = ("127.0.0.1", 80)
    for host in ("127.0.0.1", "localhost", "[::1]", "127.0.0.1:80"):
        assert server.is_own_host(host), host
    for host in ("evil.example", "127.0.0.1:81", "", "[::1"):
        assert not server.is_own_host(host), host


def test_a_body_that_does_not_come_is_given_up(server, monkeypatch, capfd):
    assert server.RequestHandlerClass.timeout == 30
    monkeypatch.setattr(server.RequestHandlerClass, "timeout", 0.2)
    host = f"127.0.0.1:{server.server_address[1]}"
    with socket.create_connection(server.server_address, timeout=10) as connection:
        said = f"POST /upload HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nContent-Length: 9\r\n\r\nhalf"
        connection.sendall(said.encode())
        assert connection.recv(100) == b""
    assert capfd.readouterr().err == ""


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
    assert len(server.shelf.model(0).stage.uploads) == MOST_UPLOADS
    assert keys[0] not in server.shelf.model(0).stage.uploads


def test_a_port_in_use_is_said(server, checkpoint):
    with pytest.raises(EnrError, match="--port"):
        ViewerServer(("127.0.0.1", server.server_address[1]), server.shelf)


@pytest.fixture
def of_shards(checkpoint, shard):
    with serving(Shelf([checkpoint], Offer(shards=(shard,)))) as server:
        yield server


def pixels(answer):
    assert answer[0] == 200, answer
    return np.asarray(Image.open(io.BytesIO(answer[1])))


def test_scenes_and_their_pictures_can_be_chosen_unseen_ones_first(of_shards):
    subjects = json.loads(ask(of_shards, "GET", "/state")[1])["subjects"]
    assert [subject["name"].split(":")[0] for subject in subjects] == ["test", "val", "train", "train", "train"]
    assert {subject["views"] for subject in subjects} == {4}
    toy = make_toy(Toy())
    true = over_background(toy.images[toy.views["split"] == "test"], (1, 1, 1))
    for view in range(4):
        np.testing.assert_array_equal(pixels(ask(of_shards, "GET", f"/source?id=0-{view}")), true[view])
        np.testing.assert_array_equal(pixels(ask(of_shards, "GET", f"/truth?id=0-{view}")), true[view])
    for wrong in ("0-4", "9-0", "0-x", "-", "0"):
        assert ask(of_shards, "GET", f"/source?id={wrong}")[0] == 400


def test_the_nearest_true_view_is_that_of_the_camera_that_is_looked_through(of_shards):
    toy = make_toy(Toy())
    rows = np.flatnonzero(toy.views["split"] == "test")
    azimuth, elevation = toy.views["azimuth_deg"][rows], toy.views["elevation_deg"][rows]
    true = over_background(toy.images[rows], (1, 1, 1))
    for view in range(1, 4):  # turned to the right by azimuth; the targets differ by less than the turns
        query = {
            "id": "0-0",
            "azimuth_deg": azimuth[view] - azimuth[0],
            "elevation_deg": elevation[view] - elevation[0],
        }
        np.testing.assert_array_equal(pixels(ask(of_shards, "GET", "/truth?" + urlencode(query))), true[view])


def test_depth_and_opacity_are_those_of_enr_render(server, checkpoint, picture):
    key = json.loads(upload(server, picture.read_bytes())[1])["id"]
    settings = NovelViewSettings(picture, Cameras((CameraStep(20),)), checkpoint, with_maps=True)
    views = render_novel_views(settings)
    shown = [
        pixels(ask(server, "GET", f"/frame?id={key}&azimuth_deg=20&shown={kind}")) for kind in ("depth", "opacity")
    ]
    np.testing.assert_array_equal(shown[0], depth_pictures(views.maps.depth, views.centre_depth)[0])
    np.testing.assert_array_equal(shown[1], opacity_pictures(views.maps.opacity)[0])
    assert b"choose picture" in ask(server, "GET", f"/frame?id={key}&shown=normals")[1]


def test_two_people_at_once_see_each_their_own(of_shards):
    alone = {view: pixels(ask(of_shards, "GET", f"/frame?id=0-{view}&azimuth_deg=30")) for view in (0, 1)}
    seen = {0: [], 1: []}

    def person(view):
        for _ in range(20):
            seen[view].append(pixels(ask(of_shards, "GET", f"/frame?id=0-{view}&azimuth_deg=30")))

    people = [threading.Thread(target=person, args=(view,)) for view in seen]
    for one in people:
        one.start()
    for one in people:
        one.join()
    for view, frames in seen.items():
        assert len(frames) == 20
        assert all((frame == alone[view]).all() for frame in frames)


def test_several_models_are_offered_and_opened_when_chosen(checkpoint, picture, tmp_path):
    save_model(tmp_path / "large", Renderer(tiny_config(24)), {"step": 7})
    with serving(Shelf([checkpoint, tmp_path / "large", tmp_path / "none"], Offer((picture,)))) as server:
        first, second = (json.loads(ask(server, "GET", f"/state?model={number}")[1]) for number in (0, 1))
        assert (first["width"], second["width"], second["step"]) == (16, 24, 7)
        assert len(first["models"]) == 3
        key = second["subjects"][0]["id"]
        assert pixels(ask(server, "GET", f"/frame?model=1&id={key}")).shape == (24, 24, 3)
        for number, word in ((2, b"does not exist"), (3, b"no model 3"), ("x", b"no model")):
            status, message = ask(server, "GET", f"/state?model={number}")
            assert (status, word in message) == (400, True), message


def test_a_model_that_is_not_there_is_refused_though_another_is_shown_first(checkpoint, tmp_path):
    with pytest.raises(EnrError, match="none does not exist"):
        open_viewer([checkpoint, tmp_path / "none"], Offer(), ("127.0.0.1", 0))


def test_shards_of_another_size_are_refused(checkpoint, tmp_path):
    with pytest.raises(EnrError, match="24x24 px, the model's 16x16 px"):
        Shelf([checkpoint], Offer(shards=(write_toy(tmp_path / "large.h5", Toy(size_px=24)),)))


def test_the_newest_checkpoint_of_a_training_is_followed(shard, tmp_path, monkeypatch):
    monkeypatch.setattr("enr.pipelines.viewer.shelf.LOOK_AGAIN_S", 0.0)
    run = create_run(tmp_path, "tiny", {"shards": [str(shard)], "model": {}, "train": {}})
    write_config(run)
    save_checkpoint(run.last, Renderer(CONFIG), {"step": 10})
    with serving(Shelf([run.folder], Offer(follow=True))) as server:
        before = pixels(ask(server, "GET", "/frame?id=0-0&azimuth_deg=30"))
        assert json.loads(ask(server, "GET", "/pulse")[1]) == {"version": 0, "step": 10, "follow": True}
        save_checkpoint(run.last, Renderer(CONFIG), {"step": 20})
        assert json.loads(ask(server, "GET", "/pulse")[1]) == {"version": 1, "step": 20, "follow": True}
        after = pixels(ask(server, "GET", "/frame?id=0-0&azimuth_deg=30"))
        assert np.abs(after.astype(int) - before).max() > 0
        run.last.rename(run.last.with_name("away"))  # as while it is being replaced
        np.testing.assert_array_equal(pixels(ask(server, "GET", "/frame?id=0-0&azimuth_deg=30")), after)


@pytest.mark.parametrize("length", ["-5", "many", "1e3", str(2**40)])
def test_an_upload_of_no_proper_length_is_refused(server, length):
    own = f"http://127.0.0.1:{server.server_address[1]}"
    status, _ = ask(server, "POST", "/upload?name=a.png", None, Origin=own, **{"Content-Length": length})
    assert status == 413


def test_a_server_for_everyone_answers_addresses_and_its_own_name_alone(checkpoint):
    server = ViewerServer(("0.0.0.0", 0), Shelf([checkpoint], Offer()))
    port = server.server_address[1]
    for host in (f"10.1.2.3:{port}", f"127.0.0.1:{port}", f"{socket.gethostname()}:{port}", f"[fe80::1]:{port}"):
        assert server.is_own_host(host), host
    for host in (f"evil.example:{port}", "10.1.2.3:1", "10.1.2.3", "", f"127.0.0.1.evil.example:{port}"):
        assert not server.is_own_host(host), host
    server.server_close()


def test_without_a_display_no_browser_is_opened_and_it_is_said(checkpoint, monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("webbrowser.open", lambda url: pytest.fail("opened"))
    monkeypatch.setattr(ViewerServer, "serve_forever", lambda self: None)
    result = enr("view", checkpoint, "--port", 0)
    assert result.exit_code == 0, result.output
    assert "No browser could be opened here" in result.output
    assert "http://127.0.0.1:" in result.output


def test_a_host_that_is_none_of_this_machines_is_said(checkpoint):
    result = enr("view", checkpoint, "--host", "192.0.2.1", "--no-browser")
    assert result.exit_code == 2
    assert "cannot listen on 192.0.2.1" in result.output


@pytest.fixture
def shipped(tmp_path, monkeypatch, checkpoint, picture):
    """The model that comes with enr, with an example, and a working directory without a run."""
    shutil.copytree(checkpoint, tmp_path / "package" / "shapes")
    (tmp_path / "package" / "shapes" / "examples").mkdir()
    shutil.copy(picture, tmp_path / "package" / "shapes" / "examples" / "chair.png")
    monkeypatch.setattr("enr.model.shipped.FOLDER", tmp_path / "package")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "package" / "shapes"


def test_without_a_run_the_model_that_comes_with_enr_is_shown(shipped, picture):
    server = open_viewer([], Offer(), ("127.0.0.1", 0))
    assert server.shelf.names == [str(shipped)]
    assert [subject["name"] for subject in server.shelf.model(0).stage.listed()] == ["chair.png"]
    server.server_close()
    result = enr("render", picture, "--out", "view.png")
    assert result.exit_code == 0, result.output
    assert f"Checkpoint: {shipped}" in result.output


def test_runs_come_before_the_model_that_comes_with_enr(shipped, shard):
    for _ in range(2):
        run = create_run(Path("runs"), "tiny", {"shards": [str(shard)], "model": {}, "train": {}})
        write_config(run)
        save_checkpoint(run.last, Renderer(CONFIG), {})
    server = open_viewer([], Offer(), ("127.0.0.1", 0))
    assert len(server.shelf.names) == 3
    assert server.shelf.names[-1] == str(shipped)
    assert server.shelf.model(0).stage.listed()[0]["name"] == "test: box-004"
    server.server_close()


def test_with_neither_the_word_is_that_there_is_no_run(tmp_path, monkeypatch, picture):
    monkeypatch.setattr("enr.model.shipped.FOLDER", tmp_path)
    monkeypatch.chdir(tmp_path)
    for words in (("view", "--no-browser"), ("render", picture)):
        result = enr(*words)
        assert result.exit_code == 2
        assert "No earlier run" in result.output
