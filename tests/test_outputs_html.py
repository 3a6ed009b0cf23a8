"""The page of lifted poses: what is in the file, and what a real browser makes of it."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import re
import shutil
import zlib
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from poseda.data.synthetic import forward_kinematics, perform, sample_body
from poseda.data.synthetic.rigs import human36m_rig
from poseda.figures import LEFT, RIGHT
from poseda.outputs import write_html
from poseda.outputs.poses import Known
from poseda_ext.skeleton import H36M_16, H36M_17

selenium = pytest.importorskip("selenium", reason="selenium is not installed")

from selenium import webdriver  # noqa: E402
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.actions.wheel_input import ScrollOrigin  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

Array = NDArray[np.float64]

HOSTILE = "</script><script>window.hacked = 1</script><!-- & @script@"
FRAMES = 120


def walk(frames: int = FRAMES, seed: int = 0) -> tuple[Array, Array]:
    """(F, 17, 3) metres in the camera frame and (F, 17, 2) pixels."""
    rng = np.random.default_rng(seed)
    body, camera = sample_body(rng), human36m_rig()[0]
    motion = perform("walk", rng, frames, 50.0)
    pose = camera.to_camera(forward_kinematics(motion, body.stature, body.bone_lengths))
    return pose, camera.project(pose)


def write_walk(path: Path, **known: Any) -> Array:
    """A page with one person's walk; gives the absolute positions."""
    pose, pixels = walk()
    everything: dict[str, Any] = {"root": pose[:, 0], "pose2d": pixels, "fps": 50.0} | known
    write_html(path, pose - pose[:, :1], H36M_17, **everything)
    return pose


def clips(path: Path) -> list[dict[str, Any]]:
    """The clips in the data of a page."""
    text = path.read_text("ascii")
    found = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text)
    assert len(found) == 1
    data: list[dict[str, Any]] = json.loads(found[0])["clips"]
    return data


def unpacked(packed: dict[str, Any]) -> Array:
    """The inverse of the packing, written anew."""
    rows, columns = packed["shape"]
    planes = np.frombuffer(zlib.decompress(base64.b64decode(packed["data"])), np.uint8)
    weights = np.array([1, 2**8, 2**16, 2**24], dtype=np.int64)
    folded = (planes.reshape(4, -1).astype(np.int64) * weights[:, None]).sum(0)
    steps = np.where(folded % 2, -(folded + 1) // 2, folded // 2).reshape(columns, rows)
    return np.cumsum(steps, axis=1).T.astype(float)


# The file


def test_positions_are_kept_to_half_a_millimetre(tmp_path: Path) -> None:
    pose = write_walk(tmp_path / "out.html")
    (person,) = clips(tmp_path / "out.html")[0]["people"]
    stored = unpacked(person["points"]).reshape(pose.shape) / 1000
    np.testing.assert_allclose(stored, pose, rtol=0, atol=0.501e-3)
    assert unpacked(person["at"]).ravel().tolist() == list(range(FRAMES))


def test_large_numbers_survive_the_packing(tmp_path: Path) -> None:
    root = np.array([[9e4, -9e4, 9e4], [-9e4, 9e4, 9e4], [0.0, 0.0, 0.0]])
    write_html(tmp_path / "out.html", np.zeros((3, 16, 3)), H36M_16, root=root)
    (person,) = clips(tmp_path / "out.html")[0]["people"]
    np.testing.assert_allclose(unpacked(person["points"])[:, :3] / 1000, root, atol=0.01)


def test_long_sequences_make_small_pages(tmp_path: Path) -> None:
    frames, rng = 20_000, np.random.default_rng(0)
    pose = np.concatenate([walk(frames)[0]] * 3)
    pose += rng.normal(0, 0.003, pose.shape)  # a lifter's tremble
    write_html(
        tmp_path / "out.html",
        pose - pose[:, :1],
        H36M_17,
        person=[name for name in "abc" for _ in range(frames)],
        root=pose[:, 0],
    )
    assert (tmp_path / "out.html").stat().st_size < 4e6


def test_the_page_asks_for_nothing_and_runs_nothing_else(tmp_path: Path) -> None:
    write_walk(tmp_path / "out.html", person=[HOSTILE] * FRAMES, title=HOSTILE)
    text = (tmp_path / "out.html").read_text("ascii")
    assert not re.search(r"https?:|//[a-z]+\.|@import|\burl\(", text)
    assert text.count("<script") == text.count("</script>") == 2
    policy = unescape(re.findall(r'Security-Policy" content="(.*?)"', text)[0])
    assert policy.startswith("default-src 'none'")
    for kind in ("script", "style"):
        (inner,) = re.findall(rf"<{kind}>(.*?)</{kind}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inner.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert unescape(re.findall("<title>(.*?)</title>", text, re.DOTALL)[0]) == HOSTILE
    assert clips(tmp_path / "out.html")[0]["people"][0]["name"] == HOSTILE


def test_colours_are_those_of_the_figures(tmp_path: Path) -> None:
    write_walk(tmp_path / "out.html")
    text = (tmp_path / "out.html").read_text("ascii")
    assert f'left: "{LEFT}", right: "{RIGHT}"' in text


def test_titles(tmp_path: Path) -> None:
    for path, title, expected in (
        (tmp_path / "a & b.html", "", "a &amp; b"),
        (tmp_path / "x.html", "Zoë \udcff", "Zo&#235; &#56575;"),
    ):
        write_walk(path, title=title)
        assert f"<title>{expected}</title>" in path.read_text("ascii")


def test_people_without_a_place_stand_apart(tmp_path: Path) -> None:
    pose, _ = walk(30)
    names = ["a"] * 10 + ["b"] * 10 + ["c"] * 10
    frame = [*range(10), *range(5, 15), *range(10, 20)]
    write_html(tmp_path / "out.html", pose - pose[:, :1], H36M_17, person=names, frame=frame)
    places = {each["name"]: each["offset"] for each in clips(tmp_path / "out.html")[0]["people"]}
    assert places["b"][0] - places["a"][0] > 0.5
    assert places["c"] == places["a"]  # a had gone


def test_the_view_holds_everybody(tmp_path: Path) -> None:
    count = 6000  # of each of three people in turn, which no sample may miss
    pose3d = np.tile(walk(1)[0] - walk(1)[0][:, :1], (3 * count, 1, 1))
    where = np.array([[-4.0, 0, 5], [0, 0, 5], [4, 0, 5]])
    write_html(
        tmp_path / "out.html",
        pose3d,
        H36M_17,
        person=["a", "b", "c"] * count,
        root=np.tile(where, (count, 1)),
        pose2d=100 * (pose3d + np.tile(where, (count, 1))[:, None])[..., :2],
    )
    (data,) = clips(tmp_path / "out.html")
    assert data["view"]["low"][0] < -4 < 4 < data["view"]["high"][0]
    assert data["view"]["radius"] > 4
    assert data["input"]["half"] > 400


@pytest.mark.parametrize(
    ("name", "given", "error", "message"),
    [
        ("out.json", {}, ValueError, r"path: got .*out\.json.*expected .*\.html"),
        ("out.html", {"root": np.zeros((1, 3))}, ValueError, "root: got shape"),
        ("out.html", {"fps": -5.0}, ValueError, "fps: got -5"),
        ("nowhere/out.html", {}, OSError, "cannot write .*nowhere"),
    ],
)
def test_bad_input(
    tmp_path: Path, name: str, given: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        write_walk(tmp_path / name, **given)
    assert not list(tmp_path.iterdir())


# The browser


class Page:
    """A page that is open in the browser."""

    def __init__(self, driver: webdriver.Chrome, path: Path) -> None:
        self.driver = driver
        self.url = path.as_uri()
        driver.get_log("browser"), driver.get_log("performance")  # what was before
        driver.get(self.url)
        failure = self.call(
            "const done = arguments[0]; poseda.ready.then(() => done(''), (e) => done(String(e)))"
        )
        assert failure == ""

    def call(self, script: str) -> Any:
        return self.driver.execute_async_script(script)

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def find(self, name: str) -> Any:
        return self.driver.find_element(By.ID, name)

    def settled(self) -> None:
        """Wait until what was asked for is drawn."""
        self.call("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")

    def pixels(self, canvas: str = "scene") -> NDArray[np.uint8]:
        """(height, width, 4) of a canvas."""
        self.settled()
        encoded, width, height = self.run(
            "const c = document.getElementById(arguments[0]);"
            "const copy = new OffscreenCanvas(c.width, c.height).getContext('2d');"
            "copy.drawImage(c, 0, 0);"
            "const d = copy.getImageData(0, 0, c.width, c.height).data;"
            "let s = ''; for (let i = 0; i < d.length; i += 8192)"
            " s += String.fromCharCode(...d.subarray(i, i + 8192));"
            "return [btoa(s), c.width, c.height]",
            canvas,
        )
        return np.frombuffer(base64.b64decode(encoded), np.uint8).reshape(height, width, 4)

    def positions(self) -> dict[str, Array]:
        drawn = self.run("return poseda.positions()")
        return {each["name"]: np.asarray(each["points"]) for each in drawn}

    def frame(self) -> int:
        return int(self.run("return poseda.frame()"))

    def view(self) -> dict[str, float]:
        view: dict[str, float] = self.run("return poseda.view()")
        return view

    def check_silence(self) -> None:
        """Nothing was asked of any server, and nobody complained."""
        asked = []
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                asked.append(message["params"]["request"]["url"])
        assert [url for url in asked if not url.startswith("data:")] == [self.url]
        assert self.driver.get_log("browser") == []


@pytest.fixture(scope="module")
def driver() -> Iterator[webdriver.Chrome]:
    names = ("chromium", "chromium-browser", "google-chrome")
    browser = next(filter(None, map(shutil.which, names)), None)
    service = shutil.which("chromedriver")
    if browser is None or service is None:
        pytest.skip("no chromium with chromedriver on this machine")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.add_argument("--window-size=800,640")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    started = webdriver.Chrome(options, webdriver.ChromeService(service))
    yield started
    started.quit()


def hands(page: Page) -> ActionChains:
    return ActionChains(page.driver, duration=20)  # milliseconds a movement


Opener = Callable[[Path], Page]


@pytest.fixture
def opened(driver: webdriver.Chrome) -> Iterator[Opener]:
    """Opens a page, and checks at the end that it kept silent."""
    pages: list[Page] = []

    def open_page(path: Path) -> Page:
        pages.append(Page(driver, path))
        return pages[-1]

    yield open_page
    for page in pages:
        page.check_silence()


def test_the_slider_shows_each_frame(tmp_path: Path, opened: Opener) -> None:
    pose = write_walk(tmp_path / "out.html")
    page = opened(tmp_path / "out.html")
    slider = page.find("frame")
    seen, label = [page.pixels()], page.find("label")
    assert label.text == "frame 0, 0.00 s"
    for keys, frame in ((Keys.ARROW_RIGHT, 1), (Keys.END, FRAMES - 1), (Keys.ARROW_LEFT, 118)):
        slider.send_keys(keys)
        seen.append(page.pixels())
        assert label.text == f"frame {frame}, {frame / 50:.2f} s"
        assert slider.get_attribute("aria-valuetext") == label.text
        np.testing.assert_allclose(page.positions()[""], pose[frame], rtol=0, atol=1e-3)
    hands(page).move_to_element(slider).click().perform()
    seen.append(page.pixels())
    assert abs(page.frame() - FRAMES / 2) < 5
    np.testing.assert_allclose(page.positions()[""], pose[page.frame()], rtol=0, atol=1e-3)
    for one, other in itertools.pairwise(seen):
        assert (one != other).any(-1).sum() > 100


def test_bones_are_drawn_where_they_are(tmp_path: Path, opened: Opener) -> None:
    pose = write_walk(tmp_path / "out.html")
    page = opened(tmp_path / "out.html")
    for azimuth, elevation in ((0.0, 0.0), (np.pi / 2, 0.2), (2.0, -0.5)):
        page.run("poseda.look(arguments[0], arguments[1])", azimuth, elevation)
        pixels = page.pixels()
        # On the page: the camera frame turned by the azimuth, then tilted, in perspective.
        away = np.array([-np.sin(azimuth), 0, np.cos(azimuth)])
        forward = np.cos(elevation) * away + np.sin(elevation) * np.array([0, 1, 0])
        right = np.array([np.cos(azimuth), 0, np.sin(azimuth)])
        frame = np.stack((right, np.cross(forward, right), forward))
        aim = np.asarray(clips(tmp_path / "out.html")[0]["view"]["centre"])
        points = (pose[0] - aim) @ frame.T + np.array([0, 0, page.view()["distance"]])
        height, width = pixels.shape[:2]
        scale = min(height, width) / 2 / np.tan(0.55 / 2)
        expected = points[:, :2] / points[:, 2:] * scale + np.array([width, height]) / 2
        shown = [page.run("return poseda.onPage(arguments[0])", list(each)) for each in pose[0]]
        np.testing.assert_allclose(shown, expected, atol=0.01)
        for side, colour in (("L", LEFT), ("R", RIGHT)):
            knee, foot = (H36M_17.names.index(f"{side}{joint}") for joint in ("Knee", "Foot"))
            x, y = np.round(0.3 * expected[knee] + 0.7 * expected[foot]).astype(int)
            near = pixels[y - 3 : y + 4, x - 3 : x + 4, :3].reshape(-1, 3).astype(int)
            wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
            assert np.abs(near - wanted).sum(-1).min() < 12


def test_dragging_turns_and_the_wheel_zooms(tmp_path: Path, opened: Opener) -> None:
    write_walk(tmp_path / "out.html")
    page = opened(tmp_path / "out.html")
    scene, first, before = page.find("scene"), page.pixels(), page.view()
    hands(page).drag_and_drop_by_offset(scene, 100, 50).perform()
    turned, after = page.pixels(), page.view()
    assert after["azimuth"] == pytest.approx(before["azimuth"] - 0.8)
    assert after["elevation"] == pytest.approx(before["elevation"] + 0.4)
    assert (turned != first).any(-1).sum() > 100
    hands(page).move_to_element(scene).move_by_offset(30, 30).perform()
    assert page.view() == after  # nothing is held any more
    wheel = ScrollOrigin.from_element(scene)
    hands(page).scroll_from_origin(wheel, 0, -300).perform()
    assert (page.pixels() != turned).any(-1).sum() > 100
    assert page.view()["distance"] < 0.8 * after["distance"]
    hands(page).key_down(Keys.SHIFT).drag_and_drop_by_offset(scene, 40, 0).key_up(
        Keys.SHIFT
    ).perform()
    assert page.view()["azimuth"] == after["azimuth"]
    assert np.linalg.norm(page.run("return poseda.view().pan")) > 0.01
    page.driver.find_element(By.CSS_SELECTOR, "[data-view=side]").click()
    assert page.view()["azimuth"] == pytest.approx(np.pi / 2)
    assert page.run("return poseda.view().pan") == [0, 0, 0]


def test_keys(tmp_path: Path, opened: Opener) -> None:
    write_walk(tmp_path / "out.html")
    page = opened(tmp_path / "out.html")
    scene, before = page.find("scene"), page.view()
    scene.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_UP, "+")
    after = page.view()
    assert after["azimuth"] < before["azimuth"]
    assert after["elevation"] > before["elevation"]
    assert after["distance"] < before["distance"]
    scene.send_keys("0")
    assert page.view() == before
    scene.send_keys("..,")
    assert page.frame() == 1


def test_playing(tmp_path: Path, opened: Opener) -> None:
    write_walk(tmp_path / "out.html")
    page = opened(tmp_path / "out.html")
    button = page.find("play")
    assert button.get_attribute("aria-label") == "Play"
    button.click()
    assert button.get_attribute("aria-label") == "Pause"
    WebDriverWait(page.driver, 10).until(lambda _: page.frame() > 3)
    button.send_keys(Keys.SPACE)
    stopped = page.frame()
    page.settled()
    assert page.frame() == stopped
    assert button.get_attribute("aria-label") == "Play"
    assert page.find("frame").get_attribute("value") == str(stopped)


def test_several_people_come_and_go(tmp_path: Path, opened: Opener) -> None:
    pose, pixels = walk()
    known: Known = {
        "person": ["anna"] * 60 + [HOSTILE] * 60,
        "frame": [*range(0, 600, 10), *range(300, 900, 10)],
        "pose2d": pixels,
        "confidence": np.tile([1.0] * 16 + [0.1], (FRAMES, 1)),
    }
    write_html(tmp_path / "out.html", pose - pose[:, :1], H36M_17, title=HOSTILE, **known)
    page = opened(tmp_path / "out.html")
    slider = page.find("frame")
    assert set(page.positions()) == {"anna"}
    assert slider.get_attribute("max") == "89"
    alone = page.pixels()
    slider.send_keys(Keys.PAGE_DOWN, Keys.HOME, *[Keys.ARROW_RIGHT] * 30)
    together = page.positions()
    assert page.find("label").text == "frame 300"
    np.testing.assert_allclose(together["anna"], pose[30] - pose[30, 0], rtol=0, atol=1e-3)
    np.testing.assert_allclose(together[HOSTILE], pose[60] - pose[60, 0], rtol=0, atol=1e-3)
    assert (page.pixels() != alone).any(-1).sum() > 1000
    assert page.pixels("flat")[..., 3].any()
    slider.send_keys(Keys.END)
    assert set(page.positions()) == {HOSTILE}
    assert page.run("return window.hacked") is None
    assert page.driver.title == HOSTILE
    options = page.run("return [...document.getElementById('follow').options].map((o) => o.text)")
    assert options == ["nobody", "anna", HOSTILE]
    assert page.driver.find_element(By.CLASS_NAME, "unsure").is_displayed()


def test_clips_are_shown_one_by_one(tmp_path: Path, opened: Opener) -> None:
    pose, _ = walk()
    clip = np.repeat([4, 9, 2], [40, 30, 50])
    person = ["anna"] * 70 + [HOSTILE] * 50
    write_html(tmp_path / "out.html", pose - pose[:, :1], H36M_17, clip=clip, person=person)
    page = opened(tmp_path / "out.html")
    assert set(page.positions()) == {HOSTILE}  # clip 2 comes first
    page.find("frame").send_keys(Keys.END)
    assert page.frame() == 49
    first = page.pixels()
    select = page.find("clip")
    assert select.is_displayed()
    names = page.run("return [...arguments[0].options].map((o) => o.text)", select)
    assert names == [f"2: {HOSTILE}"[:60], "4: anna", "9: anna"]
    select.send_keys(Keys.ARROW_DOWN)
    WebDriverWait(page.driver, 10).until(lambda _: set(page.positions()) == {"anna"})
    assert page.frame() == 0
    assert (page.pixels() != first).any(-1).sum() > 100
    page.find("frame").send_keys(Keys.END)
    np.testing.assert_allclose(page.positions()["anna"], pose[39] - pose[39, 0], rtol=0, atol=1e-3)
    # The last that was asked for stays, though the one before takes longer to unpack.
    page.run(
        "const unpack = Response.prototype.arrayBuffer; let wait = 200;"
        "Response.prototype.arrayBuffer = async function () {"
        "  const mine = wait; wait = 0; await new Promise((done) => setTimeout(done, mine));"
        "  return unpack.call(this) }"
    )
    page.call("Promise.all([poseda.open(0), poseda.open(2)]).then(arguments[0])")
    page.find("frame").send_keys(Keys.END)
    np.testing.assert_allclose(page.positions()["anna"], pose[69] - pose[69, 0], rtol=0, atol=1e-3)


def test_following_a_person(tmp_path: Path, opened: Opener) -> None:
    pose = write_walk(tmp_path / "out.html")
    page = opened(tmp_path / "out.html")
    page.run(
        "const f = document.getElementById('follow'); f.value = 0;"
        "f.dispatchEvent(new Event('change')); poseda.seek(77)"
    )
    height, width = page.pixels().shape[:2]
    shown = page.run("return poseda.onPage(arguments[0])", list(pose[77, 0]))
    np.testing.assert_allclose(shown, (width / 2, height / 2), atol=1)


def test_every_control_has_a_name(tmp_path: Path, opened: Opener) -> None:
    write_walk(tmp_path / "out.html")
    page = opened(tmp_path / "out.html")
    names = page.run(
        "return [...document.querySelectorAll('button, input, select, canvas')].map((e) =>"
        " e.getAttribute('aria-label') || [...(e.labels || [])].map((l) => l.textContent).join('')"
        " || e.textContent.trim())"
    )
    assert len(names) >= 9
    assert all(names)


def test_one_pose_of_one_person(tmp_path: Path, opened: Opener) -> None:
    pose, _ = walk(1)
    write_html(tmp_path / "out.html", pose - pose[:, :1], H36M_17)
    page = opened(tmp_path / "out.html")
    page.find("play").click()
    assert page.find("label").text == "frame 0"
    assert page.pixels()[..., 3].any()
    assert not page.find("input").is_displayed()
    assert not page.find("follow-label").is_displayed()
    assert not page.find("path-label").is_displayed()
    assert not page.find("clip-label").is_displayed()


def test_an_old_browser_is_told_so(tmp_path: Path, driver: webdriver.Chrome) -> None:
    write_walk(tmp_path / "out.html")
    hide = {"source": "delete window.DecompressionStream"}
    made = driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", hide)
    try:
        driver.get((tmp_path / "out.html").as_uri())
        message = driver.find_element(By.ID, "message")
        WebDriverWait(driver, 10).until(lambda _: "older than 2023" in message.text)
    finally:
        driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", made)
