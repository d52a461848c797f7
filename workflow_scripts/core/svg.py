"""What makes Matplotlib's SVG fit for any page: a description for screen readers, and colours for a dark page.

The picture lies on transparent ground. In its style every colour that would not stand out on a dark page has a
counterpart there, the same in every figure; a viewer that knows no dark mode shows the colours as drawn.
"""

import colorsys
import re
from html import escape

INK, PAPER = "#222222", "#fefefe"  # text and lines, and what hides lines behind a hollow marker
DARK_PAPER = "#14181c"
CONTRAST = 4.5  # with the dark page, of WCAG 2 for text; lower for what should be faint on a light page, too
FIXED = {"#000000", "#ffffff"}  # what lies on pictures and cells of its own colour: the same in both modes


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2) of a colour like `#1f2e3d`: 0 black, 1 white."""
    channels = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(first: str, second: str) -> float:
    """Contrast ratio (WCAG 2) of two colours: 1 (none) to 21."""
    dark, light = sorted((luminance(first), luminance(second)))
    return (light + 0.05) / (dark + 0.05)


def on_dark(colour: str) -> str:
    """The counterpart of a colour on a dark page: the hue stays, greys keep their contrast with the ground."""
    if colour == PAPER:
        return DARK_PAPER
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    hue, lightness, saturation = colorsys.rgb_to_hls(red, green, blue)
    wanted = min(contrast(colour, PAPER), 14.0) if saturation < 0.02 else CONTRAST
    lightness = 0.0 if saturation < 0.02 else lightness
    shade = colour
    for step in range(int(100 * lightness), 101):
        shade = "#" + "".join(f"{round(255 * c):02x}" for c in colorsys.hls_to_rgb(hue, step / 100, saturation))
        if contrast(shade, DARK_PAPER) >= wanted and luminance(shade) >= luminance(DARK_PAPER):
            break
    return shade


def finish(svg: str, description: str) -> str:
    """Matplotlib's SVG with an alternative text and its colours for dark pages."""
    # No selector names an ancestor: what `use` repeats, such as markers and ticks, has none.
    colours = sorted(set(re.findall(r"(?:fill|stroke): (#[0-9a-f]{6})", svg)) - FIXED)
    dark = "".join(
        f'[style*="{kind}: {colour}"]{{{kind}:{on_dark(colour)}!important}}'
        for colour in colours
        for kind in ("fill", "stroke")
        if f"{kind}: {colour}" in svg and on_dark(colour) != colour
    )
    svg = re.sub(r" <metadata>.*?</metadata>\n", "", svg, count=1, flags=re.DOTALL)
    style = f'<style type="text/css">@media (prefers-color-scheme: dark){{{dark}}}</style>'
    svg = re.sub(r"<style type=\"text/css\">\*\{.*?</style>", lambda _: style, svg, count=1)
    root = '<svg role="img" stroke-linejoin="round" stroke-linecap="butt" '
    return re.sub(
        r"<svg (.*?)>", lambda match: f"{root}{match[1]}>\n <title>{escape(description)}</title>", svg, count=1
    )
