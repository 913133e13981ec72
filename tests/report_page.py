#!/usr/bin/env python3
"""Is a report's page well formed, and does it load nothing? Prints what is wrong, a line each.

    tests/report_page.py PAGE       elements that are closed in order, attributes that name places in the page, data: alone
    tests/report_page.py PAGE text  the text alone, for tests that look for a sentence"""
import re
import sys
from html.parser import HTMLParser

VOID = {'meta', 'link', 'img', 'br', 'hr', 'input'}
ADDRESSES = ('src', 'href', 'action', 'data', 'poster', 'srcset', 'xlink:href')


class Page(HTMLParser):
    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open, self.wrong, self.ids, self.wanted, self.words = [], [], [], [], []

    def handle_starttag(self, tag, attributes):
        self.look(tag, attributes)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.look(tag, attributes)

    def handle_endtag(self, tag):
        if not self.open or self.open[-1] != tag:
            self.wrong.append('line %d: </%s> in %s' % (self.getpos()[0], tag, self.open[-3:]))
        else:
            self.open.pop()

    def handle_data(self, data):
        if not self.open or self.open[-1] != 'style':
            self.words.append(data)
        elif re.search(r'@import|url\(', data):
            self.wrong.append('the style loads something')

    def look(self, tag, attributes):
        if tag in ('script', 'iframe', 'object', 'embed', 'form'):
            self.wrong.append('line %d: <%s>' % (self.getpos()[0], tag))
        for name, value in attributes:
            if name.startswith('on'):
                self.wrong.append('line %d: %s=' % (self.getpos()[0], name))
            if name == 'id':
                self.ids.append(value)
            if name not in ADDRESSES:
                continue
            if value.startswith('#'):
                self.wanted.append(value[1:])
            elif not value.startswith('data:'):
                self.wrong.append('line %d: %s=%s' % (self.getpos()[0], name, value[:60]))
        if tag == 'img' and 'alt' not in dict(attributes):
            self.wrong.append('line %d: a picture without alt' % self.getpos()[0])


def main():
    with open(sys.argv[1], encoding='utf-8') as file:      # it is UTF-8, or this fails
        text = file.read()
    page = Page()
    page.feed(text)
    page.close()
    if len(sys.argv) > 2:
        print(re.sub(r'[\s\u00a0]+', ' ', ' '.join(page.words)))
        return 0
    wrong = page.wrong + ['not closed: %s' % tag for tag in page.open]
    wrong += ['no place #%s' % name for name in page.wanted if name not in page.ids]
    wrong += ['two places #%s' % name for name in set(page.ids) if page.ids.count(name) > 1]
    wrong += ['an address: %s' % found for found in re.findall(r'(?:https?:)?//[\w.]+\.\w+', re.sub(r'base64,[\w+/=]*', '', text))]
    wrong += ['not a number: %s' % found for found in re.findall(r'(?<![\w.])-?(?:nan|inf)(?![\w.])', text)]
    print('\n'.join(wrong))
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())
