"""The pictures of the audit's tutorial, from the report that its commands make.

`python -m docs.audit_pictures results/audit/clothes/report.html` opens the report in Chromium and keeps its first
screen, the table of planted copies and the nearest pairs as docs/images/audit_*.png.
"""

import argparse
import shutil
import subprocess
import tempfile
from pathlib import Path

from PIL import Image

IMAGES = Path(__file__).parent / "images"
# What a picture shows, as a list of elements in JavaScript (none: the page as it opens), and its size, px.
PICTURES = {
    "audit_report": ("", 1100, 900),
    "audit_power": ("[heading, ...after(heading)]", 1080, 640),
    "audit_pairs": ("[document.querySelectorAll('.drawn')[1]]", 1080, 1190),
}
ONLY = """
<script>
const heading = [...document.querySelectorAll('h3')].find(e => e.textContent === 'What this audit would have missed');
function after(first) {
  const rest = [...first.parentElement.children];
  const next = rest.slice(rest.indexOf(first) + 1);
  return next.slice(0, next.findIndex(e => e.matches('h3, details')));
}
const main = document.createElement('main');
main.append(...SHOWN);
main.firstElementChild.style.marginTop = '0.5rem';
main.style.padding = '0 16px';
document.body.replaceChildren(main);
</script>
"""
COLOURS = 128  # of a picture, which makes it a third of the size


def take(report: Path, name: str) -> None:
    """One picture of a report."""
    shown, width, height = PICTURES[name]
    page = report.read_text(encoding="utf-8")
    if shown:
        page = page.replace("</body>", ONLY.replace("SHOWN", shown) + "</body>")
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        raise SystemExit("docs.audit_pictures: needs Chromium or Chrome on the PATH")
    with tempfile.TemporaryDirectory() as folder:
        file, picture = Path(folder, "page.html"), Path(folder, "page.png")
        file.write_text(page, encoding="utf-8")
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        options += ["--hide-scrollbars", f"--window-size={width},{height}", f"--screenshot={picture}", file.as_uri()]
        subprocess.run([browser, *options], check=True, stderr=subprocess.DEVNULL)
        Image.open(picture).convert("RGB").quantize(COLOURS).save(IMAGES / f"{name}.png", optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m docs.audit_pictures", description=__doc__)
    parser.add_argument("report", type=Path, help="report.html of the tutorial's audit")
    report = parser.parse_args().report
    for name in PICTURES:
        take(report, name)


if __name__ == "__main__":
    main()
