"""The page in a browser, as wide as on a desktop and on a phone."""

import json
import re
import subprocess
from html import escape, unescape

import pytest
from PIL import Image

from benchmarks.protocols import PROTOCOLS
from benchmarks.render.names import row_title
from benchmarks.render.picture import PAGE, browser, screenshot

pytestmark = pytest.mark.skipif(
    browser() is None, reason="the page is NOT TESTED: there is no Chromium here"
)

LOOK = """
<iframe id="page" style="border: 0" width="{width}" height="900" srcdoc="{page}"></iframe>
<script>
window.addEventListener("load", () => {{
  const frame = document.getElementById("page");
  const page = frame.contentDocument, view = frame.contentWindow;
  const digits = page.getElementById("digits");
  const one = (selector) => digits.querySelector(selector);
  const visible = (element) => view.getComputedStyle(element).display !== "none";
  const table = one(".sorts");
  const column = (i) => [...table.tBodies[0].rows].map((row) => row.cells[i].innerText.trim());
  const seen = {{ wide: page.documentElement.scrollWidth, ranks: column(0), names: column(1) }};
  table.tHead.rows[0].cells[1].click();
  seen.byName = column(1);
  table.tHead.rows[0].cells[0].click();
  seen.byRank = column(0);
  seen.arrow = table.tHead.rows[0].cells[0].getAttribute("aria-sort");
  seen.images = [...page.images].map((image) => image.naturalWidth);
  const width = (svg) => svg.getBoundingClientRect().width;
  seen.charts = [...page.querySelectorAll(".chart")].map(width);
  const size = (text) => parseFloat(view.getComputedStyle(text).fontSize);
  const texts = [...page.querySelectorAll("p, td, th, li, figcaption span, label, button")];
  seen.smallest = Math.min(...texts.filter((text) => visible(text)).map(size));
  seen.smallestInCharts = Math.min(...[...page.querySelectorAll(".chart text")].map((text) =>
    size(text) * width(text.ownerSVGElement) / 560));

  const minor = one("td.minor");
  seen.minor = [visible(minor)];
  one(".columns").click();
  seen.minor.push(visible(minor));

  const chart = one(".chart"), line = chart.querySelector(".line"), tip = one(".tip");
  const row = line.dataset.row, last = [...line.querySelector(".mean").points].pop();
  const box = chart.getBoundingClientRect(), scale = box.width / 560;
  const at = {{ clientX: box.left + last.x * scale, clientY: box.top + last.y * scale }};
  chart.dispatchEvent(new view.PointerEvent("pointermove", at));
  seen.tip = [line.dataset.name, tip.hidden, tip.textContent];
  seen.tipIsInside = tip.getBoundingClientRect().right <= box.right + 1;
  seen.standsOut = [...digits.querySelectorAll(".chart .line.on")].map((each) => each.dataset.row);
  chart.dispatchEvent(new view.PointerEvent("pointerleave", at));
  seen.tipAfterwards = tip.hidden;

  const ofRow = `.line[data-row="${{row}}"], .card[data-row="${{row}}"]`;
  const own = [...digits.querySelectorAll(ofRow)];
  const shown = () => own.filter((each) => visible(each)).length;
  const choice = one(`.legend input[data-row="${{row}}"]`);
  seen.shown = [shown()];
  choice.click();
  seen.shown.push(shown());
  one("button.all").click();
  seen.shown.push(shown());
  one("button.none").click();
  seen.lines = [...digits.querySelectorAll(".chart .line")].filter((each) => visible(each)).length;
  one("button.all").click();

  const seed = line.querySelector(".seed");
  seen.seeds = [visible(seed)];
  one(".seeds").click();
  seen.seeds.push(visible(seed));

  const card = one(".card[data-film]"), slider = one(".film input");
  const slide = (value) => {{
    slider.value = value;
    slider.dispatchEvent(new view.Event("input"));
    const film = card.querySelector(".shown");
    return [card.querySelector(".text").textContent, one(".film output").textContent, film.hidden];
  }};
  seen.frames = JSON.parse(card.dataset.frames);
  seen.start = slide(0);
  seen.film = card.querySelector(".shown").style.backgroundImage;
  seen.end = slide(slider.max);
  document.title = JSON.stringify(seen);
}});
</script>
"""


def dom(page):
    """The page after its scripts have run."""
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000")
    command = [browser(), *options, "--dump-dom", page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=250, check=True).stdout


@pytest.fixture(scope="module", params=[1280, 400])
def seen(request, tmp_path_factory):
    """What a user sees and does on the committed page, in a window of a width."""
    text = PAGE.read_text().replace('loading="lazy"', "")
    text = text.replace("<head>", f'<head><base href="{PAGE.as_uri()}">', 1)
    look = tmp_path_factory.mktemp("look") / "look.html"
    look.write_text(LOOK.format(width=request.param, page=escape(text)))
    title = re.search("<title>(.*?)</title>", dom(look), re.DOTALL)
    return {"width": request.param, **json.loads(unescape(title[1]))}


@pytest.mark.timeout(300)
def test_the_page_fits_and_shows_its_pictures(seen):
    assert seen["wide"] <= seen["width"]
    assert len(seen["images"]) >= 100
    assert all(pixels > 0 for pixels in seen["images"])
    assert len(seen["charts"]) >= 2
    assert 300 <= min(seen["charts"]) <= max(seen["charts"]) <= seen["width"]
    assert seen["smallest"] >= 12
    assert seen["smallestInCharts"] >= 11


def test_the_table_sorts(seen):
    rows = PROTOCOLS["digits"].rows
    assert sorted(seen["names"]) == sorted(row_title(row) for row in rows)
    assert seen["ranks"] == seen["byRank"]
    assert seen["ranks"][0] in ("1", "=1")
    assert seen["byName"] == sorted(seen["names"])
    assert seen["arrow"] == "ascending"


def test_columns_of_minor_interest_are_hidden_until_asked_for(seen):
    assert seen["minor"] == [False, True]


def test_a_curve_shows_its_values_and_stands_out(seen):
    name, hidden, text = seen["tip"]
    assert not hidden
    assert re.fullmatch(
        re.escape(name) + r"[\d.]+k? \([\d.]+k? to [\d.]+k?\) at [\d.]+k real images seen", text
    )
    assert seen["tipIsInside"]
    assert len(set(seen["standsOut"])) == 1
    assert len(seen["standsOut"]) == 2  # in both charts
    assert seen["tipAfterwards"]


def test_rows_and_seeds_are_chosen(seen):
    # Two curves and the samples.
    assert seen["shown"] == [3, 0, 3]
    assert seen["lines"] == 0
    assert seen["seeds"] == [False, True]


def test_a_slider_moves_through_training(seen):
    first, last = seen["frames"][0], seen["end"][0]
    assert seen["start"] == [first, "start", False]
    assert first.startswith("0 images, distance ")
    assert seen["film"].endswith('.webp")')
    assert seen["end"] == [last, "end", True]
    assert last.startswith("seed 0, distance ")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("width", [1280, 500])
def test_the_page_is_not_empty(tmp_path, width):
    screenshot(PAGE, tmp_path / "page.png", width, 2000)
    colours = Image.open(tmp_path / "page.png").convert("RGB").getcolors(1_000_000)
    assert len(colours) > 100
