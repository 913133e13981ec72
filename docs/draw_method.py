#!/usr/bin/env python3
"""Draws docs/method.svg, the picture of SimKD in README.md.

    docs/draw_method.py > docs/method.svg

Boxes stand on a grid: columns are the stages of a network, the upper row is the teacher, the lower one the student.
Colours are named once, for light and for dark pages; the page's background is part of the picture, so that it can be
read where a viewer knows no prefers-color-scheme. Names are short and large: a phone shows the picture at half its
size."""

WIDTH, HEIGHT = 640, 468

#             light      dark
COLOURS = {
    "page":    ("#ffffff", "#0d1117"),
    "ink":     ("#1f2328", "#e6edf3"),
    "frozen":  ("#dbeafe", "#1c3557"),   # computed with, never changed
    "ice":     ("#2563eb", "#79b8ff"),
    "trained": ("#ffe3c2", "#5a3410"),
    "fire":    ("#c2410c", "#ffa657"),
    "map":     ("#ededf0", "#2b313a"),
    "edge":    ("#6e7781", "#9da7b3"),
    "ship":    ("#15803d", "#56d364"),   # what is deployed
}


def rules(mode):
    """CSS of one mode, 0 light or 1 dark: .NAME-fill, .NAME-line and .NAME-text for each colour."""
    out = []
    for name, pair in COLOURS.items():
        out.append(f".{name}-fill{{fill:{pair[mode]}}}.{name}-line{{stroke:{pair[mode]}}}")
    return "".join(out)


NAME, NOTE = 20, 18   # font sizes


def text(x, y, words, size=NAME, colour="ink", weight="normal", anchor="middle"):
    return (f'<text x="{x}" y="{y}" class="{colour}-fill" font-size="{size}" font-weight="{weight}" '
            f'text-anchor="{anchor}">{words}</text>')


def box(x, y, w, h, fill, line, name, note):
    """A stage: its name and, below, what happens to its weights."""
    middle = x + w / 2
    return (f'<rect x="{x}" y="{y}" width="{w}" height="{h}" rx="8" class="{fill}-fill {line}-line" stroke-width="2"/>'
            + text(middle, y + h / 2 - 4, name, weight="bold") + text(middle, y + h / 2 + 19, note, NOTE, line))


def feature_map(x, y, w, h, name, note):
    """A stack of sheets, one a channel, and its name on the foremost."""
    sheets = "".join(f'<rect x="{x + 5 * i}" y="{y + 5 * (2 - i)}" width="{w - 10}" height="{h - 10}" rx="3" '
                     'class="map-fill edge-line" stroke-width="1.5"/>' for i in (2, 1, 0))
    middle = x + (w - 10) / 2
    return sheets + text(middle, y + h / 2 + 1, name, weight="bold") + text(middle, y + h / 2 + 24, note, NOTE, "edge")


def line(points, colour="edge", dashed=False, both=False):
    """An arrow along the points, with a head at its end, or at both ends."""
    way = "M" + " L".join(f"{x} {y}" for x, y in points)
    return (f'<path d="{way}" fill="none" class="{colour}-line" stroke-width="2.5" marker-end="url(#{colour}-head)"'
            + (f' marker-start="url(#{colour}-head)"' if both else "")
            + (' stroke-dasharray="6 5"' if dashed else "") + "/>")


def head(colour):
    return (f'<marker id="{colour}-head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="5" markerHeight="5" '
            f'orient="auto-start-reverse"><path d="M0 0 L8 4 L0 8 z" class="{colour}-fill"/></marker>')


IMAGE, ENCODER, PROJECTOR, MAP, CLASSIFIER = 14, 108, 240, 372, 500   # left edges of the columns
WIDE = 110                                                            # of a stage; a map is a little narrower
TEACHER, STUDENT, TALL = 50, 258, 76                                  # upper edges of the rows, height of a stage


def teacher():
    middle = TEACHER + TALL / 2
    wide = PROJECTOR + WIDE - ENCODER
    return (text(ENCODER, TEACHER - 14, "Teacher: big, frozen", NAME, "ice", "bold", "start")
            + box(ENCODER, TEACHER, wide, TALL, "frozen", "ice", "encoder", "frozen")
            + feature_map(MAP, TEACHER, 104, TALL, "map", "the tap")
            + box(CLASSIFIER, TEACHER, WIDE + 14, TALL, "frozen", "ice", "classifier", "frozen")
            + line([(ENCODER + wide, middle), (MAP - 2, middle)])
            + line([(MAP + 104, middle), (CLASSIFIER - 2, middle)]))


def student():
    middle = STUDENT + TALL / 2
    out = text(ENCODER, STUDENT - 24, "Student: small", NAME, "fire", "bold", "start")
    out += (f'<rect x="{ENCODER - 10}" y="{STUDENT - 14}" width="{WIDTH - ENCODER + 4}" height="{TALL + 82}" rx="12" '
            'fill="none" class="ship-line" stroke-width="2.5" stroke-dasharray="9 5"/>')
    for y, words in ((28, "deployed: the student, its projector and the"),
                     (49, "classifier, as one plain cfg + weights")):
        out += text(ENCODER + 2, STUDENT + TALL + y, words, NOTE, "ship", "bold", "start")
    out += box(ENCODER, STUDENT, WIDE, TALL, "trained", "fire", "encoder", "trained")
    out += box(PROJECTOR, STUDENT, WIDE, TALL, "trained", "fire", "projector", "trained")
    out += feature_map(MAP, STUDENT, 104, TALL, "map", "same size")
    out += box(CLASSIFIER, STUDENT, WIDE + 14, TALL, "frozen", "ice", "classifier", "frozen copy")
    for start, end in ((ENCODER + WIDE, PROJECTOR), (PROJECTOR + WIDE, MAP), (MAP + 104, CLASSIFIER)):
        out += line([(start, middle), (end - 2, middle)])
    out += line([(CLASSIFIER + 62, STUDENT + TALL), (CLASSIFIER + 62, STUDENT + TALL + 28)])
    return out + text(CLASSIFIER + 62, STUDENT + TALL + 49, "prediction", weight="bold")


def between():
    """The image for both, the loss between the maps, the copy of the classifier."""
    top, bottom = TEACHER + TALL / 2, STUDENT + TALL / 2
    y = (top + bottom) / 2
    across, copied = MAP + 47, CLASSIFIER + 62
    out = (f'<rect x="{IMAGE}" y="{y - 32}" width="64" height="64" rx="4" class="map-fill edge-line" stroke-width="2"/>'
           f'<path d="M{IMAGE + 5} {y + 25} l18 -26 12 15 9 -10 15 21 z" class="edge-fill"/>'
           f'<circle cx="{IMAGE + 46}" cy="{y - 16}" r="7" class="edge-fill"/>' + text(IMAGE + 32, y + 56, "image"))
    out += line([(IMAGE + 32, y - 34), (IMAGE + 32, top), (ENCODER - 2, top)])
    out += line([(IMAGE + 32, y + 66), (IMAGE + 32, bottom), (ENCODER - 2, bottom)])
    out += line([(across, TEACHER + TALL + 6), (across, STUDENT - 4)], "fire", both=True)
    out += (f'<rect x="{across - 78}" y="{y - 26}" width="156" height="50" rx="8" class="page-fill fire-line" '
            'stroke-width="2"/>')
    out += text(across, y - 4, "L2 loss", NAME, "fire", "bold") + text(across, y + 16, "no labels needed", NOTE)
    out += line([(copied, TEACHER + TALL + 2), (copied, STUDENT - 4)], "ice", dashed=True)
    return out + text(copied + 8, y + 5, "copied", NOTE, "ice", anchor="start")


def legend():
    y, out = HEIGHT - 22, ""
    for x, fill, edge, words in ((30, "trained", "fire", "trained"), (190, "frozen", "ice", "frozen")):
        out += (f'<rect x="{x}" y="{y - 15}" width="22" height="18" rx="4" class="{fill}-fill {edge}-line" '
                'stroke-width="2"/>')
        out += text(x + 30, y, words, NOTE, anchor="start")
    out += (f'<rect x="340" y="{y - 15}" width="22" height="18" rx="4" fill="none" class="ship-line" '
            'stroke-width="2.5" stroke-dasharray="5 3"/>')
    return out + text(370, y, "deployed", NOTE, anchor="start")


def picture():
    title = ("An image goes through the frozen teacher and through the student. The student's encoder and projector "
             "are trained with an L2 loss until the student's feature map is like the teacher's; a frozen copy of "
             "the teacher's classifier makes the prediction. Encoder, projector and classifier of the student are "
             "deployed.")
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
            f'font-family="Helvetica, Arial, Liberation Sans, Roboto, sans-serif" role="img">\n<title>{title}</title>\n'
            f"<style>{rules(0)}\n@media (prefers-color-scheme: dark) {{{rules(1)}}}</style>\n"
            f"<defs>{''.join(head(c) for c in ('edge', 'fire', 'ice'))}</defs>\n"
            f'<rect width="{WIDTH}" height="{HEIGHT}" rx="12" class="page-fill"/>\n'
            + "\n".join((teacher(), student(), between(), legend())).replace("><", ">\n<") + "\n</svg>")


if __name__ == "__main__":
    print(picture())
