"""aecrnet-serve: photos over HTTP, what it refuses, and that it lives on."""
import http.client
import io
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from src.cli import config, serve
from src.dehaze.dehazer import Dehazer
from src.errors import InputError, UsageError
from src.serve.app import Server

pytest.importorskip("starlette")
uvicorn = pytest.importorskip("uvicorn")

ROOT = Path(__file__).resolve().parent.parent


class Halving:
    """A network that halves every value, after `seconds`. It counts how many calls run at a time."""

    path, description, value_range, size = Path("half.ckpt"), {"runtime": "numpy on CPU"}, 1.0, None

    def __init__(self):
        self.seconds, self.running, self.most, self.calls = 0.0, 0, 0, 0

    def expect(self, shape, calls):
        pass

    def __call__(self, x):
        self.running += 1
        self.calls += 1
        self.most = max(self.most, self.running)
        time.sleep(self.seconds)
        self.running -= 1
        return x / 2


class Running:
    """A server of this process on a free port, with options that replace the defaults."""

    def __init__(self, **options):
        self.network = Halving()
        options = SimpleNamespace(**{**vars(config.parse([], serve.SECTIONS, "")), **options})
        self.other = Halving()
        self.server = Server({"half": Dehazer(network=self.network), "other": Dehazer(network=self.other)}, options)
        self.worker = self.server.workers["half"]
        self.uvicorn = uvicorn.Server(uvicorn.Config(self.server.app(), log_level="critical"))
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]

    def __enter__(self):
        self.thread = threading.Thread(target=self.uvicorn.run, args=([self.socket],))
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.uvicorn.should_exit = True
        self.thread.join(30)
        self.socket.close()

    def request(self, method, path, body=None, headers=None):
        """Status, headers and body of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def error(self, *request, **more):
        """Status and text of a refusal."""
        status, headers, body = self.request(*request, **more)
        assert headers["content-type"] == "application/json" and list(json.loads(body)) == ["error"]
        return status, json.loads(body)["error"]


@pytest.fixture(scope="module")
def running():
    with Running(max_mb=1, max_pixels=10_000) as server:
        yield server


def photo(height=32, width=40, file_format="PNG", value=200, **options):
    file = io.BytesIO()
    Image.fromarray(np.full((height, width, 3), value, np.uint8)).save(file, file_format, **options)
    return file.getvalue()


def pixels(body):
    with Image.open(io.BytesIO(body)) as image:
        return image.format, np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("query, kind, mime", [("", "PNG", "image/png"), ("?format=jpeg", "JPEG", "image/jpeg"),
                                               ("?format=webp", "WEBP", "image/webp")])
def test_a_photo_comes_back_dehazed(running, query, kind, mime):
    status, headers, body = running.request("POST", f"/dehaze{query}", photo())
    found, image = pixels(body)
    assert (status, headers["content-type"], found, image.shape) == (200, mime, kind, (32, 40, 3))
    assert np.abs(image.astype(int) - 100).max() <= 2


def test_what_belongs_to_a_photo_comes_back_with_it(running):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a maker"
    status, _, body = running.request("POST", "/dehaze?format=jpeg", photo(file_format="JPEG", exif=exif))
    with Image.open(io.BytesIO(body)) as image:
        assert status == 200 and image.size == (32, 40) and image.getexif()[0x010F] == "a maker"


@pytest.mark.parametrize("body, status, text", [
    (b"", 415, "no photo of a kind that this server reads"), (b"hello " * 1000, 415, "no photo of a kind"),
    (photo(90, 90, "BMP")[:9000], 422, "photo: cannot be read as an image"),
    (photo(height=8), 422, "photo: 40x8 px is too small"),
    (photo(200, 200), 413, "200x200 pixels are more than the 10000 that it takes"),
    (bytes(1_000_001), 413, "a photo may have 1 MB at most")],
    ids=["empty", "text", "cut", "small", "many pixels", "large"])
def test_what_the_server_cannot_take_is_said_with_its_status_and_it_lives_on(running, body, status, text):
    found, error = running.error("POST", "/dehaze", body)
    assert found == status and error.startswith(text) and "/tmp" not in error
    assert running.request("POST", "/dehaze", photo())[0] == 200


def test_a_body_without_a_length_is_cut_off_at_the_limit(running):
    chunks = (bytes(100_000) for _ in range(20))
    try:
        status = running.request("POST", "/dehaze", chunks)[0]
    except (ConnectionError, http.client.HTTPException):  # the server closed before all was sent
        status = 413
    assert status == 413 and running.request("POST", "/dehaze", photo())[0] == 200


def test_wrong_requests_are_answered_as_json(running):
    status, text = running.error("POST", "/dehaze?format=gif", photo())
    assert (status, text) == (400, "format must be one of png, jpeg, webp, not gif")
    assert running.error("GET", "/dehaze")[0] == 405
    assert running.error("GET", "/no_such")[0] == 404


def test_a_fault_of_the_program_is_an_answer_too(running, monkeypatch):
    def broken(self, image):
        raise RuntimeError("no such operator")

    monkeypatch.setattr(Dehazer, "dehaze", broken)
    assert running.error("POST", "/dehaze", photo()) == (500, "the server failed; its log has the reason")
    monkeypatch.undo()
    assert running.request("POST", "/dehaze", photo())[0] == 200


def test_the_health_page_says_what_computes(running):
    status, _, body = running.request("GET", "/health")
    assert status == 200 and json.loads(body) == {
        "status": "ok", "waiting": 0, "queue": 64, "runtime": "numpy on CPU", "checkpoint": "half.ckpt",
        "models": ["half", "other"]}
    assert b"curl --data-binary" in running.request("GET", "/")[2]


def test_each_network_has_its_own_queue_and_worker():
    with Running(queue=1) as server:
        server.network.seconds = 1.0
        first = threading.Thread(target=server.request, args=("POST", "/dehaze", photo()))
        first.start()
        while not server.network.running:
            time.sleep(0.01)
        assert server.error("POST", "/dehaze?model=half", photo())[0] == 503
        assert server.request("POST", "/dehaze?model=other", photo())[0] == 200
        assert server.network.running and server.other.calls == 1
        assert server.request("GET", "/health?model=other")[0] == 200
        first.join()


def test_an_unknown_network_is_refused(running):
    expected = (400, "model must be one of half, other, not third")
    assert running.error("POST", "/dehaze?model=third", photo()) == expected
    assert running.error("GET", "/health?model=third") == expected


def test_a_slow_sender_is_refused_and_hinders_nobody():
    with Running(upload_seconds=1) as server:
        slow = socket.create_connection(("127.0.0.1", server.port), timeout=30)
        slow.sendall(b"POST /dehaze HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc")
        assert server.request("POST", "/dehaze", photo())[0] == 200
        assert slow.recv(1000).startswith(b"HTTP/1.1 408 ")
        slow.close()
        assert json.loads(server.request("GET", "/health")[2])["waiting"] == 0


def test_a_photo_whose_sender_has_gone_is_not_computed(capsys):
    with Running() as server:
        server.network.seconds = 0.5
        first = threading.Thread(target=server.request, args=("POST", "/dehaze", photo()))
        first.start()
        while not server.network.running:
            time.sleep(0.01)
        gone = socket.create_connection(("127.0.0.1", server.port), timeout=30)
        gone.sendall(b"POST /dehaze HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(photo()) + photo())
        while server.worker.waiting < 2:
            time.sleep(0.01)
        gone.close()
        first.join()
        assert server.request("POST", "/dehaze", photo())[0] == 200
        assert server.network.calls == 2 and server.worker.waiting == 0
    assert "Traceback" not in capsys.readouterr().err


def test_the_web_page_has_the_headers_of_threads(tmp_path):
    page = tmp_path / "page"
    page.mkdir()
    (page / "index.html").write_text("<title>page</title>")
    (page / "worker.mjs").write_text("1")
    (tmp_path / "secret").write_text("2")
    with Running(web_dir=str(page)) as server:
        for path, kind in (("/", "text/html"), ("/worker.mjs", "text/javascript")):
            status, headers, _ = server.request("GET", path)
            assert status == 200 and headers["content-type"].startswith(kind)
            assert headers["cross-origin-opener-policy"] == "same-origin"
            assert headers["cross-origin-embedder-policy"] == "require-corp"
        assert server.request("GET", "/../secret")[0] == 404
        assert server.request("POST", "/dehaze", photo())[0] == 200


def test_fifty_requests_at_once_lose_none_and_the_network_sees_one_at_a_time():
    with Running() as server, ThreadPoolExecutor(50) as clients:
        server.network.seconds = 0.02
        shades = [100 + 2 * i for i in range(50)]
        answers = list(clients.map(lambda shade: server.request("POST", "/dehaze", photo(value=shade)), shades))
        assert [status for status, _, _ in answers] == [200] * 50
        assert [pixels(body)[1][0, 0, 0] for _, _, body in answers] == [shade // 2 for shade in shades]
        assert server.network.most == 1
        end = time.monotonic() + 30
        while list(Path(server.server.folder).iterdir()):  # the last file goes after the last byte has come
            assert time.monotonic() < end
            time.sleep(0.01)


def test_more_than_the_queue_holds_is_refused_at_once_and_the_rest_is_served():
    with Running(queue=3) as server, ThreadPoolExecutor(12) as clients:
        server.network.seconds = 0.3
        answers = list(clients.map(lambda _: server.request("POST", "/dehaze", photo()), range(12)))
        statuses = [status for status, _, _ in answers]
        assert statuses.count(200) >= 3 and statuses.count(200) + statuses.count(503) == 12 and 503 in statuses
        refused = next(answer for answer in answers if answer[0] == 503)
        assert refused[1]["retry-after"] == "5" and json.loads(refused[2])["error"].endswith("photos wait already")
        assert server.request("POST", "/dehaze", photo())[0] == 200


# the command

@pytest.mark.parametrize("flags, error, text", [
    (["--port", "70000"], UsageError, "--port must be at most 65535, not 70000"),
    (["--queue", "0"], UsageError, "--queue must be at least 1, not 0"),
    (["--more_models", "no_such.ckpt"], InputError, "no_such.ckpt: no such checkpoint"),
    (["--more_models", "checkpoints/aecrnet_real.ckpt"], UsageError, "already a network of the name aecrnet_real"),
    (["--report"], UsageError, "unrecognized arguments: --report"),
    (["--web_dir", "no_such"], InputError, "--web_dir no_such: has no index.html; export.py .* --web writes it")])
def test_mistakes_in_the_flags_are_one_line(flags, error, text):
    with pytest.raises(error, match=text):
        serve.main(flags)


def test_a_configuration_file_for_infer_serves_too(tmp_path):
    (tmp_path / "my.yaml").write_text("inference: {report: true, strength: 0.5}\n")
    options = config.parse(["--config", str(tmp_path / "my.yaml")], serve.SECTIONS, "", unread=serve.UNREAD)
    assert options.strength == 0.5 and not hasattr(options, "report") and options.given == ["strength"]


@pytest.mark.slow
def test_the_command_listens_on_this_machine_alone_and_ends_at_a_signal(tmp_path):
    command = [sys.executable, "-m", "src.cli.serve", "--more_models", "checkpoints/aecrnet.ckpt", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline().startswith("aecrnet_real: computed by ")
            assert process.stdout.readline().startswith("aecrnet: computed by ")
            port = int(re.search(r"http://127\.0\.0\.1:(\d+)/dehaze", process.stdout.readline()).group(1))
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request("POST", "/dehaze", photo())
            answer = connection.getresponse()
            assert answer.status == 200 and pixels(answer.read())[1].shape == (32, 40, 3)
            connection.close()
            other = subprocess.run([*command[:-1], str(port)], cwd=ROOT, capture_output=True, text=True)
            assert other.returncode == 1 and other.stderr.count("\n") == 1
            assert f"error: --host 127.0.0.1 --port {port}: cannot listen there" in other.stderr
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 128 + signal.SIGTERM
        assert "Traceback" not in process.stderr.read()
