"""What tests/house.py reads in a source file: its comments, includes, functions and their parameters. No compiler is
asked: the code's style is uniform enough for brackets and a few patterns. What macros define is not seen."""
import re
from collections import namedtuple

CODE = ('.c', '.h', '.cpp', '.cu', '.cuh')
QUOTED = re.compile(r'''//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*\'''', re.S)
DIRECTIVE = re.compile(r'^[ \t]*#(?:\\\n|[^\n])*', re.M)
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"\n]+)"', re.M)
ATTRIBUTE = re.compile(r'\b(?:__attribute__|__launch_bounds__|_?[aA]lignas)\s*\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)')
# What this encloses is at file scope all the same.
TRANSPARENT = re.compile(r'\s*(?:extern\s*"\s*"|(?:inline\s+)?namespace\b[\s\w:]*)\s*')
QUALIFIER = re.compile(r'\b(?:const|volatile|restrict|__restrict|__restrict__|struct|union|enum|typename|register)\b')
NUMBER = re.compile(r'(?:(?:(?:un)?signed|int|long|short|float|double|bool|(?:s?size|off|ptrdiff|time|u?int\d+)_t)\s*)+')
MACRO_CALLS = re.compile(r'^(?:[A-Z][A-Z0-9_]*\([^()\n]*\)[ \t]*)+$', re.M)
BANNER = re.compile(r'/\*\s*-{2,}.*-{2,}\s*\*/$', re.S)

Parameter = namedtuple('Parameter', 'name type')
# `kind` is 'definition', 'prototype' or 'pointer'; `comment` stands above it or, of a prototype, beside it; '' = none
Function = namedtuple('Function', 'name kind line last parameters comment')


def is_comment(text):
    return text.startswith(('/*', '//'))


def spaces(match):
    return re.sub(r'[^\n]', ' ', match.group())


def blank(match):
    """Comments and texts become spaces, so that every offset and line stays; a text keeps its quotes."""
    text, edge = match.group(), 0 if is_comment(match.group()) else 1
    return text[:edge] + re.sub(r'[^\n]', ' ', text[edge:len(text) - edge]) + text[len(text) - edge:]


def closing(code, at):
    """Where the bracket that opens at `at` is closed."""
    depth = 0
    for i in range(at, len(code)):
        depth += (code[i] in '([{') - (code[i] in ')]}')
        if depth == 0:
            return i
    return len(code)


def split_list(text):
    """The parts between commas that stand in no brackets."""
    parts, depth, start = [], 0, 0
    for i, char in enumerate(text):
        depth += (char in '([{<') - (char in ')]}>')
        if char == ',' and depth == 0:
            parts.append(text[start:i])
            start = i + 1
    return parts + [text[start:]]


def base_type(text):
    """The type without qualifiers and stars; all plain arithmetic types are one."""
    words = ' '.join(re.findall(r'[\w:]+', QUALIFIER.sub(' ', text)))
    return 'number' if NUMBER.fullmatch(words) or words == 'unsigned char' else words


def parameters(text):
    """The named ones of a list, those of functions pointed to, too."""
    found = []
    for part in split_list(text):
        pointer = re.search(r'\(\s*\*\s*(?:const\s+)?(\w*)[^()]*\)\s*\(', part)
        if pointer:
            found += [Parameter(pointer.group(1), 'function')] * bool(pointer.group(1))
            found += parameters(part[pointer.end():closing(part, pointer.end() - 1)])
            continue
        part = re.sub(r'\[[^\]]*\]|=.*|\(\s*\*|\)', ' ', part, flags=re.S)
        name = re.search(r'(\w+)\s*$', part)
        if name and base_type(part[:name.start()]) and base_type(name.group(1)) not in ('number', 'char', 'void', ''):
            found.append(Parameter(name.group(1), base_type(part[:name.start()])))
    return found


def signature(head):
    """(name, is it a pointer, parameters) of what a declaration declares; None if it is no function."""
    head = ATTRIBUTE.sub(spaces, head)
    head = re.sub(r'^\s*template\s*<[^>]*>', '', head)
    at = head.find('(')
    before = head[:at].rstrip()
    if at < 0 or re.search(r'[={]', before):
        return None
    pointer = re.match(r'\(\s*\*\s*(?:const\s+)?(\w+)[^()]*\)\s*\(', head[at:])
    if pointer:
        at += pointer.end() - 1
        return pointer.group(1), True, parameters(head[at + 1:closing(head, at)])
    name = re.search(r'[\w:]*\w$', before)
    if not name or not before[:name.start()].strip():   # a macro's call has no type before it
        return None
    return name.group(), False, parameters(head[at + 1:closing(head, at)])


def first_of(code, start):
    return start + len(code[start:]) - len(code[start:].lstrip())


def declarations(code, start, end):
    """(start, end, has a body) of every declaration; members of a struct are declarations of their own."""
    at = start
    while at < end:
        found = re.compile(r'[{};]').search(code, at, end)
        if not found:
            return
        at, head = found.end(), code[start:found.start()]
        if found.group() == '{' and not TRANSPARENT.fullmatch(head):
            shut = body_end(code, found.start(), end)
            at = shut + 1
            if signature(head):
                yield first_of(code, start), shut, True
            elif re.match(r'\s*(?:typedef\s+)?(?:struct|union|class)\b[^=]*$', head):
                yield from declarations(code, found.end(), shut)
                start = shut + 1
                continue
            else:
                continue
        elif found.group() == ';':
            yield first_of(code, start), found.start(), False
        start = at


def body_end(code, at, end):
    """Where a body ends: at its brace, or at the first that stands at a line's beginning, whatever #if has hidden."""
    column = code.find('\n}', at, end)
    shut = closing(code, at)
    return min(shut, column + 1) if column >= 0 else min(shut, end)


class Source:
    def __init__(self, path, text):
        self.path, self.text, self.lines = path, text, text.split('\n')
        stripped = QUOTED.sub(blank, text)
        self.directives = [(self.line_at(m.start()), m.group()) for m in DIRECTIVE.finditer(stripped)]
        self.code = MACRO_CALLS.sub(spaces, DIRECTIVE.sub(spaces, stripped))
        self.words = set(re.findall(r'\w+', stripped))
        comments = [m for m in QUOTED.finditer(text) if is_comment(m.group())]
        without = QUOTED.sub(lambda m: blank(m) if is_comment(m.group()) else m.group(), text)
        self.includes = [(self.line_at(m.start(1)), m.group(1)) for m in INCLUDE.finditer(without)]
        self.head = comments[0].group() if comments and not text[:comments[0].start()].strip() else ''
        self.above, self.beside = {}, {}
        for comment in comments:
            self.keep_comment(comment)
        self.functions = list(self.find_functions())

    def line_at(self, offset):
        return self.text.count('\n', 0, offset) + 1

    def keep_comment(self, comment):
        """In `above` by its last line where it has lines for itself, else in `beside` by its first."""
        first, last, text = self.line_at(comment.start()), self.line_at(comment.end()), comment.group()
        if self.lines[first - 1].lstrip().startswith(text[:2]):
            if not BANNER.match(text):
                self.above[last] = (self.above.get(first - 1, '') + ' ' if text.startswith('//') else '') + text
        else:
            self.beside[first] = text

    def comment_of(self, first, last, has_body):
        line = first - 1
        while line > 1 and re.match(r'\s*#\s*(?:if|pragma)', self.lines[line - 1]):
            line -= 1
        return self.above.get(line, '') or ('' if has_body else self.beside.get(last, ''))

    def find_functions(self):
        for start, end, has_body in declarations(self.code, 0, len(self.code)):
            head = self.code[start:end] if not has_body else self.code[start:self.code.index('{', start)]
            found = signature(head)
            if found:
                name, pointer, named = found
                first, last = self.line_at(start), self.line_at(end)
                kind = 'definition' if has_body else 'pointer' if pointer else 'prototype'
                yield Function(name, kind, first, last, named, self.comment_of(first, last, has_body))


class Level:
    """What stands between two brackets, up to the last comma or statement's end."""
    def __init__(self, before, within):
        self.before = before      # the word before the bracket
        self.within = within      # in an operand of a ?: outside the bracket
        self.open = False         # a ? stands in this expression,
        self.inner = False        # or in brackets of it,
        self.any = False          # or in an expression before

    def restart(self):
        self.open = self.inner = False


def shut_level(levels, closing_brace_ends):
    shut = levels.pop()
    levels[-1].inner |= shut.any
    levels[-1].any |= shut.any
    if shut.before in ('if', 'while', 'for', 'switch') or closing_brace_ends:
        levels[-1].restart()


def nested_choices(code):
    """Offsets of each statement's first ? that stands in an operand of another ?:."""
    levels, told, found, before = [Level('', False)], False, [], ''
    for token in re.finditer(r'\w+|[=!<>]=|\S', code):
        text, level = token.group(), levels[-1]
        if text == '?':
            if (level.open or level.inner or level.within) and not told:
                found.append(token.start())
                told = True
            level.open = level.any = True
        elif text in '([{':
            levels.append(Level(before, level.open or level.within))
        elif text in ')]}' and len(levels) > 1:
            shut_level(levels, text == '}' and code[token.end():token.end() + 200].lstrip()[:1] not in ',;):.[')
        elif text in (',', ';', '='):
            level.restart()
        told = told and text not in ';{}'
        before = text
    return found
