"""Pictures as the text of SVG files, in the style of `sepconv compare --plot`: words stay words, and colours follow
the reader's light or dark mode."""

from html import escape
from pathlib import Path

STYLE = Path(__file__).resolve().parents[2] / "assets/pictures.css"


class Picture:
    """Lengths are pixels, from the upper left corner; classes are those of the style."""

    def __init__(self, width):
        self.width = width
        self.parts = []

    def element(self, name, content="", **attributes):
        """An element; `_` in a name stands for `-`, and `classes` for `class`."""
        named = {key.replace("classes", "class").replace("_", "-"): value for key, value in attributes.items()}
        shown = (f' {key}="{number(value)}"' for key, value in named.items() if value != "")
        self.parts.append(f"<{name}{''.join(shown)}>{escape(content)}</{name}>")

    def text(self, x, y, content, classes=""):
        self.element("text", content, x=x, y=y, classes=classes)

    def rectangle(self, x, y, width, height, classes):
        self.element("rect", x=x, y=y, width=width, height=height, classes=classes)

    def line(self, points, classes):
        self.element("polyline", points=" ".join(f"{number(x)},{number(y)}" for x, y in points), classes=classes)

    def range(self, first, last, cap=4):
        """A line between two points, one above or beside the other, that has caps."""
        (x0, y0), (x1, y1) = first, last
        dx, dy = (cap, 0) if x0 == x1 else (0, cap)
        self.line([first, last], "range")
        for x, y in (x0, y0), (x1, y1):
            self.line([(x - dx, y - dy), (x + dx, y + dy)], "range")

    def legend(self, x, y, entries):
        """Squares with names, side by side: classes and names."""
        for classes, name in entries:
            self.rectangle(x, y - 13, 16, 16, classes)
            self.text(x + 22, y, name)
            x += 22 + room(name) + 24

    def save(self, path, height):
        size = f'viewBox="0 0 {self.width} {number(height)}" width="{self.width}" height="{number(height)}"'
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size}>',
            f"<style>\n{STYLE.read_text()}</style>",
            '<rect class="back" width="100%" height="100%"/>',
            *self.parts,
            "</svg>",
        ]
        path.write_text("\n".join(parts) + "\n")


def room(text, size=16):
    """The width that a text takes at most, nearly, in any of the style's fonts."""
    return 0.62 * size * len(text)


def number(value):
    """At most one decimal."""
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)
