#!/usr/bin/env python3
"""Opens pages in headless Chromium, through chromedriver's HTTP, as a phone and as a desk would, light and dark, and looks
whether anything sticks out, is wrong in the console, is loaded from elsewhere, or is hard to read. Needs no package of Python's.

    tests/report_browser.py OUT PAGE...     screenshots are left in OUT, as PAGE-phone-dark.png and the like"""
import base64
import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request

SIZES = {'phone': (375, 812, 2), 'desk': (1280, 900, 1)}      # CSS pixels, and device pixels a CSS pixel
ARGUMENTS = ['--headless=new', '--no-sandbox', '--disable-gpu', '--hide-scrollbars', '--disable-dev-shm-usage']
# What sticks out of the window, but for what stands in a box that scrolls by itself.
OVERFLOW = '''const out = [];
for (const e of document.body.querySelectorAll('*')) {
    if (e.closest('.scroll, pre') || e.closest('svg') && e.tagName != 'svg') continue;
    const r = e.getBoundingClientRect();
    if (r.width && (r.right > innerWidth + 1 || r.left < -1)) out.push(e.tagName + '.' + e.className + ' ' + Math.round(r.right));
}
return {width: document.documentElement.scrollWidth, window: innerWidth, out: out.slice(0, 5)};'''
# Contrast of text to what it stands on (WCAG 2.1), the least ratio and where; SVG text stands on its box.
CONTRAST = '''const parse = c => (c.match(/[\\d.]+/g) || []).map(Number);
const light = c => { const [r, g, b] = c.slice(0, 3).map(v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b; };
const ground = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor);
    if (c.length == 3 || c[3] > 0) return c; } return [255, 255, 255]; };
let worst = [99, ''];
for (const e of document.body.querySelectorAll('*')) {
    if (![...e.childNodes].some(n => n.nodeType == 3 && n.data.trim()) || e.closest('.boxes')) continue;
    const box = e.tagName == 'text' && e.parentElement.querySelector('rect');
    const style = getComputedStyle(e), a = light(parse(e.tagName == 'text' ? style.fill : style.color));
    const b = light(box ? parse(getComputedStyle(box).fill) : ground(e)), ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < worst[0]) worst = [ratio, e.tagName + '.' + e.className + ': ' + e.textContent.slice(0, 30)];
}
return worst;'''
LOADED = "return performance.getEntriesByType('resource').map(r => r.name).filter(n => !n.startsWith('data:'))"


class Driver:
    """chromedriver and one session of it."""
    def __init__(self):
        self.process = subprocess.Popen(['chromedriver', '--port=0'], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        port = None
        while port is None:
            line = self.process.stdout.readline()
            if not line:
                raise SystemExit('chromedriver ended')
            port = re.search(r'started successfully on port (\d+)', line)
        self.base = 'http://127.0.0.1:%s' % port.group(1)
        options = {'goog:chromeOptions': {'args': ARGUMENTS}, 'goog:loggingPrefs': {'browser': 'ALL'}}
        self.base += '/session/' + self.post('/session', {'capabilities': {'alwaysMatch': options}})['sessionId']

    def post(self, path, body):
        request = urllib.request.Request(self.base + path, json.dumps(body).encode(), {'Content-Type': 'application/json'})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)['value']
        except urllib.error.HTTPError as error:
            raise SystemExit('chromedriver: %s' % error.read().decode()[:500]) from error

    def devtools(self, command, **parameters):
        return self.post('/goog/cdp/execute', {'cmd': command, 'params': parameters})

    def run(self, script):
        return self.post('/execute/sync', {'script': script, 'args': []})

    def end(self):
        try:
            urllib.request.urlopen(urllib.request.Request(self.base, method='DELETE'), timeout=20).close()
        except (OSError, urllib.error.URLError):
            pass
        self.process.terminate()
        self.process.wait()


class Tally:
    failed = 0

    def say(self, name, wrong):
        print('not ok %s\n  %s' % (name, wrong) if wrong else 'ok %s' % name)
        self.failed += bool(wrong)


def look(driver, tally, page, out, size, scheme):
    width, height, scale = SIZES[size]
    name = '%s-%s-%s' % (os.path.splitext(os.path.basename(page))[0], size, scheme)
    driver.devtools('Emulation.setDeviceMetricsOverride', width=width, height=height, deviceScaleFactor=scale, mobile=size == 'phone')
    driver.devtools('Emulation.setEmulatedMedia', features=[{'name': 'prefers-color-scheme', 'value': scheme}])
    driver.post('/url', {'url': 'file://' + os.path.abspath(page)})
    seen = driver.run(OVERFLOW)
    sticks = seen['width'] > seen['window'] or seen['out']
    tally.say(name + ': nothing is wider than the window', '%s' % seen if sticks else '')
    ratio, where = driver.run(CONTRAST)
    tally.say('%s: text has a contrast of 4.5' % name, '' if ratio >= 4.5 else '%.2f, %s' % (ratio, where))
    errors = [entry['message'] for entry in driver.post('/se/log', {'type': 'browser'}) if entry['level'] in ('SEVERE', 'WARNING')]
    tally.say(name + ': nothing in the console', '; '.join(errors))
    tally.say(name + ': nothing is loaded', ' '.join(driver.run(LOADED)))
    picture = driver.devtools('Page.captureScreenshot', format='png', captureBeyondViewport=True)
    with open(os.path.join(out, name + '.png'), 'wb') as file:
        file.write(base64.b64decode(picture['data']))


def main():
    out, pages = sys.argv[1], sys.argv[2:]
    driver, tally = Driver(), Tally()
    try:
        for page in pages:
            for size in SIZES:
                for scheme in 'light', 'dark':
                    look(driver, tally, page, out, size, scheme)
    finally:
        driver.end()
    return 1 if tally.failed else 0


if __name__ == '__main__':
    sys.exit(main())
