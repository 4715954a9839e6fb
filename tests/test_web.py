"""The web page in a real browser: its results, several photos, strength, files, threads, keys, phone width, errors.

The browser computes on WebAssembly unless a test says WebGPU.

Skipped without Debian's Chromium and its driver.
"""
import base64
import io
import json
import shutil
import subprocess
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from said import line_with

from browser import chromium, show
from src.data.images import read_image, write_image
from src.dehaze.dehazer import Dehazer
from src.dehaze.work_size import LARGE_SIDE
from src.errors import InputError
from src.runtime.padding import mirror_up, model_size
from src.web import folder as web

pytestmark = pytest.mark.slow


def fake_npm(folder, code):
    """A folder for PATH with an npm that does what the shell code says."""
    folder.mkdir()
    (folder / "npm").write_text(f"#!/bin/sh\n{code}\n")
    (folder / "npm").chmod(0o755)
    return str(folder)


@pytest.fixture(scope="module")
def fetched(tmp_path_factory):
    """npm delivers onnxruntime-web, which was downloaded once."""
    store = tmp_path_factory.mktemp("npm")
    subprocess.run([web.find_npm(), "pack", web.RUNTIME, "--pack-destination", store], check=True, capture_output=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", fake_npm(store / "bin", f'cp {store}/*.tgz "$5"'), prepend=":")
        yield


@pytest.fixture(scope="module")
def stand_in(fetched, tmp_path_factory):
    """Writes the page with a network of two operators; returns the folder."""
    def write(name):
        folder = tmp_path_factory.mktemp(name)
        write_stand_in(folder / "stand_in.onnx")
        web.write_web(folder / "stand_in.onnx", folder)
        return folder
    return write


def write_stand_in(path):
    """y = x - 0.5 mean(x), then tanh(1.5 y + 0.1 (y one pixel to the right)), clipped.

    As with the network, the result depends on the whole tile, and the last operators are Conv, Tanh and Clip.
    """
    import mindspore  # noqa: F401  it chooses the protobuf implementation that its own message classes need
    from onnx import TensorProto, helper, numpy_helper, save

    kernel = np.zeros((3, 3, 3, 3), np.float32)
    kernel[range(3), range(3), 1, 1], kernel[range(3), range(3), 1, 2] = 1.5, 0.1
    nodes = [helper.make_node("GlobalAveragePool", ["x"], ["mean"]),
             helper.make_node("Mul", ["mean", "half"], ["shift"]),
             helper.make_node("Sub", ["x", "shift"], ["y"]),
             helper.make_node("Conv", ["y", "kernel"], ["sharp"], pads=[1] * 4),
             helper.make_node("Tanh", ["sharp"], ["bent"]),
             helper.make_node("Clip", ["bent", "zero", "one"], ["restored"])]
    shape = [1, 3, "height", "width"]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", "restored")]
    weights = [numpy_helper.from_array(np.float32(value), name)
               for name, value in (("kernel", kernel), ("half", 0.5), ("zero", 0), ("one", 1))]
    graph = helper.make_graph(nodes, "stand_in", ends[:1], ends[1:], weights)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9), path)


class StandIn:
    """The same in numpy, as a Dehazer calls it."""

    path, description, value_range, size = Path("stand_in"), {}, 1.0, None

    def expect(self, shape, calls):
        pass

    def __call__(self, x):
        height, width = x.shape[2:]
        x = mirror_up(x, model_size((height, width), None, self.path))
        y = x - 0.5 * x.mean((2, 3), keepdims=True)
        right = np.pad(y, ((0, 0), (0, 0), (0, 0), (0, 1)))[..., 1:]
        return np.clip(np.tanh(1.5 * y + 0.1 * right), 0, 1)[..., :height, :width]


def expected(path, strength=1.0):
    """What infer.py makes of a photo."""
    return Dehazer(network=StandIn(), work_size=LARGE_SIDE, strength=strength).dehaze(path)


class Handler(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def send_response(self, code, message=None):
        self.server.seen.append((self.command, self.path.split("?")[0], int(code)))
        super().send_response(code, message)
        for name, value in self.server.headers.items():
            self.send_header(name, value)


class Server(ThreadingHTTPServer):
    """A static web server; `seen`: method, path and status of each request."""

    def __init__(self, folder, headers=None):
        super().__init__(("127.0.0.1", 0), partial(Handler, directory=folder))
        self.seen, self.headers = [], headers or {}
        self.address = f"http://127.0.0.1:{self.server_port}/"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def stop(self):
        self.shutdown()
        self.server_close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    driver = open_browser(tmp_path_factory)
    yield driver
    driver.quit()


def open_browser(tmp_path_factory, has_gpu=False):
    """Chromium, which stores downloads in the folder `downloads` without asking."""
    downloads = tmp_path_factory.mktemp("downloads")
    driver = chromium(tmp_path_factory.mktemp("profile"), has_gpu)
    driver.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(downloads)})
    driver.downloads = downloads
    return driver


@pytest.fixture(scope="module")
def server(stand_in):
    server = Server(stand_in("open"))
    yield server
    server.stop()


@pytest.fixture
def page(browser, server):
    """The page freshly opened at desktop size; afterwards the console must be empty."""
    open_page(browser, server)
    yield browser
    assert console(browser) == []


def open_page(browser, server, runtime="WebAssembly"):
    show(browser, 1280, 900)
    browser.get(server.address)
    until(lambda: runtime in text(browser, "runtime"), 200)


def console(browser):
    """What was written there, without Chromium's own note that the machine has no GPU."""
    return [entry for entry in browser.get_log("browser") if "No available adapters" not in entry["message"]]


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "not within the time"
        time.sleep(0.05)


def text(page, name):
    return page.execute_script("return document.getElementById(arguments[0])?.textContent ?? ''", name)


def visible(page, name):
    """In one step, because the page may reload itself between two."""
    return page.execute_script("return document.getElementById(arguments[0])?.checkVisibility() ?? false", name)


def choose(page, *paths):
    page.find_element("id", "file").send_keys("\n".join(map(str, paths)))


def set_strength(page, percent):
    """As a visitor does who drags the slider and lets it go."""
    page.execute_script("""
        const slider = document.getElementById("strength");
        slider.value = arguments[0];
        for (const type of ["input", "change"]) slider.dispatchEvent(new Event(type));""", percent)


def on_show(page):
    """The dehazed picture as the page shows it, uint8[h, w, 3], at its own size."""
    address = page.execute_script("return document.querySelector('canvas.dehazed').toDataURL()")
    return read_png(base64.b64decode(address.split(",")[1]))


def is_on_show(page, wanted):
    found = on_show(page)
    return found.shape == wanted.shape and np.abs(found.astype(int) - wanted).max() <= 1


def read_png(data):
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def dehazed(page, path):
    """The photo through the page, as it lies on the disk after the download."""
    choose(page, path)
    until(lambda: text(page, "status") == f"{path.name} is dehazed.", 200)
    return downloaded(page, f"{path.stem}_dehazed.png", lambda: page.find_element("id", "download").click())


def downloaded(page, name, press):
    target = page.downloads / name
    target.unlink(missing_ok=True)
    press()
    return arrived(target)


def arrived(path):
    """A downloaded picture. Chromium may hold its name with an empty file first."""
    until(lambda: path.exists() and path.stat().st_size)
    return read_image(path)


def photo(folder, height, width, name="photo.png"):
    """Smooth colours with some noise."""
    rng = np.random.default_rng(height)
    y, x = np.mgrid[:height, :width, :1][:2] / max(height, width)
    image = 120 + 80 * np.sin(np.array([5, 3, 4]) * x + np.array([2, 4, 3]) * y) + rng.normal(0, 8, (height, width, 3))
    write_image(folder / name, np.clip(image, 0, 255).astype(np.uint8))
    return folder / name


def large(folder):
    """A photo of 12 megapixels, so that there is time to do something meanwhile."""
    write_image(folder / "large.png", np.full((3000, 4000, 3), 90, np.uint8))
    return folder / "large.png"


@pytest.mark.parametrize("height, width", [(40, 61), (402, 530), (1400, 700), (1024, 768), (60, 600)])
def test_result_is_that_of_infer_py_at_its_work_size(page, tmp_path, height, width):
    path = photo(tmp_path, height, width)
    difference = dehazed(page, path).astype(int) - expected(path)
    assert np.abs(difference).max() <= 1
    assert np.mean(difference != 0) < 0.05  # where a value lies at one half


def test_exported_network_gives_the_result_of_infer_py(browser, fetched, tmp_path, capsys):
    from src.cli import export

    assert export.main(["--file_format", "ONNX", "--web", "--file_name", str(tmp_path / "aecrnet")]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith(f"{tmp_path / 'aecrnet_web'}: the web page")
    server = Server(tmp_path / "aecrnet_web")
    try:
        open_page(browser, server)
        path = photo(tmp_path, 70, 101)
        difference = dehazed(browser, path).astype(int) - Dehazer().dehaze(path)
    finally:
        server.stop()
    assert np.abs(difference).max() <= 2
    assert console(browser) == []


def test_photos_one_after_the_other_and_upright_by_exif(page, tmp_path):
    from PIL import Image

    first, second = photo(tmp_path, 48, 64, "first.png"), tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # shown a quarter turned
    Image.fromarray(read_image(photo(tmp_path, 60, 100))).save(second, exif=exif, quality=95)
    assert dehazed(page, first).shape == (48, 64, 3)
    found = dehazed(page, second)
    assert found.shape == (100, 60, 3)
    assert np.abs(found.astype(int) - expected(second)).max() <= 8  # two JPEG decoders
    assert text(page, "facts").startswith("60×100 px")


def test_webgpu_gives_the_same_result(server, tmp_path_factory, tmp_path):
    browser = open_browser(tmp_path_factory, has_gpu=True)
    try:
        open_page(browser, server, "WebGPU")
        path = photo(tmp_path, 40, 48)
        assert np.abs(dehazed(browser, path).astype(int) - expected(path)).max() <= 1
        assert text(browser, "facts").endswith("with WebGPU")
        assert browser.get_log("browser") == []
    finally:
        browser.quit()


@pytest.mark.parametrize("headers", [{}, {"Cross-Origin-Opener-Policy": "same-origin",
                                          "Cross-Origin-Embedder-Policy": "require-corp"}])
def test_threads_work_on_any_server(browser, stand_in, tmp_path, headers):
    """A server that sends no headers sees one reload, and the headers come from the service worker."""
    server = Server(stand_in("threads"), headers)
    try:
        open_page(browser, server)
        assert browser.execute_script("return crossOriginIsolated")
        path = photo(tmp_path, 48, 64)
        assert np.abs(dehazed(browser, path).astype(int) - expected(path)).max() <= 1
    finally:
        server.stop()
    assert console(browser) == []
    visits = [path for _, path, _ in server.seen if path == "/"]
    assert len(visits) == (1 if headers else 2)
    assert ("/service_worker.js" in [path for _, path, _ in server.seen]) == (not headers)


def test_without_a_service_worker_one_thread_does_it(browser, stand_in, tmp_path):
    folder = stand_in("alone")
    (folder / "service_worker.js").unlink()
    server = Server(folder)
    try:
        open_page(browser, server)
        assert not browser.execute_script("return crossOriginIsolated")
        path = photo(tmp_path, 48, 64)
        assert np.abs(dehazed(browser, path).astype(int) - expected(path)).max() <= 1
    finally:
        server.stop()
        browser.get_log("browser")


def test_strength_is_shown_at_once_and_saved_as_infer_py_does_it(page, tmp_path):
    path = photo(tmp_path, 700, 900)
    full = dehazed(page, path)
    assert np.array_equal(on_show(page), full)
    for percent in (40, 0, 100):
        set_strength(page, percent)
        until(partial(is_on_show, page, expected(path, percent / 100)))
        saved = downloaded(page, "photo_dehazed.png", lambda: page.find_element("id", "download").click())
        assert np.array_equal(saved, on_show(page)) and text(page, "percent") == f"{percent} %"
        if percent == 0:
            assert np.array_equal(saved, read_image(path))


def test_several_photos_in_a_row_each_keep_their_strength_and_are_saved_at_once(page, tmp_path):
    paths = [photo(tmp_path, 60 + 300 * i, 700, f"{i}.png") for i in range(3)]
    choose(page, paths[0], write_text(tmp_path / "notes.txt"), *paths[1:])
    until(lambda: text(page, "status") == "2.png is dehazed.", 200)
    assert text(page, "name") == "0.png"  # what the visitor may be looking at stays
    line_with(text(page, "problem"), "notes.txt", "cannot read")
    set_strength(page, 50)
    page.find_elements("css selector", "#photos button")[2].click()
    until(lambda: text(page, "name") == "2.png")
    assert text(page, "percent") == "100 %" and np.abs(on_show(page).astype(int) - expected(paths[2])).max() <= 1
    for path in paths[:2]:
        (page.downloads / f"{path.stem}_dehazed.png").unlink(missing_ok=True)
    saved = downloaded(page, "2_dehazed.png", lambda: page.find_element("id", "download_all").click())
    assert np.abs(saved.astype(int) - expected(paths[2])).max() <= 1
    for path, strength in ((paths[0], 0.5), (paths[1], 1.0)):
        found = arrived(page.downloads / f"{path.stem}_dehazed.png").astype(int)
        assert np.abs(found - expected(path, strength)).max() <= 1


def test_jpeg_is_saved_where_nothing_is_transparent(page, tmp_path):
    from PIL import Image

    path = photo(tmp_path, 60, 80)
    result = dehazed(page, path).astype(int)
    page.execute_script("document.getElementById('format').value = 'jpeg'")
    saved = downloaded(page, "photo_dehazed.jpg", lambda: page.find_element("id", "download").click())
    assert np.abs(saved - result).mean() < 8  # the photo is noise, and JPEG halves the size of its colours
    Image.new("RGBA", (40, 40), (90, 90, 90, 128)).save(tmp_path / "clear.png")
    choose(page, tmp_path / "clear.png")
    until(lambda: text(page, "status") == "clear.png is dehazed.")
    page.find_element("id", "download").click()
    until(lambda: visible(page, "problem"))
    line_with(text(page, "problem"), "clear.png", "transparent", "PNG")


def write_text(path):
    path.write_text("no picture")
    return path


def test_alpha_is_kept(page, tmp_path):
    from PIL import Image

    rgb = read_image(photo(tmp_path, 40, 40))
    alpha = np.where(np.arange(40) < 20, 255, 0).astype(np.uint8) * np.ones((40, 1), np.uint8)
    Image.fromarray(np.dstack([rgb, alpha])).save(tmp_path / "clear.png")
    dehazed(page, tmp_path / "clear.png")
    with Image.open(page.downloads / "clear_dehazed.png") as result:
        assert (np.asarray(result)[..., 3] == alpha).all()


def test_nothing_leaves_the_page(browser, stand_in, tmp_path):
    """Only its own files are asked for, it works with the server gone, and the browser refuses all other addresses."""
    server, elsewhere = Server(stand_in("alone")), Server(tmp_path)
    try:
        open_page(browser, server)
        refused = browser.execute_async_script("""
            const [address, done] = arguments;
            const ask = `fetch("${address}", {mode: "no-cors"}).then(() => "sent", () => "refused")`;
            const source = `${ask}.then((answer) => postMessage(answer));`;
            const worker = new Worker(URL.createObjectURL(new Blob([source], {type: "text/javascript"})));
            worker.onmessage = ({data}) => fetch(address, {mode: "no-cors"})
                .then(() => done([data, "sent"]), () => done([data, "refused"]));
            """, elsewhere.address)
        assert refused == ["refused", "refused"]  # by a thread started as the network's is, and by the page
        assert elsewhere.seen == []
    finally:
        elsewhere.stop()
        server.stop()
    assert {method for method, _, _ in server.seen} == {"GET"}
    assert {status for _, _, status in server.seen} <= {200, 304}
    assert not any("webgpu" in path for _, path, _ in server.seen)  # 27 MB that this browser has no use for
    path = photo(tmp_path, 40, 61)
    assert np.abs(dehazed(browser, path).astype(int) - expected(path)).max() <= 1
    refusals = [entry["message"] for entry in console(browser)]
    assert refusals and all("Content Security Policy" in refusal for refusal in refusals)


def test_dropped_photo_waits_for_the_one_before(page, tmp_path):
    choose(page, large(tmp_path))
    until(lambda: visible(page, "work"))
    page.execute_script("""
        const canvas = Object.assign(document.createElement("canvas"), {width: 60, height: 40});
        canvas.getContext("2d").fillRect(0, 0, 60, 40);
        canvas.toBlob((blob) => {
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File([blob], "dropped.png"));
            document.body.dispatchEvent(new DragEvent("drop", {dataTransfer, bubbles: true, cancelable: true}));
        });""")
    until(lambda: text(page, "status") == "dropped.png is dehazed.")
    assert text(page, "name") == "large.png"
    names = [button.text for button in page.find_elements("css selector", "#photos button")]
    assert names == ["large.png", "dropped.png"]


def test_stop_ends_the_work_and_the_next_photo_works(page, tmp_path):
    choose(page, large(tmp_path))
    until(lambda: visible(page, "work"))
    page.find_element("id", "stop").click()
    assert (text(page, "status"), visible(page, "work")) == ("Stopped.", False)
    assert dehazed(page, photo(tmp_path, 48, 64)).shape == (48, 64, 3)
    assert text(page, "name") == "photo.png"


def test_everything_by_keyboard(page, tmp_path):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    def press(*keys):
        ActionChains(page).send_keys(*keys).perform()

    def focused():
        return page.execute_script("return document.activeElement.id || document.activeElement.role")

    press(Keys.TAB)
    assert focused() == "file"  # where Enter opens the browser's own dialogue
    choose(page, photo(tmp_path, 48, 64))
    until(lambda: text(page, "status") == "photo.png is dehazed.")
    press(Keys.TAB)
    assert focused() == "slider"
    press(Keys.ARROW_RIGHT, Keys.PAGE_UP)
    slider = page.find_element("css selector", "[role=slider]")
    assert slider.get_attribute("aria-valuetext") == "62 % hazy, 38 % dehazed"
    press(Keys.TAB)
    assert focused() == "strength"
    press(Keys.ARROW_LEFT)
    assert text(page, "percent") == "99 %"
    press(Keys.TAB, Keys.TAB)
    assert focused() == "download"
    assert downloaded(page, "photo_dehazed.png", lambda: press(Keys.ENTER)).shape == (48, 64, 3)


@pytest.mark.parametrize("width", [320, 400])
def test_narrow_screens_never_scroll_sideways(page, tmp_path, width):
    show(page, width, 850, mobile=True)

    def measure():
        assert page.execute_script("return [document.documentElement.scrollWidth, innerWidth]") == [width, width]

    measure()
    choose(page, large(tmp_path))
    until(lambda: visible(page, "work"))
    measure()
    page.find_element("id", "stop").click()
    names = ["a_photo_with_a_name_that_is_much_too_long_for_a_telephone.png", "other.png"]
    choose(page, *[photo(tmp_path, 80, 200, name) for name in names])
    until(lambda: text(page, "status") == "other.png is dehazed.")
    measure()
    assert page.execute_script("return document.querySelector('.frame').offsetWidth") > 0.8 * width


HEIC = ("which this browser cannot read. Open this page in Safari, or save the photo as JPEG first. An iPhone takes "
        "JPEG photos with Settings > Camera > Formats > Most Compatible.")


@pytest.mark.parametrize("name, problem", [
    ("notes.txt", "notes.txt: this browser cannot read it as a picture."),
    ("cut.png", "cut.png: this browser cannot read it as a picture."),
    ("tiny.png", "tiny.png: 30×15 px is too small, each side must have at least 16."),
    ("phone.heic", "phone.heic: a HEIC photo, " + HEIC),
    ("renamed.jpg", "renamed.jpg: a HEIC photo, " + HEIC),
])
def test_file_that_cannot_be_used_is_named_in_one_line(page, tmp_path, name, problem):
    if name == "notes.txt":
        write_text(tmp_path / name)
    elif name in ("phone.heic", "renamed.jpg"):
        (tmp_path / name).write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
    elif name == "cut.png":
        (tmp_path / name).write_bytes(photo(tmp_path, 40, 40).read_bytes()[:30])
    else:
        photo(tmp_path, 15, 30, name)
    choose(page, tmp_path / name)
    until(lambda: visible(page, "problem"))
    assert text(page, "problem") == problem
    assert not visible(page, "work") and not visible(page, "result")
    assert dehazed(page, photo(tmp_path, 48, 64)).shape == (48, 64, 3)
    assert not visible(page, "problem")


def test_missing_network_is_said(browser, stand_in):
    folder = stand_in("incomplete")
    (folder / "model.onnx").unlink()
    server = Server(folder)
    try:
        browser.get(server.address)
        until(lambda: visible(browser, "problem"))
        assert text(browser, "problem").startswith("The network cannot be loaded: ")
    finally:
        server.stop()
        browser.get_log("browser")


@pytest.mark.parametrize("name", ["model.json", "model.onnx", "worker.js", "padding.js", "onnxruntime"])
def test_photo_chosen_after_a_failed_load_is_no_wait_for_ever(browser, stand_in, tmp_path, name):
    folder = stand_in("broken")
    shutil.rmtree(folder / name) if (folder / name).is_dir() else (folder / name).unlink()
    server = Server(folder)
    try:
        browser.get(server.address)
        until(lambda: visible(browser, "problem"))
        choose(browser, photo(tmp_path, 40, 40), photo(tmp_path, 40, 41, "next.png"))
        until(lambda: visible(browser, "problem") and not visible(browser, "work"))
        assert text(browser, "problem").startswith("The network cannot be loaded: ")
        assert text(browser, "problem").endswith("Reload the page to try again.")
        assert text(browser, "problem").count("The network") == 1
        assert not visible(browser, "result") and text(browser, "status") == ""
    finally:
        server.stop()
        browser.get_log("browser")


def test_network_that_the_browser_computes_wrongly_is_refused(browser, stand_in):
    folder = stand_in("wrong")
    about = json.loads((folder / "model.json").read_text())
    about["probe"][7] += 0.1
    (folder / "model.json").write_text(json.dumps(about))
    server = Server(folder)
    try:
        browser.get(server.address)
        until(lambda: visible(browser, "problem"))
        assert text(browser, "problem") == ("The network cannot be loaded: its results with wasm are wrong on this "
                                            "device. Reload the page to try again.")
    finally:
        server.stop()
        browser.get_log("browser")


def test_page_opened_as_a_file_says_that_it_needs_a_server(browser, stand_in):
    browser.get((stand_in("file") / "index.html").as_uri())
    until(lambda: "python -m http.server" in text(browser, "status"))
    browser.get_log("browser")


def test_dark_scheme_is_followed(page):
    show(page, 1280, 900, dark=True)
    assert page.execute_script("return getComputedStyle(document.body).backgroundColor") == "rgb(14, 20, 25)"


@pytest.mark.parametrize("code, message", [
    ("echo 'npm error network no route' >&2; exit 1", "npm cannot fetch onnxruntime-web@1.30.0 (npm error network "),
    ('echo other > "$5/onnxruntime-web-1.30.0.tgz"', "from npm is not the file that was tested"),
])
def test_runtime_that_npm_does_not_deliver_is_an_error(tmp_path, monkeypatch, code, message):
    monkeypatch.setenv("PATH", fake_npm(tmp_path / "bin", code), prepend=":")
    with pytest.raises(InputError) as failed:
        web.write_web(tmp_path / "never_read.onnx", tmp_path / "page")
    assert message in str(failed.value)
    assert list((tmp_path / "page").rglob("*.*")) == []


def test_missing_npm_is_an_error_that_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(web.shutil, "which", lambda name, path=None: None)
    with pytest.raises(InputError, match="npm is needed.*install"):
        web.write_web(tmp_path / "never_read.onnx", tmp_path / "page")


def test_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "page").write_text("a file")
    with pytest.raises(InputError, match="--web .*page.*cannot write there"):
        web.write_web(tmp_path / "never_read.onnx", tmp_path / "page")
