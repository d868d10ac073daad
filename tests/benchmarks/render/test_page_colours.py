"""The contrast of the page's colours, from its style sheet, by WCAG 2.2."""

import re
from itertools import product

import pytest

from benchmarks.protocol import ROOT
from benchmarks.render.chart import COLORS

STYLE = (ROOT / "benchmarks" / "render" / "leaderboard.css").read_text()
#: WCAG AA, of text (1.4.3) and of graphics (1.4.11).
TEXT, GRAPHICS = 4.5, 3.0
CURVES = [f"c{i}" for i in range(COLORS)]


def variables(block):
    """The colours that a block of the style sheet defines."""
    return dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{3,6})\b", block))


LIGHT = variables(re.search(r"\A.*?:root \{(.*?)\}", STYLE, re.DOTALL)[1])
DARK = LIGHT | variables(
    re.search(r"prefers-color-scheme: dark\) \{\s*:root \{(.*?)\}", STYLE, re.DOTALL)[1]
)
PRINT = LIGHT | variables(re.search(r"@media print \{\s*:root \{(.*?)\}", STYLE, re.DOTALL)[1])
SCHEMES = {"light": LIGHT, "dark": DARK, "print": PRINT}


def luminance(colour):
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    channels = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * each for weight, each in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    dark, light = sorted(map(luminance, (one, other)))
    return (light + 0.05) / (dark + 0.05)


def test_the_contrast_is_that_of_the_guidelines():
    assert contrast("#000000", "#fff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def test_the_schemes_are_found_and_differ():
    assert {*CURVES, "page", "raised", "ink", "soft", "accent", "warn", "warn-back"} <= set(LIGHT)
    assert LIGHT["page"] != DARK["page"]
    assert not {*DARK} ^ {*LIGHT}


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(
    ("text", "back"),
    [
        *product(("ink", "soft", "accent", "warn"), ("page", "raised")),
        ("warn", "warn-back"),
    ],
)
def test_text_can_be_read(scheme, text, back):
    colours = SCHEMES[scheme]
    assert contrast(colours[text], colours[back]) >= TEXT


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("curve", CURVES)
def test_curves_can_be_seen(scheme, curve):
    assert contrast(SCHEMES[scheme][curve], SCHEMES[scheme]["page"]) >= GRAPHICS


@pytest.mark.parametrize("scheme", SCHEMES)
def test_curves_have_different_colours(scheme):
    assert len({SCHEMES[scheme][curve] for curve in CURVES}) == COLORS


def test_no_other_colour_is_text():
    """Whatever sets the colour of text does so by one of the variables above."""
    rules = STYLE.partition("* { box-sizing")[2]
    used = set(re.findall(r"(?<![-\w])(?:color|fill): *([^;}]+)", rules))
    assert used <= {
        *(f"var(--{name})" for name in ("ink", "soft", "accent", "warn", "c")),
        "none",
    }
