#!/usr/bin/env python3
"""The rules of the house, counted: where files lie and whom they know, what parameters are called, comments, lines.

    tests/house.py [--root DIR] [BUILD...]     make house

A line a rule: ok or not ok, its number, how many and of what; then what offends. Rules 2, 3 and 10 look at the objects
of each BUILD; one that cannot be judged is skipped, with the reason. Exit status 1 if a rule fails."""
import argparse
import os
import re
import subprocess
import sys

sys.dont_write_bytecode = True
from house_links import Objects, Unusable, circles, beside
from house_source import CODE, Source, nested_choices

# From the ground: a room knows the rooms above it in this list, itself, and no other.
ROOMS = '''darknet_plugin/base darknet_plugin/sections darknet_plugin/host weights_tools/file layers darknet_plugin/data
           darknet_plugin/lowering darknet_plugin/model weights_tools/onnx weights_tools/import darknet_plugin/deploying
           darknet_plugin/init darknet_plugin/synthesis weights_tools/verbs darknet_plugin/training darknet_plugin/reporting
           darknet_plugin/library darknet_plugin/verbs'''.split()
TOP = '''.ci .gitignore CHANGELOG.md LICENSE Makefile README.md cfg darknet_plugin docs layers packaging
         tests weights_tools'''.split()
IN_PLUGIN = 5
COLUMNS, FILE_LINES, COMMENTED_LINES = 120, 500, 12
LETTER_SHARE, LETTER_TYPES = 8, 3             # per cent of all parameters; types that a letter may stand for
LETTERS = {'l': 'layer', 'd': 'diag', 'i': 'number', 'j': 'number'}   # and of what type; a number's is a loop's index
FORMULA_TYPES = ('number', 'vec', 'ivec')     # what a formula's letter can stand for
# Who opens files without base/in_file.h, and which: all else that is read must be noted there, so that nobody overwrites it.
OPENED_ELSEWHERE = {
    'darknet_plugin/data/image_io.cpp': 'images and videos, which dataset.c and predict note; our own',
    'darknet_plugin/data/image_file.c': 'images that dataset.c and predict note',
    'darknet_plugin/data/dataset_prints.c': 'the same',
    'darknet_plugin/data/dataset_idx.c': 'through zlib; noted there',
    'darknet_plugin/model/feature_cache.c': "the command's own cache",
    'darknet_plugin/data/image_cache.c': "the command's own cache",
    'darknet_plugin/base/run_lock.c': "a run's own lock",
    'darknet_plugin/training/run_log.c': "a run's own record, to add to",
    'darknet_plugin/deploying/verify_boxes.c': 'a temporary folder of ours',
    'darknet_plugin/deploying/verify_stock.c': 'a temporary folder of ours',
    'darknet_plugin/host/host.c': '/dev/null',
    'darknet_plugin/verbs/main.c': '/dev/null',
    'layers/cpu/identity.c': '/proc',
    'weights_tools/import/onnx_external.cpp': 'a method called open, which is in_file_open',
    'weights_tools/import/onnx_external.h': 'the same',
    'cfg/shapes/make_shapes.c': 'a program of its own, which only writes',
}
# Functions that no object of ours calls, and who does.
CALLED_FROM_OUTSIDE = {
    'main': 'the C runtime',
    **dict.fromkeys(('darknet_distill_%s' % name for name in '''version new free message open load save size read_image
                     run step loss'''.split()), 'programs that load the library'),
    # libdarknet's calls of these resolve to ours (host.c, host_cuda.c, batchnorm.cu)
    'error': 'libdarknet',
    'file_error': 'libdarknet',
    'malloc_error': 'libdarknet',
    'check_error': 'libdarknet with GPU=1',
    'cuda_make_int_array': 'libdarknet with GPU=1',
    'activate_array_gpu': 'libdarknet with GPU=1',
    'forward_batchnorm_layer_gpu': 'libdarknet with GPU=1',
    # builds without a GPU have them so that tests and tests/bench need no #ifdef
    'gpu_present': 'tests, which skip what needs a device',
    'gpu_wait': 'tests/bench, which waits for the device before it reads the clock',
}


class Verdict:
    def __init__(self, rule, what, offenders, ok=None, count=None):
        self.rule, self.what, self.offenders = rule, what, offenders
        self.ok = not offenders if ok is None else ok
        self.count = len(offenders) if count is None else count


class House:
    """The tree's files, the code outside tests/ read, and the builds' objects."""
    def __init__(self, root, builds):
        self.root, self.files = root, tracked(root)
        self.sources = {path: Source(path, self.read(path)) for path in self.files
                        if path.endswith(CODE) and not path.startswith('tests/')}
        self.builds, self.skipped = [], []
        for build in builds:
            try:
                self.builds.append(Objects(root, build))
            except Unusable as why:
                self.skipped.append('skipped: links in %s: %s' % (build, why))
        if not self.builds:
            self.skipped.append('skipped: rules 2, 3 of objects and 10: no objects')

    def read(self, path):
        with open(os.path.join(self.root, path), encoding='utf-8', errors='replace') as file:
            return file.read()

    def functions(self):
        return [(source, function) for source in self.sources.values() for function in source.functions]


def tracked(root):
    """Files that git knows and that are there."""
    listed = subprocess.run(['git', '-C', root, 'ls-files', '-z'], capture_output=True, text=True, check=True).stdout
    return [path for path in listed.split('\0') if os.path.isfile(os.path.join(root, path))]


def floor(path):
    """A room's number, that of cfg/'s tools above all; None: in no room."""
    folder = os.path.dirname(path)
    folder = 'layers' if folder in ('layers/cpu', 'layers/gpu') else folder
    return ROOMS.index(folder) if folder in ROOMS else len(ROOMS) if path.startswith('cfg/') else None


def included(house, source, name):
    """The file that an include means: a bare name beside it, or a path from the root; None if there is none."""
    path = name if '/' in name else os.path.join(os.path.dirname(source.path), name)
    return path if path in house.sources else None


def rooms(house):
    offenders = ['%s: in no room' % path for path in house.sources if floor(path) is None]
    for source in house.sources.values():
        for line, name in source.includes:
            path = included(house, source, name)
            if not path:
                offenders.append('%s:%d "%s" is neither beside it nor a path from the root' % (source.path, line, name))
            elif None not in (floor(path), floor(source.path)) and floor(path) > floor(source.path):
                offenders.append('%s:%d includes %s, of a room above' % (source.path, line, path))
    return [Verdict(1, 'files in no room, includes upward or of no file', offenders)]


def links_upward(house):
    verdicts = []
    for build in house.builds:
        offenders = ['%s -> %s: %s' % (a, b, ' '.join(sorted(symbols)))
                     for a, targets in sorted(build.links().items()) for b, symbols in sorted(targets.items())
                     if None not in (floor(a), floor(b)) and floor(b) > floor(a)]
        verdicts.append(Verdict(2, 'links to a room above, in %s' % build.build, offenders))
    return verdicts


def told_circles(graph):
    """A line for each circle, then one for each step in it."""
    parts = circles(graph)
    lines = []
    for part in parts:
        lines.append('a circle of %d: %s' % (len(part), ' '.join(part)))
        lines += ['    %s -> %s: %s' % (a, b, ' '.join(sorted(graph[a][b])))
                  for a in part for b in part if b in graph.get(a, {})]
    return lines, len(parts)


def no_circles(house):
    verdicts = []
    for build in house.builds:
        lines, count = told_circles(build.links())
        verdicts.append(Verdict(3, 'circles of objects, in %s' % build.build, lines, count=count))
    graph = {}
    for source in house.sources.values():
        for line, name in source.includes:
            path = included(house, source, name)
            if path and source.path.endswith(('.h', '.cuh')):
                graph.setdefault(source.path, {})[path] = ['line %d' % line]
    lines, count = told_circles(graph)
    return verdicts + [Verdict(3, 'circles of headers', lines, count=count)]


def top_level(house):
    top = {path.split('/')[0] for path in house.files}
    offenders = ['%s: missing' % name for name in TOP if name not in top]
    offenders += ['%s: too many' % name for name in sorted(top - set(TOP))]
    plugin = [path for path in house.files if os.path.dirname(path) == 'darknet_plugin']
    if len(plugin) > IN_PLUGIN:
        names = ' '.join(map(os.path.basename, plugin))
        offenders.append('darknet_plugin/: %d files, at most %d: %s' % (len(plugin), IN_PLUGIN, names))
    return [Verdict(4, 'differences at the top level', offenders)]


def lone(letter, text):
    """Does the letter stand in the text as a word of its own? An article, a file's ending, "e.g." and an 's do not."""
    text = re.sub(r'\b(?:e\.g\.|i\.e\.)', ' ', text)
    if letter == 'a':
        text = re.sub(r'\ba\s+[A-Za-z]', ' ', text)
    return bool(re.search(r"(?<![\w.'-])%s(?![\w'-]|\.\w)" % letter, text))


def formulae(head):
    """A head comment's lines with a formula or a shape."""
    return '\n'.join(line for line in head.split('\n') if re.search(r'=|\(\w+(?:, \w+)+\)', line))


def why_allowed(parameter, comment, head):
    if parameter.type == LETTERS.get(parameter.name):
        return parameter.name
    if parameter.type in FORMULA_TYPES:
        return 'comment' if lone(parameter.name, comment) else 'head' if lone(parameter.name, head) else None
    return None


def header_comments(house):
    """The comment of each function's prototype in a header, by name."""
    return {function.name: function.comment for source, function in house.functions()
            if source.path.endswith('.h') and function.kind == 'prototype' and function.comment}


def letters(house):
    comments, kinds, types, offenders, total, single, bad = header_comments(house), {}, {}, [], 0, 0, 0
    for source, function in house.functions():
        named = [parameter for parameter in function.parameters if len(parameter.name) == 1]
        comment, head = function.comment + comments.get(function.name, ''), formulae(source.head)
        others = [parameter for parameter in named if not why_allowed(parameter, comment, head)]
        total, single, bad = total + len(function.parameters), single + len(named), bad + len(others)
        for parameter in named:
            kind = why_allowed(parameter, comment, head)
            kinds[kind] = kinds.get(kind, 0) + 1
            if kind not in LETTERS:
                types.setdefault(parameter.name, set()).add(parameter.type)
        if others:
            told = ', '.join('%s %s' % (parameter.type, parameter.name) for parameter in others)
            offenders.append('%s:%d %s: %s' % (source.path, function.line, function.name, told))
    share = 100 * bad / max(total, 1)
    allowed = ', '.join('%s %d' % (kind, count) for kind, count in sorted(kinds.items(), key=str) if kind)
    what = 'of %d parameters have one letter, %d allowed (%s), the other %d are %.1f %%, at most %d %%' % (
        total, single - bad, allowed, bad, share, LETTER_SHARE)
    many = ['%s is %d: %s' % (letter, len(names), ' '.join(sorted(names))) for letter, names in sorted(types.items())
            if len(names) > LETTER_TYPES]
    fine = share <= LETTER_SHARE
    return [Verdict(5, what, [] if fine else offenders, ok=fine, count=single),
            Verdict(5, 'letters that stand for more than %d types' % LETTER_TYPES, many)]


def commented(house):
    comments, offenders, total = header_comments(house), [], 0
    for source, function in house.functions():
        lines = function.last - function.line + 1
        if function.kind == 'definition' and lines >= COMMENTED_LINES:
            total += 1
            if not function.comment and function.name not in comments:
                offenders.append('%s:%d %s, %d lines' % (source.path, function.line, function.name, lines))
    what = 'of %d functions of %d lines and more without a comment above' % (total, COMMENTED_LINES)
    return [Verdict(6, what, offenders)]


def is_kept_narrow(path):
    kept = path.endswith(CODE + ('.sh',)) or path == 'Makefile' or path.startswith('.ci/')
    return kept and not path.startswith('tests/')


def long_lines(house):
    offenders, longest = [], (0, '')
    for path in filter(is_kept_narrow, house.files):
        for number, line in enumerate(house.read(path).split('\n'), 1):
            width = len(line.expandtabs())
            longest = max(longest, (width, '%s:%d' % (path, number)))
            if width > COLUMNS:
                offenders.append('%s:%d %d columns' % (path, number, width))
    return [Verdict(7, 'lines over %d columns, the longest %d (%s)' % ((COLUMNS,) + longest), offenders)]


def nested(house):
    offenders = []
    for source in house.sources.values():
        lines = [source.line_at(at) for at in nested_choices(source.code)]
        lines += [line for line, text in source.directives if nested_choices(text)]
        offenders += ['%s:%d %s' % (source.path, line, source.lines[line - 1].strip()) for line in sorted(lines)]
    return [Verdict(8, 'statements with a nested ?:', offenders)]


def heads_and_sizes(house):
    offenders = ['%s: begins without a comment' % path for path, source in house.sources.items() if not source.head]
    for path, source in house.sources.items():
        lines = source.text.count('\n')
        if lines > FILE_LINES and not path.endswith('.h'):
            offenders.append('%s: %d lines, at most %d' % (path, lines, FILE_LINES))
    return [Verdict(9, 'files without a head, or over %d lines' % FILE_LINES, offenders)]


def callers(source, name, in_tests):
    """Who calls what no other object does; None: its own file, and tests, which is as it should be."""
    declared = sum(function.name == name for function in source.functions)
    within = len(re.findall(r'\b%s\b' % name, source.code)) > declared
    if within:
        return None if in_tests else 'its own file only: static'
    return 'tests only' if in_tests else 'nothing'


def wanted_names(house):
    """What objects want from others. A source without an object in these builds counts by its words."""
    wanted, built = set(), set()
    for build in house.builds:
        built |= set(build.sources)
        wanted = wanted.union(*(undefined for _, _, undefined in build.sources.values()))
    for path, source in house.sources.items():
        wanted |= source.words if path not in built and not path.endswith(('.h', '.cuh')) else set()
    return wanted


def test_words(house):
    tests = [path for path in house.files if path.startswith('tests/') and path.endswith(CODE)]
    return {word for path in tests for word in re.findall(r'\w+', house.read(path))}


def not_called(house):
    known, tested, offenders = wanted_names(house) | set(CALLED_FROM_OUTSIDE), test_words(house), set()
    for build in house.builds:
        for path, (functions, _, _) in build.sources.items():
            if path not in house.sources or beside(path):
                continue
            for name in functions - known:
                if not (path.endswith('.cu') and name.startswith('_Z')):   # a kernel: launched in its own file
                    told = callers(house.sources[path], name, name in tested)
                    if told:
                        offenders.add('%s %s: called by %s' % (path, name, told))
    what = 'functions with external linkage that no other object calls'
    return [Verdict(10, what, sorted(offenders))] if house.builds else []


def opened(house):
    offenders = []
    for source in house.sources.values():
        if source.path.startswith('darknet_plugin/base/') or source.path in OPENED_ELSEWHERE:
            continue
        for at in re.finditer(r'(?<![\w.>:])(?:fopen|freopen|open|openat|gzopen|ifstream|imread)\s*\(', source.code):
            line = source.line_at(at.start())
            offenders.append('%s:%d %s' % (source.path, line, source.lines[line - 1].strip()))
    return [Verdict(11, 'files opened without base/in_file.h', offenders)]


RULES = (rooms, links_upward, no_circles, top_level, letters, commented, long_lines, nested, heads_and_sizes,
         not_called, opened)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    parser.add_argument('--root', default=os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    parser.add_argument('build', nargs='*')
    options = parser.parse_args()
    house = House(options.root, options.build)
    verdicts = [verdict for rule in RULES for verdict in rule(house)]
    for verdict in verdicts:
        print('%s %d %d %s' % ('ok' if verdict.ok else 'not ok', verdict.rule, verdict.count, verdict.what))
        for offender in verdict.offenders:
            print('    ' + offender)
    print(''.join(line + '\n' for line in house.skipped), end='')
    failed = sum(not verdict.ok for verdict in verdicts)
    print('house: %d passed, %d failed' % (len(verdicts) - failed, failed))
    return failed > 0


sys.exit(main())
