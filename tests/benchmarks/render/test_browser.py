"""The page in a browser, as wide as on a desktop and on a phone."""

import json
import re
import subprocess
from html import escape, unescape

import pytest
from PIL import Image

from benchmarks.protocols import PROTOCOLS
from benchmarks.render.picture import PAGE, browser, screenshot

pytestmark = pytest.mark.skipif(
    browser() is None, reason="the page is NOT TESTED: there is no Chromium here"
)

LOOK = """
<iframe id="page" style="border: 0" width="{width}" height="900" srcdoc="{page}"></iframe>
<script>
window.addEventListener("load", () => {{
  const page = document.getElementById("page").contentDocument;
  const table = page.querySelector(".sorts");
  const column = (i) => [...table.tBodies[0].rows].map((row) => row.cells[i].textContent);
  const seen = {{ wide: page.documentElement.scrollWidth, ranks: column(0), names: column(1) }};
  table.tHead.rows[0].cells[1].click();
  seen.byName = column(1);
  table.tHead.rows[0].cells[0].click();
  seen.byRank = column(0);
  seen.arrow = table.tHead.rows[0].cells[0].getAttribute("aria-sort");
  seen.images = [...page.images].map((image) => image.naturalWidth);
  seen.charts = [...page.querySelectorAll("svg")].map((svg) => svg.getBoundingClientRect().width);
  const text = [...page.querySelectorAll("p, td, th, li, svg text")];
  seen.small = text.filter((e) => parseFloat(getComputedStyle(e).fontSize) < 11).length;
  document.title = JSON.stringify(seen);
}});
</script>
"""


def dom(page):
    """The page after its scripts have run."""
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000")
    command = [browser(), *options, "--dump-dom", page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=True).stdout


@pytest.mark.timeout(120)
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_fits_shows_its_pictures_and_sorts(tmp_path, width):
    page = PAGE.read_text()
    look = tmp_path / "look.html"
    look.write_text(LOOK.format(width=width, page=escape(page)))
    seen = json.loads(unescape(re.search("<title>(.*?)</title>", dom(look), re.DOTALL)[1]))
    assert seen["wide"] <= width
    rows = PROTOCOLS["digits"].rows
    assert sorted(seen["names"]) == sorted(row.title for row in rows)
    assert seen["ranks"] == seen["byRank"] == [str(i) for i in range(1, len(rows) + 1)]
    assert seen["byName"] == sorted(seen["names"])
    assert seen["arrow"] == "ascending"
    assert len(seen["images"]) >= 7
    assert all(pixels > 0 for pixels in seen["images"])
    assert len(seen["charts"]) >= 2
    assert min(seen["charts"]) >= 300
    assert seen["small"] == 0


@pytest.mark.timeout(120)
@pytest.mark.parametrize("width", [1280, 500])
def test_the_page_is_not_empty(tmp_path, width):
    screenshot(PAGE, tmp_path / "page.png", width, 2000)
    colours = Image.open(tmp_path / "page.png").convert("RGB").getcolors(1_000_000)
    assert len(colours) > 100
