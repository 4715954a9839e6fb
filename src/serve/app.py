"""The server's answers: POST a photo to /dehaze and get it dehazed; /health; the web page at /.

Photos wait on the disk. Each network has its own queue and computes one photo at a time, so the memory holds one photo
for each network whatever the number of requests. What the server cannot take is answered at once with a status and
{"error": text}:

    400  an unknown format or network
    408  the photo came too slowly          415  it is no photo of a kind that is read here
    413  it is too large                    422  it is damaged, or too small for the network
    503  too many photos wait already       500  anything else; the server goes on
"""
from __future__ import annotations

import asyncio
import contextlib
import tempfile
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import AsyncIterator, Mapping

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from ..data.images import check_size
from ..data.reading import pixel_limit, read_header, read_photo
from ..data.writing import write_photo
from ..dehaze.dehazer import Dehazer
from ..errors import UserError, one_line

FORMATS = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}
GONE = "the client went away"  # which only the tests and a log can see
RETRY_SECONDS = "5"  # what a refused client is told to wait
USAGE = """AECR-Net, a server that removes haze from photos.

    curl --data-binary @hazy.jpg http://HOST/dehaze -o clear.png
    curl --data-binary @hazy.jpg "http://HOST/dehaze?format=jpeg" -o clear.jpg
    curl --data-binary @hazy.jpg "http://HOST/dehaze?model=MODEL" -o clear.png
    curl http://HOST/health
"""
# what lets a page use several threads of WebAssembly, and nothing else of the browser
PAGE_HEADERS = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp",
                "X-Content-Type-Options": "nosniff"}


class Page(StaticFiles):
    """The web page that `export.py --web` writes, with the headers that WebAssembly needs for its threads."""

    def file_response(self, *arguments, **options) -> Response:
        response = super().file_response(*arguments, **options)
        response.headers.update(PAGE_HEADERS)
        return response


class Worker:
    """A network and its queue.

    Attributes: waiting, the number of photos that are received or computed for it at the moment; turn, whose holder
        may compute.
    """

    def __init__(self, dehazer: Dehazer):
        self.dehazer, self.waiting = dehazer, 0

    def start(self) -> None:
        self.turn = asyncio.Lock()  # needs the running loop in Python 3.9


class Server:
    """The state of a running server.

    Args:
        dehazers: name -> the network that `?model=` chooses. The first is taken where a request names none.
        options: of section `serve`, and max_pixels.

    Attributes: folder, where photos wait.
    """

    def __init__(self, dehazers: Mapping[str, Dehazer], options: SimpleNamespace):
        self.workers, self.options = {name: Worker(dehazer) for name, dehazer in dehazers.items()}, options

    def app(self) -> Starlette:
        """The application, for uvicorn. Its web page is at / if `web_dir` is given."""
        home = (Mount("/", Page(directory=self.options.web_dir, html=True)) if self.options.web_dir
                else Route("/", self.usage))
        return Starlette(
            routes=[Route("/dehaze", self.dehaze, methods=["POST"]), Route("/health", self.health), home],
            exception_handlers={HTTPException: _as_json, Exception: _as_fault}, lifespan=self._life)

    async def usage(self, request: Request) -> Response:
        return PlainTextResponse(USAGE.replace("HOST", request.url.netloc).replace("MODEL", list(self.workers)[-1]))

    async def health(self, request: Request) -> Response:
        """Whether photos are accepted for a network, and what computes them."""
        worker = self._worker(request)
        is_full, network = worker.waiting >= self.options.queue, worker.dehazer.network
        facts = {"status": "full" if is_full else "ok", "waiting": worker.waiting, "queue": self.options.queue,
                 "runtime": network.description["runtime"], "checkpoint": network.path.name,
                 "models": list(self.workers)}
        return JSONResponse(facts, 503 if is_full else 200)

    def _worker(self, request: Request) -> Worker:
        name = request.query_params.get("model", next(iter(self.workers)))
        if name not in self.workers:
            raise HTTPException(400, f"model must be one of {', '.join(self.workers)}, not {name[:40]}")
        return self.workers[name]

    async def dehaze(self, request: Request) -> Response:
        """A photo of any kind that is read here -> the dehazed photo as PNG, or as `?format=` says."""
        kind, worker = request.query_params.get("format", "png"), self._worker(request)
        if kind not in FORMATS:
            raise HTTPException(400, f"format must be one of {', '.join(FORMATS)}, not {kind[:40]}")
        if worker.waiting >= self.options.queue:
            raise HTTPException(503, f"{worker.waiting} photos wait already", {"Retry-After": RETRY_SECONDS})
        source = Path(self.folder, uuid.uuid4().hex)
        target = source.with_suffix(f".{kind}")
        worker.waiting += 1
        try:
            await self._receive(request, source)
            async with worker.turn:
                if await request.is_disconnected():
                    raise HTTPException(400, GONE)
                await asyncio.get_running_loop().run_in_executor(
                    None, self._work, worker.dehazer, source, target)
        except BaseException:
            target.unlink(missing_ok=True)
            raise
        finally:
            worker.waiting -= 1
            source.unlink(missing_ok=True)
        return FileResponse(target, media_type=FORMATS[kind], background=BackgroundTask(target.unlink, True))

    async def _receive(self, request: Request, path: Path) -> None:
        """Write the body to a file as it comes. Raises: HTTPException if it is too large, too slow or empty."""
        limit = self.options.max_mb * 1_000_000
        too_large = HTTPException(413, f"a photo may have {self.options.max_mb} MB at most")
        if int(request.headers.get("content-length", "0")) > limit:
            raise too_large
        try:
            with open(path, "wb") as file:
                async for chunk in _in_time(request.stream(), self.options.upload_seconds):
                    if file.tell() + len(chunk) > limit:
                        raise too_large
                    file.write(chunk)
        except asyncio.TimeoutError:
            raise HTTPException(408, f"the photo did not come in {self.options.upload_seconds} s") from None
        except ClientDisconnect:
            raise HTTPException(400, GONE) from None

    def _work(self, dehazer: Dehazer, source: Path, target: Path) -> None:
        """Dehaze one file, in a thread."""
        header, limit = read_header(source), pixel_limit(self.options.max_pixels)
        if header is None:
            raise HTTPException(415, "no photo of a kind that this server reads")
        if header.height * header.width > limit:
            raise HTTPException(413, f"{header.width}x{header.height} pixels are more than the {limit} that it takes")
        try:
            photo = read_photo(source, self.options.max_pixels or None)
            check_size(photo.rgb, "photo")
            write_photo(target, photo._replace(rgb=dehazer.dehaze(photo.rgb)))
        except UserError as error:
            raise HTTPException(422, one_line(error).replace(str(source), "photo")) from None
        except MemoryError:
            raise HTTPException(413, "the photo needs more memory than this server has") from None

    @contextlib.asynccontextmanager
    async def _life(self, _: Starlette) -> AsyncIterator[None]:
        for worker in self.workers.values():
            worker.start()
        with tempfile.TemporaryDirectory(prefix="aecrnet-") as self.folder:
            yield


async def _in_time(chunks: AsyncIterator[bytes], seconds: float) -> AsyncIterator[bytes]:
    """The same chunks. Raises: asyncio.TimeoutError if not all have come after `seconds`."""
    end = asyncio.get_running_loop().time() + seconds
    while True:
        try:
            yield await asyncio.wait_for(chunks.__anext__(), end - asyncio.get_running_loop().time())
        except StopAsyncIteration:
            return


async def _as_json(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, headers=error.headers)


async def _as_fault(request: Request, error: Exception) -> Response:
    """The log gets the traceback."""
    return JSONResponse({"error": "the server failed; its log has the reason"}, 500)
