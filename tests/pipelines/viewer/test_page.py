"""The viewer's page in a real browser: it loads, the mouse moves the object, its picture is that of `enr render`."""

from __future__ import annotations

import base64
import io
import json
import threading
from urllib.parse import parse_qs

import numpy as np
import pytest
from PIL import Image
from tests.pipelines.viewer.browser import chromium, until

import enr
from enr.pipelines.rendering.camera_paths import Cameras, CameraStep
from enr.pipelines.rendering.novel_views import NovelViewSettings, render_novel_views
from enr.pipelines.viewer.server import ViewerServer
from enr.pipelines.viewer.shelf import Offer, Shelf

SETTLED = "return window.enr && enr.stats.frames > 0 && enr.stats.inFlight === 0"
SLIDERS = {"azimuth_deg": 40, "elevation_deg": -15, "x": 0.1, "y": 0.05, "z": -0.2}


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    pixels = np.full((60, 80, 3), 250, np.uint8)
    pixels[20:40, 30:50] = (200, 40, 60)
    pixels[20:30, 30:40] = (20, 40, 160)
    path = tmp_path_factory.mktemp("pictures") / "box.png"
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture(scope="module")
def server(checkpoint, picture):
    server = ViewerServer(("127.0.0.1", 0), Shelf([checkpoint], Offer((picture,))))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(str(tmp_path_factory.mktemp("profile"))) as driver:
        driver.set_script_timeout(20)
        yield driver


@pytest.fixture
def page(browser, server):
    browser.get(server.url)
    until(browser, SETTLED)
    return browser


def shown(browser):
    """The pixels of the canvas, (height, width, 3)."""
    url = browser.execute_script("return document.getElementById('view').toDataURL('image/png')")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))).convert("RGB"))


def drag(browser, right_px, down_px):
    from selenium.webdriver import ActionChains

    canvas = browser.find_element("id", "view")
    actions = ActionChains(browser, duration=20).click_and_hold(canvas)
    for _ in range(4):
        actions.move_by_offset(right_px // 4, down_px // 4)
    actions.release().perform()
    until(browser, SETTLED)


def test_the_page_loads_without_errors_and_shows_the_picture_given(page):
    assert shown(page).shape == (16, 16, 3)
    assert page.execute_script("return document.getElementById('source').naturalWidth") == 16
    assert page.find_element("id", "message").text == ""
    assert not [entry for entry in page.get_log("browser") if entry["level"] == "SEVERE"]


def test_a_drag_turns_the_object_and_leaves_a_right_picture(page, checkpoint, picture):
    before = shown(page)
    drag(page, 120, 40)
    camera = page.execute_script("return enr.camera")
    assert camera["azimuth_deg"] < -5
    assert camera["elevation_deg"] > 2
    assert np.abs(shown(page).astype(int) - before).max() > 0
    step = CameraStep(camera["azimuth_deg"], camera["elevation_deg"])
    views = render_novel_views(NovelViewSettings(picture, Cameras((step,)), checkpoint))
    np.testing.assert_array_equal(shown(page), views.images[0])


def test_sliders_show_what_enr_render_makes_to_the_last_bit(page, checkpoint, picture):
    for name, value in SLIDERS.items():
        page.execute_script(
            "const slider = document.getElementById(arguments[0]); slider.value = arguments[1];"
            "slider.dispatchEvent(new Event('input'))",
            f"s-{name}",
            value,
        )
    until(page, SETTLED)
    asked = parse_qs(page.execute_script("return enr.stats.shown"))
    assert {name: float(asked[name][0]) for name in SLIDERS} == SLIDERS
    step = CameraStep(40, -15, (0.1, 0.05, -0.2))
    views = render_novel_views(NovelViewSettings(picture, Cameras((step,)), checkpoint))
    np.testing.assert_array_equal(shown(page), views.images[0])


def test_an_address_can_say_where_the_camera_stands(browser, server, checkpoint, picture):
    browser.get("about:blank")
    browser.get(f"{server.url}#azimuth_deg=40&z=-0.2&elevation_deg=none&other=1")
    until(browser, SETTLED)
    views = render_novel_views(NovelViewSettings(picture, Cameras((CameraStep(40, 0, (0, 0, -0.2)),)), checkpoint))
    np.testing.assert_array_equal(shown(browser), views.images[0])
    until(browser, "return document.getElementById('s-azimuth_deg').value === '40'")
    browser.get("about:blank")
    browser.get(f"{server.url}#elevation_deg=-500")
    until(browser, "return window.enr && window.enr.camera.elevation_deg === -90")


def test_a_broken_upload_gets_a_message_and_a_good_one_is_shown(page, picture, tmp_path):
    broken = tmp_path / "mine.png"
    broken.write_bytes(b"no picture")
    page.find_element("id", "file").send_keys(str(broken))
    until(page, "return document.getElementById('message').textContent.includes('mine.png is no picture')")
    page.find_element("id", "file").send_keys(str(picture))
    until(page, "return document.getElementById('message').textContent === ''")
    assert page.execute_script("return document.getElementById('subject').selectedOptions[0].text") == "box.png"


def test_keys_turn_and_reset(page):
    page.find_element("id", "view").send_keys("\ue014\ue014\ue013")  # right, right, up
    until(page, SETTLED)
    assert page.execute_script("return [enr.camera.azimuth_deg, enr.camera.elevation_deg]") == [10, 5]
    page.find_element("id", "view").send_keys("0")
    until(page, SETTLED)
    assert page.execute_script("return [enr.camera.azimuth_deg, enr.camera.elevation_deg]") == [0, 0]


def test_keys_are_heard_wherever_the_focus_is_but_in_a_field(page):
    page.execute_script("document.activeElement.blur()")
    page.find_element("tag name", "body").send_keys("0\ue014")
    until(page, SETTLED)
    assert page.execute_script("return enr.camera.azimuth_deg") == 5
    page.find_element("id", "pixels").send_keys("\ue014")
    assert page.execute_script("return enr.camera.azimuth_deg") == 5
    page.find_element("id", "view").send_keys("0")
    until(page, SETTLED)


def test_a_recorded_path_is_rendered_as_it_was_seen(page, checkpoint, picture, tmp_path):
    page.find_element("id", "record").click()
    drag(page, 80, 20)
    page.find_element("id", "record").click()
    path = page.execute_script("return enr.path")
    assert len(path["steps"]) > 1
    (tmp_path / "path.json").write_text(json.dumps(path))
    views = enr.novel_views(picture, checkpoint=checkpoint, path=tmp_path / "path.json")
    assert len(views.images) == len(path["steps"])
    first = enr.novel_views(picture, checkpoint=checkpoint)
    np.testing.assert_array_equal(views.images[0], first.images[0])
    assert path["steps"][0]["azimuth_deg"] == 0 != path["steps"][-1]["azimuth_deg"]


def test_depth_is_shown_in_place_of_the_picture(page):
    page.execute_script("document.querySelector('[value=depth]').click()")
    until(page, SETTLED + " && enr.stats.shown.includes('shown=depth')")
    grey = shown(page)
    assert (grey[..., 0] == grey[..., 1]).all()


def test_a_viewer_that_has_ended_is_said_in_a_sentence(page):
    page.execute_script("window.fetch = () => Promise.reject(new TypeError('Failed to fetch'))")
    page.find_element("id", "view").send_keys("\ue014")
    until(page, "return document.getElementById('message').textContent.includes('is enr view still running?')")
