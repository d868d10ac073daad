"""``gan-lightning demo``: its functions, what it answers programs, and its page in a browser."""

import asyncio
import base64
import json
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import CLASSES, IMAGE, VECTOR, batches, tiny, train
from PIL import Image

from benchmarks.render.picture import browser
from gan_lightning.cli.program import main
from gan_lightning.demo import between, build, draw, launch, truncation_of
from gan_lightning.utils.errors import ArgumentError

needs_gradio = pytest.mark.skipif(
    find_spec("gradio") is None,
    reason="the page of the demo is NOT TESTED: Gradio is not installed",
)


# What it draws.


def test_samples_are_those_of_the_seed_and_the_class():
    model = tiny("dcgan", IMAGE, CLASSES)
    grid = draw(model, 3, 5)
    assert (grid.images.shape, grid.columns) == ((5, *IMAGE), 3)
    assert torch.equal(grid.images, draw(model, 3, 5).images)
    assert not torch.equal(grid.images, draw(model, 4, 5).images)
    generator = torch.Generator().manual_seed(3)
    y = torch.tensor([0, 1, 2, 0, 1])
    torch.testing.assert_close(grid.images, model.sample(5, y, generator=generator))
    one = draw(model, 3, 5, label=1)
    torch.testing.assert_close(one.images[1], grid.images[1])
    assert not torch.allclose(one.images[0], grid.images[0])


@pytest.mark.parametrize("name", ["dcgan", "wgan_gp", "stylegan2"])
def test_the_way_goes_from_seed_to_seed(name):
    model = tiny(name, IMAGE)
    grid = between(model, 3, 4, 10)
    assert (grid.images.shape, grid.columns) == ((10, *IMAGE), 8)
    for image, seed in ((grid.images[0], 3), (grid.images[-1], 4)):
        torch.testing.assert_close(image, draw(model, seed, 1).images[0])
    truncated = between(model, 3, 4, 10, truncation=0.3)
    assert not torch.allclose(truncated.images, grid.images)


def test_points_are_plotted():
    model = tiny("wgan_gp", VECTOR, CLASSES)
    assert draw(model, 0, 1).groups["samples"].shape == (2000, 2)
    assert between(model, 0, 1, 16, label=2).groups["walk 1"].shape == (64, 2)


def test_the_largest_truncation_changes_nothing():
    for name in ("dcgan", "stylegan2"):
        model = tiny(name, IMAGE)
        most = truncation_of(model).most
        torch.testing.assert_close(
            draw(model, 0, 4, truncation=most).images, draw(model, 0, 4).images
        )
    assert truncation_of(tiny("wgan_gp", IMAGE)).most > 1


def test_what_cannot_be_drawn_is_refused():
    model = tiny("wgan_gp", IMAGE, CLASSES)
    with pytest.raises(ValueError, match="count must be at least 1"):
        draw(model, 0, 0)
    with pytest.raises(ValueError, match="seed must be from 0"):
        draw(model, -1, 1)
    with pytest.raises(ValueError, match="labels must be from 0 to 2"):
        draw(model, 0, 1, label=3)
    with pytest.raises(ArgumentError, match="truncation must be positive"):
        draw(model, 0, 1, truncation=0)


# The command.


@pytest.fixture
def checkpoint(tmp_path):
    trainer = train(tiny("dcgan", IMAGE), batches(IMAGE), max_steps=1)
    trainer.save_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")
    return tmp_path / "run"


def test_without_gradio_it_says_what_to_install(checkpoint, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(SystemExit) as exited:
        main(["demo", f"--ckpt_path={checkpoint}"])
    assert exited.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "pip install 'gan-lightning[demo]'" in line


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--port=0"], "demo: --port must be from 1 to 65535, got 0"), (["--x"], "demo: unrecog")],
)
def test_a_mistake_is_answered_with_one_line(checkpoint, options, message, capsys):
    with pytest.raises(SystemExit):
        main(["demo", f"--ckpt_path={checkpoint}", *options])
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


@needs_gradio
@pytest.mark.slow
def test_the_command_serves_a_page_until_it_is_interrupted(checkpoint, start):
    served = start("-m", "gan_lightning", "demo", f"--ckpt_path={checkpoint}", anew=True)
    served.until(lambda: "the page is at" in served.said.read_text(), within=300)
    url = re.search(r"http://127\.0\.0\.1:\d+", served.said.read_text())[0]
    with urllib.request.urlopen(url) as answer:
        assert b"DCGAN: samples" in answer.read()
    served.kill(signal.SIGINT)
    code, said = served.ended()
    assert code == 0
    assert "Traceback" not in said


# The page.


@contextmanager
def page_of(model, names=()):
    """The address of a page; no connection but those of the loopback may be made."""
    elsewhere = []
    connect = socket.socket.connect

    def watched(self, address):
        if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "localhost", "::1"):
            elsewhere.append(address)
            raise OSError(f"{address} is elsewhere")
        return connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", watched)
        app = build(model, names)
        try:
            yield launch(app, "127.0.0.1", None)
        finally:
            app.close(verbose=False)
    assert elsewhere == []


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return tiny("wgan_gp", IMAGE, CLASSES)


@pytest.fixture(scope="module")
def page(model):
    pytest.importorskip("gradio", reason="the page is NOT TESTED: Gradio is not installed")
    with page_of(model, ["cat", "dog", "eel"]) as url:
        yield url


def pixels(picture):
    return np.asarray(picture.convert("L"))


@needs_gradio
@pytest.mark.slow
def test_programs_get_the_same_pictures(model, page):
    from gradio_client import Client
    from gradio_client.exceptions import AppError

    client = Client(page, verbose=False, analytics_enabled=False)
    for arguments, name, made in (
        ((3, 9, -1, 3), "/draw", draw(model, 3, 9)),
        ((3, 4, 2, 0.5), "/draw", draw(model, 3, 4, 2, 0.5)),
        ((0, 5, 6, 1, 3), "/between", between(model, 0, 5, 6, 1)),
    ):
        with Image.open(client.predict(*arguments, api_name=name)) as picture:
            assert np.array_equal(pixels(picture), pixels(made.picture()))
    with pytest.raises(AppError, match="seed must be from 0"):
        client.predict(2**63, 9, -1, 3, api_name="/draw")


@needs_gradio
@pytest.mark.slow
def test_the_program_of_the_docs_gets_a_picture(page):
    text = (Path(__file__).parents[1] / "docs" / "looking.md").read_text()
    (program,) = re.findall(r"```python\n(from gradio_client.*?)```", text, re.DOTALL)
    *lines, last = program.replace("http://127.0.0.1:7860", page).strip().splitlines()
    names = {}
    exec("\n".join(lines), names)
    with Image.open(eval(last, names)) as picture:
        assert picture.size == (4 * 66 + 2, 4 * 66 + 2)


@needs_gradio
@pytest.mark.slow
def test_nothing_is_reported_and_the_page_is_of_this_machine_alone(page):
    with urllib.request.urlopen(f"{page}config") as answer:
        config = json.load(answer)
    assert config["analytics_enabled"] is False
    assert page.startswith("http://127.0.0.1:")
    port = int(re.search(r":(\d+)", page.removeprefix("http:"))[1])
    own = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), port, socket.AF_INET)}
    for address in own - {"127.0.0.1"}:
        with pytest.raises(OSError, match=r"refused|unreachable"):
            socket.create_connection((address, port), timeout=2)


@needs_gradio
@pytest.mark.slow
@pytest.mark.parametrize("case", [("dcgan", VECTOR), ("stylegan2", IMAGE)])
def test_models_without_classes_have_a_page(case):
    with page_of(tiny(*case)) as url, urllib.request.urlopen(f"{url}config") as answer:
        components = json.load(answer)["components"]
    shown = {
        each["props"].get("label"): each["props"]["visible"]
        for each in components
        if each["type"] in ("slider", "dropdown")
    }
    assert shown["Class"] is False
    assert shown["Images"] is shown["Steps"] is (case[1] == IMAGE)


PICTURE = """
(() => {
  const shown = [...document.images].filter((i) => i.naturalWidth > 100 && i.offsetParent);
  const wide = document.documentElement.scrollWidth;
  const image = shown[0] && { src: shown[0].src, width: shown[0].offsetWidth };
  return JSON.stringify({ wide, image, text: document.body.innerText });
})()
"""
NEXT_SEED = "[...document.querySelectorAll('button')].find((b) => /Next/.test(b.innerText)).click()"
SECOND_TAB = "document.querySelectorAll('button[role=tab]')[1].click()"


class Browser:
    """A window of Chromium, which is driven through its DevTools."""

    def __init__(self, socket):
        self.socket, self.count, self.requested = socket, 0, []

    async def call(self, method, **parameters):
        self.count += 1
        await self.socket.send_json({"id": self.count, "method": method, "params": parameters})
        while True:
            answer = await self.socket.receive_json(timeout=60)
            if answer.get("method") == "Network.requestWillBeSent":
                self.requested.append(answer["params"]["request"]["url"])
            if answer.get("id") == self.count:
                return answer["result"]

    async def run(self, script):
        result = await self.call("Runtime.evaluate", expression=script, returnByValue=True)
        return result["result"].get("value")

    async def seen(self, happened):
        for _ in range(300):
            # While the page loads there is nothing.
            found = json.loads(await self.run(PICTURE) or "{}")
            if found and happened(found):
                return found
            await asyncio.sleep(0.2)
        raise AssertionError(f"this does not happen: {found}")


async def look(url, width, folder):
    """Look at both tabs in a window of this width; what is seen, and what was requested."""
    import aiohttp

    command = [
        browser(),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={folder}",
    ]
    command += ["--remote-debugging-port=0", "about:blank"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        line = next(line for line in process.stderr if "DevTools listening" in line)
        port = re.search(r"ws://[^:]+:(\d+)/", line)[1]
        async with aiohttp.ClientSession() as session:
            tabs = []
            while not tabs:
                async with session.get(f"http://127.0.0.1:{port}/json") as answer:
                    tabs = [each for each in await answer.json() if each["type"] == "page"]
            address = tabs[0]["webSocketDebuggerUrl"]
            async with session.ws_connect(address, max_msg_size=0) as connection:
                window = Browser(connection)
                await window.call("Network.enable")
                await window.call(
                    "Emulation.setDeviceMetricsOverride",
                    **{"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False},
                )
                await window.call("Page.navigate", url=url)
                first = await window.seen(lambda found: found.get("image"))
                await window.run(NEXT_SEED)
                source = first["image"]["src"]
                second = await window.seen(
                    lambda found: found.get("image", {}).get("src") not in (None, source)
                )
                shot = await window.call("Page.captureScreenshot", format="png")
                await window.run(SECOND_TAB)
                third = await window.seen(
                    lambda found: "From seed" in found["text"] and found.get("image")
                )
                return (first, second, third), base64.b64decode(shot["data"]), window.requested
    finally:
        process.kill()
        process.wait()


@needs_gradio
@pytest.mark.slow
@pytest.mark.skipif(browser() is None, reason="the page is NOT TESTED: there is no Chromium here")
@pytest.mark.parametrize("width", [1280, 400])
def test_the_page_in_a_browser(page, width, tmp_path):
    pytest.importorskip("aiohttp", reason="the page is NOT TESTED: aiohttp is not installed")
    views, shot, requested = asyncio.run(look(page, width, tmp_path / "profile"))
    for view in views:
        assert view["wide"] <= width
        # The picture fills its half, or the window.
        assert view["image"]["width"] > (280 if width == 400 else 500)
    first, _, third = views
    assert "Generates grey images of 8 \N{MULTIPLICATION SIGN} 8 pixels of 3" in first["text"]
    assert "To seed" in third["text"]
    own = (page, "data:", "blob:")
    assert [url for url in requested if not url.startswith(own)] == []
    (tmp_path / "shot.png").write_bytes(shot)
    with Image.open(tmp_path / "shot.png") as picture:
        assert picture.size == (width, 900)
        assert len(picture.convert("RGB").getcolors(1_000_000)) > 50
