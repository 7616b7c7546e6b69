"""chart - two pictures of the results, as SVG, with nothing but Python's standard library."""
import math
from xml.sax.saxutils import escape

import figures as judged
from report import number, what

COLOURS = {"ttlfs tmpfs": "#1f5fbf", "directory tmpfs": "#8a8a8a", "redis unix": "#c8442b", "redis tcp": "#e39a2d",
           "etcd": "#4b9b5f"}
SHAPES = {"ttlfs tmpfs": "circle", "directory tmpfs": "square", "redis unix": "diamond", "redis tcp": "triangle",
          "etcd": "cross"}
TEXT, FAINT, GRID = "#24292f", "#57606a", "#d8dee4"
WIDTH = 860
LEFT = 160


class Drawing:
    def __init__(self, height, title):
        self.height = height
        self.parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
                      f'height="{height}" font-family="sans-serif" role="img">', f"<title>{escape(title)}</title>",
                      f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>']

    def text(self, x, y, words, size=12, colour=TEXT, anchor="start", weight="normal"):
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}" text-anchor="{anchor}" '
                          f'font-weight="{weight}">{escape(words)}</text>')

    def line(self, x1, y1, x2, y2, colour=GRID, width=1.0):
        self.parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
                          f'stroke-width="{width}"/>')

    def path(self, points, colour):
        where = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.parts.append(f'<polyline points="{where}" fill="none" stroke="{colour}" stroke-width="2"/>')

    def mark(self, x, y, subject, tip=""):
        colour, shape, r = COLOURS[subject], SHAPES[subject], 5
        outline = ' stroke="#ffffff" stroke-width="1"'  # parts two marks that overlap
        outlines = {
            "square": [(x - r, y - r), (x + r, y - r), (x + r, y + r), (x - r, y + r)],
            "diamond": [(x, y - r - 1), (x + r + 1, y), (x, y + r + 1), (x - r - 1, y)],
            "triangle": [(x, y - r - 1), (x + r + 1, y + r), (x - r - 1, y + r)],
        }
        if shape == "circle":
            shape = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r + 1}"{outline}'
        elif shape == "cross":
            shape = (f'<path d="M{x - r:.1f},{y - r:.1f}L{x + r:.1f},{y + r:.1f}M{x - r:.1f},{y + r:.1f}'
                     f'L{x + r:.1f},{y - r:.1f}" stroke="{colour}" stroke-width="3"')
        else:
            shape = f'<polygon points="{" ".join(f"{a:.1f},{b:.1f}" for a, b in outlines[shape])}"{outline}'
        self.parts.append(f'{shape} fill="{colour}"><title>{escape(tip)}</title>{shape_end(shape)}')

    def legend(self, x, y, subjects):
        for subject in subjects:
            self.mark(x, y - 4, subject)
            self.text(x + 12, y, subject)
            x += 28 + 7.2 * len(subject)

    def done(self):
        return "\n".join([*self.parts, "</svg>"]) + "\n"


def shape_end(shape):
    return f"</{shape[1:shape.index(' ')]}>"


def where(results):
    machine = results["machine"]
    transport = results.get("operations", {}).get("transport", "")
    return (f"{machine['date'][:10]} · {machine['cpus']} × {machine['cpu']} · Linux {machine['kernel']} · "
            f"libfuse {machine['libfuse']}, {transport}")


def of_operations(results):
    """How long one operation takes: one line for each, from fast to slow on a logarithmic scale. None when nothing is there."""
    figures = judged.Figures(results)
    subjects = [subject for subject in COLOURS if subject in figures.subjects]
    ops = [op for op in figures.ops if op != "round-trip" and figures.get(op, "ttlfs tmpfs")]
    times = [figures.get(op, subject)["p50_us"] for op in ops for subject in subjects if figures.get(op, subject)]
    if not times:
        return None
    low, high = math.floor(math.log10(max(min(times), 0.01))), math.ceil(math.log10(max(times)))
    height = 100 + 26 * len(ops) + 42
    drawing = Drawing(height, "How long one operation takes")
    drawing.text(16, 28, "How long one operation takes (median, one client)", 16, weight="bold")
    drawing.text(16, 48, where(results), 11, FAINT)
    drawing.legend(24, 74, subjects)
    left, right, bottom = LEFT, WIDTH - 36, height - 40

    def at(us):
        return left + (math.log10(max(us, 0.01)) - low) / (high - low) * (right - left)

    for power in range(low, high + 1):
        drawing.line(at(10**power), 90, at(10**power), bottom)
        drawing.text(at(10**power), bottom + 16, scale(10**power), 11, FAINT, "middle")
    for i, op in enumerate(ops):
        y = 108 + 26 * i
        drawing.text(left - 12, y + 4, what(op, results).replace("`", ""), 12, anchor="end")
        drawing.line(left, y, right, y)
        for subject in reversed(subjects):
            cell = figures.get(op, subject)
            if cell:
                drawing.mark(at(cell["p50_us"]), y, subject, f"{subject}: {number(cell['p50_us'])} µs")
    drawing.text(right, height - 8, "further left is faster; each line to the right is ten times slower", 11, FAINT, "end")
    return drawing.done()


def scale(us):
    if us >= 1e6:
        return f"{us / 1e6:g} s"
    return f"{us / 1000:g} ms" if us >= 1000 else f"{us:g} µs"


def of_clients(results):
    """How many gets and puts a second, by the number of clients. None when there are not at least two numbers."""
    figures = judged.Figures(results)
    subjects = [subject for subject in COLOURS if subject in figures.subjects and not subject.startswith("directory")]
    if len(figures.clients) < 2 or not figures.get("get-hot", "ttlfs tmpfs", figures.clients[-1]):
        return None
    drawing = Drawing(380, "Operations per second by the number of clients")
    drawing.text(16, 28, "Gets and puts per second, by the number of clients", 16, weight="bold")
    drawing.text(16, 48, where(results), 11, FAINT)
    drawing.legend(24, 74, subjects)
    for i, (op, title) in enumerate((("get-hot", "get, hot (64 bytes)"), ("put-over", "put, over (64 bytes)"))):
        panel(drawing, figures, subjects, op, title, 70 + i * (WIDTH / 2), 70 + i * (WIDTH / 2) + WIDTH / 2 - 110)
    drawing.text(WIDTH - 30, 372, "higher is faster", 11, FAINT, "end")
    return drawing.done()


def panel(drawing, figures, subjects, op, title, left, right):
    top, bottom = 116, 326
    rows = {subject: [(clients, figures.get(op, subject, clients)["ops_per_s"]) for clients in figures.clients
                      if figures.get(op, subject, clients)] for subject in subjects}
    high = max((rate for points in rows.values() for _, rate in points), default=1)
    step = nice_step(high / 4)
    high = math.ceil(high / step) * step
    drawing.text(left, top - 14, title, 13, weight="bold")
    for i in range(int(round(high / step)) + 1):
        y = bottom - i * step / high * (bottom - top)
        drawing.line(left, y, right, y)
        drawing.text(left - 8, y + 4, f"{i * step / 1000:g}k" if i else "0", 11, FAINT, "end")
    spots = {clients: left + 12 + i * (right - left - 24) / (len(figures.clients) - 1)
             for i, clients in enumerate(figures.clients)}
    for clients, x in spots.items():
        drawing.text(x, bottom + 18, str(clients), 11, FAINT, "middle")
    drawing.text((left + right) / 2, bottom + 34, "clients", 11, FAINT, "middle")
    for subject in reversed(subjects):
        points = [(spots[clients], bottom - rate / high * (bottom - top)) for clients, rate in rows[subject]]
        drawing.path(points, COLOURS[subject])
        for (x, y), (clients, rate) in zip(points, rows[subject]):
            drawing.mark(x, y, subject, f"{subject}, {clients} clients: {number(rate)} per second")


def nice_step(rough):
    power = 10 ** math.floor(math.log10(max(rough, 1)))
    return next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough)
