"""The explorer in a browser, and as a script, a report and a Python object."""

import csv
import http.client
import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest
import torch
from playwright.sync_api import Page, expect
from support.markup import NAMES
from support.stores import write_plate

from benchmarks.browser import ExplorerPage, chromium, find_chromium, serve
from image_translation import data
from image_translation.data.lookup import CACHE_VARIABLE
from image_translation.omezarr.store import open_store
from image_translation.simulation.movie import Movie
from image_translation.simulation.spec import MovieSpec

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "image_translation" / "part1_inspection_widget.py"
REAL = ROOT.parent / "shared" / "data"
PICTURES = ["input Phase3D", "prediction", "truth"]
STAGES = [
    "stem", "encoder 1", "encoder 2", "encoder 3", "encoder 4", "decoder 1", "decoder 2", "decoder 3", "head",
]  # fmt: skip

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two positions of 3 frames and 2 planes; phase, nuclei and membrane."""
    movies = [Movie(MovieSpec(shape=(96, 128), frames=6, seed=seed, flicker=1.0)) for seed in (1, 2)]
    images = {}
    for name, movie in zip(("A/1/0", "B/2/0"), movies, strict=True):
        images[name] = np.stack([np.stack([movie.frame(2 * t + z) for z in range(2)], axis=1) for t in range(3)])
    return write_plate(
        tmp_path_factory.mktemp("plate") / "plate.zarr", images, channels=("Phase3D", "Nuclei", "Membrane")
    )


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    directory = tmp_path_factory.mktemp("explorer")
    return {CACHE_VARIABLE: str(directory / "cache"), "LOG": str(directory / "log"), "HOME": str(directory)}


@pytest.fixture(scope="module")
def address(environment: dict[str, str], plate: Path) -> Iterator[str]:
    command = ["image-translation", "inspect", "--no-browser", "--port", "PORT", "--time", "5"]
    with serve(command, environment, plate.parent) as address:
        yield address


@pytest.fixture(scope="module")
def new_page(address: str) -> Iterator[Callable[[int, int], Page]]:
    """Open tabs of one browser, which is closed before the server that its pages are connected to."""
    if find_chromium() is None:
        pytest.skip("there is no Chromium here")
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def initial(new_page: Callable[[int, int], Page], address: str) -> ExplorerPage:
    """A page for tests that leave the sidebar as they find it, and open the tab that they need."""
    return ExplorerPage(new_page(1280, 800), address)


@pytest.fixture(scope="module")
def tab(new_page: Callable[[int, int], Page]) -> Page:
    return new_page(1280, 800)


@pytest.fixture
def explorer(tab: Page, address: str) -> ExplorerPage:
    """A session of its own, in a tab of the browser that is reused: a new tab takes longer."""
    return ExplorerPage(tab, address)


def test_the_page_needs_its_token_and_refuses_other_sites(address: str) -> None:
    place, token = urlsplit(address), f"/?{urlsplit(address).query}"
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    upgrade["Sec-WebSocket-Key"] = "AAAAAAAAAAAAAAAAAAAAAA=="
    own = {"Host": place.netloc, "Origin": f"http://{place.netloc}"}
    tunnel = {"Host": "localhost:9000", "Origin": "http://localhost:9000"}

    def status(path: str, headers: dict[str, str]) -> int:
        connection = http.client.HTTPConnection(place.netloc, timeout=20)
        connection.request("GET", path, headers=headers)
        found = connection.getresponse().status
        connection.close()
        return found

    assert "access_token=" in token
    login, stripped, opened = 303, 303, 101
    assert status("/", own) == login
    assert status(token, own) == stripped
    for headers, refused in (({"Host": "evil.example"}, 400), (own | {"Origin": "http://evil.example"}, 403)):
        assert status("/", headers) == status(token, headers) == status("/assets/x", headers) == refused
    for site, expected in ((own, opened), (tunnel, opened), (own | {"Origin": "http://evil.example"}, 403)):
        assert status(f"/ws{token[1:]}&session_id=s_aaaaaa", site | upgrade) == expected
    assert status("/ws?session_id=s_bbbbbb", own | upgrade) == 403


def test_the_page_is_not_blank_while_it_loads(new_page: Callable[[int, int], Page], address: str) -> None:
    page = new_page(390, 844)
    page.route(re.compile(r"/assets/.*\.js"), lambda route: route.fulfill(body="", content_type="text/javascript"))
    page.goto(address)
    expect(page.get_by_role("status")).to_contain_text("Inside the network")
    expect(page.get_by_role("status")).to_be_visible()
    expect(page.get_by_role("status")).to_contain_text("Loading the network.")
    expect(page.get_by_role("status")).to_have_css("z-index", "99")  # else marimo's empty page covers it
    page.close()


def test_the_overview_of_the_embedded_movie(initial: ExplorerPage) -> None:
    initial.tab("Overview")
    for name in PICTURES + STAGES:
        expect(initial.image(name)).to_be_visible()
    expect(initial.page.get_by_text("demo_ckpt on demo_movie, fov z0, frame 5")).to_be_visible()
    expect(initial.page.get_by_text("256 x 20 x 20")).to_be_visible()
    expect(initial.page.get_by_text("20 µm").first).to_be_visible()
    assert initial.page.get_by_role("slider").count() == 1  # no plane, no position, no crop to choose
    assert initial.page.locator(".cm-editor").count() == 0  # no code
    assert initial.fits()
    assert initial.page.locator("#it-loading").count() == 0
    tabs, section = (
        initial.page.get_by_role("tablist").bounding_box(),
        initial.page.get_by_text("pictures").bounding_box(),
    )
    assert tabs is not None
    assert section is not None
    assert 0 < section["y"] - tabs["y"] - tabs["height"] < 40  # the sidebar leaves no gaps

    # Another frame, and back.
    before = {name: initial.source(name) for name in PICTURES + STAGES}
    initial.slider("frame").press("ArrowRight")
    expect(initial.page.get_by_text("demo_ckpt on demo_movie, fov z0, frame 6")).to_be_visible()
    for name, source in before.items():
        assert initial.source(name) != source
    initial.slider("frame").press("ArrowLeft")
    expect(initial.page.get_by_text("demo_ckpt on demo_movie, fov z0, frame 5")).to_be_visible()
    assert {name: initial.source(name) for name in PICTURES + STAGES} == before

    # It can be saved.
    name, content = initial.download("PNG")
    assert name == "overview.png"
    assert cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR).shape[0] > 1000
    name, content = initial.download("SVG")
    assert name == "overview.svg"
    assert b"<svg" in content
    name, content = initial.download("HTML")
    assert name == "overview.html"
    assert all(f'alt="{stage}"'.encode() in content for stage in STAGES)
    assert b"http" not in content  # it needs no other file
    name, content = initial.download("CSV")
    assert [row["stage"] for row in csv.DictReader(io.StringIO(content.decode()))] == ["input", *STAGES]


def test_a_network_of_the_other_direction(explorer: ExplorerPage) -> None:
    before = explorer.source("encoder 1")
    explorer.choose("checkpoint", "demo_ckpt_fluor2phase")
    explorer.expect_changed("encoder 1", before)
    for name in ("input Nuclei", "input Membrane", "prediction", "truth", "head"):
        expect(explorer.image(name)).to_be_visible()
    expect(explorer.dropdown("channel as Membrane")).to_have_value("Membrane")
    assert explorer.source("head")


def test_a_plate_by_its_path_with_positions_and_planes(explorer: ExplorerPage, plate: Path) -> None:
    explorer.choose("movie", "a path on this machine")
    expect(explorer.page.get_by_text("Give the path of a movie")).to_be_visible()
    explorer.type_path(0, plate)
    expect(explorer.page.get_by_text("demo_ckpt on plate.zarr, A/1/0 z1, frame 2")).to_be_visible()
    before = explorer.source("encoder 1")
    explorer.slider("plane").press("ArrowLeft")
    explorer.expect_changed("encoder 1", before)
    before = explorer.source("encoder 1")
    explorer.choose("position", "B/2/0")
    explorer.expect_changed("encoder 1", before)
    expect(explorer.page.get_by_text("B/2/0 z0, frame 2")).to_be_visible()  # frame and plane are kept
    explorer.choose("part of the field", "64 px")
    expect(explorer.page.get_by_text("32 x 32 x 32").first).to_be_visible()
    explorer.slider("from row").press("Home")
    explorer.slider("from column").press("Home")
    expect(explorer.page.get_by_text("rows 0-64, columns 0-64")).to_be_visible()
    before = explorer.source("input Phase3D")
    explorer.slider("from row").press("End")
    explorer.slider("from column").press("End")
    expect(explorer.page.get_by_text("rows 32-96, columns 64-128")).to_be_visible()
    assert explorer.source("input Phase3D") != before
    explorer.choose("channel as Phase3D", "Membrane")
    expect(explorer.image("input Membrane")).to_be_visible()


def test_a_plate_by_browsing(explorer: ExplorerPage) -> None:
    explorer.choose("movie", "a path on this machine")
    expect(explorer.page.get_by_text("Give the path of a movie")).to_be_visible()
    explorer.page.get_by_text("or browse").locator("visible=true").first.click()
    row = explorer.page.get_by_text("plate.zarr").locator("visible=true").first
    box = explorer.page.get_by_label("Select plate.zarr").locator("visible=true").first
    for _ in range(5):  # the list may move away from under the pointer while it is drawn
        row.hover()
        if box.is_visible():
            box.click(force=True)
            break
    expect(explorer.page.get_by_text("demo_ckpt on plate.zarr, A/1/0 z1, frame 2")).to_be_visible()


def test_a_stage_in_detail(explorer: ExplorerPage) -> None:
    explorer.tab("A stage")
    explorer.choose("stage", "encoder 2")
    for name in ("encoder 2, PC 1", "PC 1", "PC 6", "histogram of the values, and cumulative variance"):
        expect(explorer.image(name).first).to_be_visible()
    explorer.slider("component in detail").press("ArrowRight")
    expect(explorer.image("encoder 2, PC 2").first).to_be_visible()
    explorer.page.get_by_role("radio", name="channels").click()
    expect(explorer.page.get_by_text("12 of 64 channels")).to_be_visible()
    expect(explorer.image("encoder 2, channel 0").first).to_be_visible()
    before = explorer.source("input Phase3D")
    explorer.slider("frame").press("ArrowRight")
    explorer.expect_changed("input Phase3D", before)
    expect(explorer.dropdown("stage")).to_have_value("encoder 2")  # it is kept when the frame changes
    explorer.choose("checkpoint", "demo_ckpt_fluor2phase")
    expect(explorer.image("input Nuclei").first).to_be_visible()
    expect(explorer.dropdown("stage")).to_have_value("encoder 2")  # and when the network changes
    expect(explorer.image("encoder 2, channel 0").first).to_be_visible()


def test_comparisons(initial: ExplorerPage) -> None:
    initial.tab("Compare")
    expect(initial.page.get_by_text("frame 21", exact=True).first).to_be_visible()
    assert initial.source("encoder 1") != initial.source("encoder 1", 1)
    initial.page.get_by_role("radio", name="a perturbed image").click()
    expect(initial.page.get_by_text("blur 1", exact=True).first).to_be_visible()
    initial.choose("by", "contrast")
    expect(initial.page.get_by_text("contrast 0.5", exact=True).first).to_be_visible()
    assert initial.source("encoder 1") != initial.source("encoder 1", 1)
    initial.page.get_by_role("radio", name="another network").click()
    expect(initial.page.get_by_text("R² ").nth(3)).to_be_visible()
    assert initial.source("encoder 1") != initial.source("encoder 1", 1)
    name, content = initial.download("CSV")
    assert name == "comparison.csv"
    known = {row["stage"]: float(row["R2"]) for row in csv.DictReader(io.StringIO(content.decode()))}
    assert list(known) == STAGES
    other = initial.page.get_by_role("combobox", name="checkpoint", exact=True).nth(1)
    other.select_option(label="pretrained_ckpt")
    expect(initial.page.get_by_role("button", name="Fetch pretrained_ckpt")).to_be_visible()
    other.select_option(label="a path on this machine")
    expect(initial.page.get_by_text("Give the path of a checkpoint")).to_be_visible()
    assert 0.3 < known["decoder 2"] < 1


def test_change_of_every_stage(initial: ExplorerPage) -> None:
    initial.tab("Flicker")
    expect(initial.image("change of every stage")).to_be_visible()
    _, content = initial.download("CSV")
    rows = list(csv.DictReader(io.StringIO(content.decode())))
    assert {row["frame"] for row in rows} == {str(t) for t in range(5, 12)}
    assert {row["stage"] for row in rows} == {"input", *STAGES}
    initial.page.locator("marimo-range-slider").get_by_role("slider").last.press("End")
    expect(initial.page.get_by_role("button", name="Measure 27 frames")).to_be_visible()  # which takes a while
    expect(initial.image("change of every stage")).to_have_count(0)


def test_errors_are_shown_on_the_page(explorer: ExplorerPage, tmp_path: Path) -> None:
    explorer.choose("movie", "a path on this machine")
    explorer.type_path(0, tmp_path / "nowhere.zarr")
    expect(explorer.page.get_by_text("no such file or directory; give an existing path")).to_be_visible()
    assert explorer.image("encoder 1").count() == 0
    explorer.choose("movie", "demo_movie")
    expect(explorer.image("encoder 1")).to_be_visible()
    (tmp_path / "letter.ckpt").write_text("Dear reader")
    explorer.choose("checkpoint", "a path on this machine")
    explorer.type_path(0, tmp_path / "letter.ckpt")
    expect(explorer.page.get_by_text("not a PyTorch checkpoint")).to_be_visible()
    explorer.choose("checkpoint", "pretrained_ckpt")
    expect(explorer.page.get_by_text("pretrained_ckpt is not on this machine yet")).to_be_visible()
    expect(explorer.page.get_by_role("button", name="Fetch pretrained_ckpt")).to_be_visible()


def test_names_in_files_are_shown_as_they_are(explorer: ExplorerPage, plate: Path, tmp_path: Path) -> None:
    image, script, entity, link, formula = NAMES
    content = torch.load(data.resolve_checkpoint("demo_ckpt"), weights_only=True)
    content["image_translation"] |= {
        "input_channels": [link],
        "output_channels": [image, script],
        "description": entity,
    }
    checkpoint = tmp_path / f"{image} {formula}.ckpt"
    torch.save(content, checkpoint)
    position = f"{image}/$x$ [a](b)/&amp;"
    movie = open_store(plate).position("A/1/0")
    frames = np.stack([[[movie.read(t, c, 0)] for c in range(3)] for t in range(3)])
    store = write_plate(tmp_path / f"{image} &amp; $x$.zarr", {position: frames}, channels=(link, formula, image))

    explorer.choose("movie", "a path on this machine")
    explorer.type_path(0, store)
    expect(explorer.page.get_by_text(f"demo_ckpt on {store.name}, {position} z0, frame 2")).to_be_visible()
    explorer.choose("checkpoint", "a path on this machine")
    explorer.type_path(1, checkpoint)
    expect(explorer.page.get_by_text(f"{checkpoint.name} on {store.name}, {position} z0")).to_be_visible()
    expect(explorer.image(f"input {link}")).to_be_visible()
    expect(explorer.dropdown(f"channel as {link}")).to_have_value(link)
    expect(explorer.page.get_by_text(entity).first).to_be_visible()
    explorer.choose(f"channel as {link}", formula)
    expect(explorer.image(f"input {formula}")).to_be_visible()
    for tab in ("A stage", "Compare", "Flicker"):
        explorer.tab(tab)
        expect(explorer.page.get_by_text("Save:")).to_be_visible()
    (tmp_path / f"{script.replace('/', '')}.ckpt").write_text("Dear reader")
    explorer.type_path(1, tmp_path / f"{script.replace('/', '')}.ckpt")
    expect(explorer.page.get_by_text(f"{script.replace('/', '')}.ckpt: not a PyTorch checkpoint")).to_be_visible()
    for element in ("img:not([src^='data:'])", "a[href^='javascript:']", "marimo-tex", "#App script", "#App [onerror]"):
        assert explorer.page.locator(element).count() == 0, element


def test_other_positions_and_frames_work_if_one_is_unreadable(
    explorer: ExplorerPage, plate: Path, tmp_path: Path
) -> None:
    broken = Path(shutil.copytree(plate, tmp_path / "broken.zarr"))
    shutil.rmtree(broken / "A" / "1" / "0")
    for chunk in (broken / "B" / "2" / "0" / "0" / "2").rglob("0"):
        if chunk.is_file():
            chunk.write_bytes(chunk.read_bytes()[:50])
    explorer.choose("movie", "a path on this machine")
    explorer.type_path(0, broken)
    expect(explorer.page.get_by_text("A/1/0 does not exist, though the metadata of its store list it")).to_be_visible()
    explorer.choose("position", "B/2/0")
    expect(explorer.page.get_by_text("cannot read frame 2")).to_be_visible()
    expect(explorer.page.get_by_text("This frame cannot be read.").first).to_be_visible()
    explorer.slider("frame").press("ArrowLeft")
    expect(explorer.image("encoder 1")).to_be_visible()


@pytest.mark.realdata
def test_real_movies(explorer: ExplorerPage) -> None:
    if not REAL.is_dir():
        pytest.skip(f"no real data in {REAL}")
    explorer.choose("movie", "a path on this machine")
    explorer.type_path(0, REAL / "livecyte_phase.ome.zarr")
    expect(explorer.page.get_by_text("demo_ckpt on livecyte_phase.ome.zarr, B/3/3 z0, rows")).to_be_visible()
    expect(explorer.image("input Phase")).to_be_visible()
    assert explorer.page.get_by_text("µm").count() == 0  # the size of its pixels is not known
    explorer.choose("checkpoint", "demo_ckpt_fluor2phase")
    expect(explorer.page.get_by_text("the network takes 2 channels (Nuclei, Membrane), not Phase")).to_be_visible()
    explorer.type_path(0, REAL / "isl_neurons_paired.ome.zarr")
    expect(explorer.image("input DAPI")).to_be_visible()
    expect(explorer.image("input MAP2")).to_be_visible()
    explorer.choose("checkpoint", "demo_ckpt")
    expect(explorer.image("input Phase")).to_be_visible()


def test_on_a_phone(new_page: Callable[[int, int], Page], address: str, tmp_path: Path) -> None:
    explorer = ExplorerPage(new_page(390, 844), address)
    assert explorer.fits()
    assert not explorer.dropdown("movie").is_visible()
    explorer.page.locator("button:has(svg.lucide-menu)").click()
    expect(explorer.dropdown("movie")).to_be_visible()
    explorer.page.keyboard.press("Escape")
    explorer.tab("Flicker")
    expect(explorer.image("change of every stage")).to_be_visible()
    width, height = explorer.image("change of every stage").evaluate(
        "image => [image.naturalWidth, image.naturalHeight]"
    )
    assert width < height  # panels below each other, so that the text is not too small


def test_the_screenshot_of_the_readme(initial: ExplorerPage, tmp_path: Path) -> None:
    """The page still looks like the screenshot; a new one is written to IMAGE_TRANSLATION_SCREENSHOTS."""
    file = Path(os.environ.get("IMAGE_TRANSLATION_SCREENSHOTS", tmp_path)).resolve() / "explorer.jpg"
    initial.tab("Overview")
    initial.page.set_viewport_size({"width": 1280, "height": 940})
    for name in PICTURES + STAGES:
        expect(initial.image(name)).to_be_visible()
    initial.page.evaluate("document.fonts.ready")
    initial.page.screenshot(path=file, type="jpeg", quality=85, animations="disabled")
    initial.page.set_viewport_size({"width": 1280, "height": 800})
    shown, known = (cv2.imread(str(path)).astype(float) for path in (file, ROOT / "docs" / "explorer.jpg"))
    assert shown.shape == known.shape == (940, 1280, 3)
    coarse = [cv2.resize(image, (64, 47), interpolation=cv2.INTER_AREA) for image in (shown, known)]
    assert np.abs(coarse[0] - coarse[1]).mean() < 4  # of 255


def test_marimo_edit(
    new_page: Callable[[int, int], Page], environment: dict[str, str], plate: Path, tmp_path: Path
) -> None:
    copy = tmp_path / NOTEBOOK.name  # the editor may write to it
    copy.write_text(NOTEBOOK.read_text())
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    command = ["marimo", "edit", "--headless", "--no-token", "--port", "PORT", str(copy), "--", "--movie", str(plate)]
    with serve(command, environment | {"LOG": str(tmp_path / "log")}) as address:
        explorer = ExplorerPage(new_page(1280, 800), address)
        expect(explorer.page.get_by_role("tab", name="Compare")).to_be_visible()
        assert explorer.image("change of every stage").count() == 0
        explorer.page.close()  # before its server is


def test_the_exported_report_has_all_sections(tmp_path: Path, environment: dict[str, str], plate: Path) -> None:
    report = tmp_path / "report.html"
    command = [sys.executable, "-m", "marimo", "export", "html", NOTEBOOK, "-o", report, "--", "--movie", plate]
    subprocess.run(command, check=True, capture_output=True, env=os.environ | environment)
    text = report.read_text()
    for name in ("encoder 1", "stem, PC 1", "change of every stage", "demo_ckpt on plate.zarr, A/1/0 z1, frame 0"):
        assert re.search(re.escape(name), text), name


def test_marimo_check_passes() -> None:
    subprocess.run([sys.executable, "-m", "marimo", "check", "--strict", NOTEBOOK], check=True, capture_output=True)


def test_script(environment: dict[str, str], plate: Path) -> None:
    def run(movie: Path | str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(NOTEBOOK), "--movie", str(movie), "--position", "B/2/0"]
        return subprocess.run(command, capture_output=True, text=True, env=os.environ | environment, check=False)

    done = run(plate)
    assert done.returncode == 0
    title, table = done.stdout.split("\n", maxsplit=1)
    assert title == "demo_ckpt on plate.zarr, B/2/0 z1, frame 0"
    assert [row["stage"] for row in csv.DictReader(io.StringIO(table))] == ["input", *STAGES]
    failed = run("nowhere")
    assert failed.returncode == 2
    assert failed.stderr.strip().endswith("one of the names demo_movie, demo_plate, train, test, movie")
    assert "Traceback" not in failed.stderr


def test_app_run_from_python(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, environment[CACHE_VARIABLE])
    from image_translation.part1_inspection_widget import app

    monkeypatch.setattr(sys, "argv", ["another program", "--movie", "its own"])
    _, found = app.run()
    assert list(found["activations"].features) == STAGES
    assert found["activations"].image.shape == (1, 320, 320)
    # Arguments that do not fit the movie are ignored.
    monkeypatch.setattr(
        sys, "argv", [str(NOTEBOOK), "--channel=Nothing", "--crop=0,0,999,9", "--position=X", "--time=99"]
    )
    outputs, found = app.run()
    assert (found["channels"].value, found["size"].value, found["time"].value) == (["Phase3D"], "full field", 31)
    said = "".join(str(getattr(output, "text", "")) for output in outputs)
    for preset in ("position X", "crop (0, 0, 999, 9)", "channels Nothing"):
        assert f"{preset}: not available here, ignored" in said
    monkeypatch.setattr(sys, "argv", [str(NOTEBOOK), "--movie", "nowhere"])
    with pytest.raises(SystemExit):
        app.run()
