"""What tests/house.py reads in object files, by nm, and circles in graphs."""
import os
import re
import subprocess

VARIANT = re.compile(r'\.(narrow|half|last)\.o$')
DEFINED = 'TDBRGSCA'   # of external linkage and not weak: what templates and inline functions leave is nobody's


class Unusable(Exception):
    """A build that cannot be judged, and why."""


class Objects:
    """The objects of one build: sources['layers/x.c'] = (its functions, all that it defines, what it does not)."""
    def __init__(self, root, build):
        self.build, self.sources = build, {}
        if not os.path.isdir(os.path.join(root, build)):
            raise Unusable('not there' + ('; make gpu-check makes it, where nvcc is' if 'gpu-check' in build else ''))
        for source, path in objects_of(root, build):
            if os.path.getmtime(path) < os.path.getmtime(os.path.join(root, source)):
                raise Unusable('%s has changed since' % source)
            self.add(source, path)
        if not self.sources:
            raise Unusable('no objects of these sources')
        self.home = {symbol: source for source, (_, defined, _) in self.sources.items() if not beside(source)
                     for symbol in defined}

    def add(self, source, path):
        """A source's other compilations (layers/cpu/variant.h) count for what they want, not for their own names."""
        functions, defined, undefined = symbols_of(path)
        had = self.sources.get(source, (set(), set(), set()))
        if VARIANT.search(path):
            functions, defined = set(), set()
        self.sources[source] = (had[0] | functions, had[1] | defined, had[2] | undefined)

    def links(self):
        """links[a][b]: the symbols that a wants and b defines."""
        found = {}
        for source, (_, _, undefined) in self.sources.items():
            for symbol in undefined:
                home = self.home.get(symbol, source)
                if home != source and not beside(source):
                    found.setdefault(source, {}).setdefault(home, []).append(symbol)
        return found


def beside(source):
    """Is no part of the program: a tool of the demos."""
    return source.startswith('cfg/')


def objects_of(root, build):
    """(source, object), without tests; objects whose source has gone are left from an older tree."""
    top = os.path.join(root, build)
    for folder, _, names in sorted(os.walk(top)):
        for name in sorted(names):
            stem, end = os.path.splitext(VARIANT.sub('.o', os.path.relpath(os.path.join(folder, name), top)))
            for source in (stem, stem + '.c', stem + '.cpp') if end == '.o' else ():
                kept = source.endswith(('.c', '.cpp', '.cu')) and not source.startswith('tests/')
                if kept and os.path.isfile(os.path.join(root, source)):
                    yield source, os.path.join(folder, name)


def symbols_of(path):
    try:
        text = subprocess.run(['nm', '-P', '-g', path], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise Unusable('nm: %s' % error) from error
    rows = [line.split()[:2] for line in text.splitlines()]
    return ({name for name, kind in rows if kind == 'T'}, {name for name, kind in rows if kind in DEFINED},
            {name for name, kind in rows if kind == 'U'})


def circles(graph):
    """Strongly connected parts of more than one node (Tarjan 1972); graph[a] holds the nodes that a leads to."""
    index, low, stack, found = {}, {}, [], []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        for target in graph.get(node, ()):
            if target not in index:
                visit(target)
            if target in stack:
                low[node] = min(low[node], low[target])
        if low[node] == index[node]:
            part = stack[stack.index(node):]
            del stack[-len(part):]
            found.append(sorted(part))
    for node in sorted(graph):
        if node not in index:
            visit(node)
    return [part for part in found if len(part) > 1]
