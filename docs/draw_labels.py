#!/usr/bin/env python3
"""Draws docs/results/labels.svg: how many labels a teacher is worth, out of what tests/experiments/queue.sh measured.

    docs/draw_labels.py > docs/results/labels.svg

Top-1 over the number of labelled images, equal steps everywhere: the network that is deployed, trained from labels, and
distilled with the same labels, whose teacher teaches on all images. A row of one name is the mean of its seeds. What has
not been measured yet is left out; without all of the two lines there is no picture, and it says which
rows are missing."""
import glob
import math
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from draw_method import NOTE, rules, text   # the house's colours and letters

RESULTS = os.environ.get("RESULTS", os.path.join(os.path.dirname(os.path.abspath(__file__)), "results"))
IMAGES = 50000
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 480, 60, 20, 62, 64
TEACHER = 72.63   # the public ResNet-56, by its authors and by `valid`
LINES = (("labels", "the same network from labels", "ice", ((500, "labels-1"), (5000, "labels-10"), (50000, "labels"))),
         ("both", "distilled, with the labels", "fire", ((500, "both-1"), (5000, "both-10"), (50000, "both"))))


def measured(name):
    """Mean of the last epochs of NAME's runs of 20 epochs, or None."""
    path = os.path.join(RESULTS, name + ".txt")
    if not os.path.exists(path):
        return None
    with open(path, encoding="utf-8") as file:
        last = [float(m.group(1)) for m in re.finditer(r"epochs=20 last=([0-9.]+)", file.read())]
    return sum(last) / len(last) if last else None


def curves():
    """[(words, colour, [(labels, top-1)])], and the names of rows that are missing."""
    found, missing = [], []
    for _, words, colour, points in LINES:
        values = [(labels, measured(name)) for labels, name in points]
        missing += [name for (_, name), (_, value) in zip(points, values) if value is None]
        found.append((words, colour, [point for point in values if point[1] is not None]))
    return found, missing


def across(labels):
    share = (math.log10(labels) - math.log10(300)) / (math.log10(80000) - math.log10(300))
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def down(value):
    return TOP + (80 - value) / 80 * (HEIGHT - TOP - BOTTOM)


def level(value, words, colour):
    """A dashed line across, at what needs no label."""
    return (f'<path d="M{LEFT} {down(value):.1f} H{WIDTH - RIGHT}" class="{colour}-line" stroke-width="2" '
            'stroke-dasharray="6 5" fill="none"/>' + text(LEFT + 6, round(down(value) - 7, 1), words, NOTE, colour, anchor="start"))


def axes():
    out = ""
    for value in range(0, 81, 20):
        out += f'<path d="M{LEFT} {down(value):.1f} H{WIDTH - RIGHT}" class="map-line" stroke-width="1"/>'
        out += text(LEFT - 8, round(down(value) + 6, 1), value, NOTE, anchor="end")
    for labels, words in ((500, "500"), (5000, "5,000"), (50000, "50,000")):
        out += text(round(across(labels), 1), HEIGHT - BOTTOM + 24, words, NOTE)
    out += text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14, "images with a label, of 50,000", NOTE)
    return out + text(16, 30, "CIFAR-100, ResNet-56 teaches ResNet-20, 20 epochs: top-1 %", NOTE, weight="bold",
                      anchor="start")


def curve(words, colour, points, above):
    way = "M" + " L".join(f"{across(labels):.1f} {down(value):.1f}" for labels, value in points)
    out = f'<path d="{way}" fill="none" class="{colour}-line" stroke-width="3"/>'
    for labels, value in points:
        out += f'<circle cx="{across(labels):.1f}" cy="{down(value):.1f}" r="5" class="{colour}-fill"/>'
        out += text(round(across(labels), 1), round(down(value) + (-14 if above else 26), 1), f"{value:.1f}", NOTE, colour)
    first = 0 if above else 1   # the words stand under the line behind that point
    x, y = (sum(place(points[i][k]) for i in (first, first + 1)) / 2 for k, place in enumerate((across, down)))
    return out + text(round(x, 1), round(y + (40 if above else 105), 1), words, NOTE, colour, "bold")


def picture(found):
    out = axes() + level(TEACHER, f"the teacher, {TEACHER}", "edge")
    none, own = measured("kd"), measured("both-own-10")
    if none is not None:
        out += level(none, f"distilled without any label, {none:.1f}", "ship")
    for number, (words, colour, points) in enumerate(found):
        out += curve(words, colour, points, number == 1)
    if own is not None:
        out += f'<circle cx="{across(5000):.1f}" cy="{down(own):.1f}" r="5" class="page-fill fire-line" stroke-width="3"/>'
        out += text(round(across(5000) - 12, 1), round(down(own) + 6, 1), f"by a teacher of those 5,000: {own:.1f}", NOTE, "fire",
                    anchor="end")
    title = "Top-1 over the number of labelled images: " + "; ".join(
        f"{words} " + ", ".join(f"{value:.1f} at {labels}" for labels, value in points) for words, _, points in found)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
            f'font-family="Helvetica, Arial, Liberation Sans, Roboto, sans-serif" role="img">\n<title>{title}</title>\n'
            f"<style>{rules(0)}@media(prefers-color-scheme:dark){{{rules(1)}}}</style>\n"
            f'<rect width="{WIDTH}" height="{HEIGHT}" class="page-fill"/>\n{out}\n</svg>')


if __name__ == "__main__":
    lines, missing_rows = curves()
    if any(len(points) < 3 for _, _, points in lines):
        sys.exit("error: not measured yet: " + ", ".join(missing_rows))
    print(picture(lines))
