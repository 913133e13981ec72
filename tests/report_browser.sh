#!/bin/bash
# A classifier's, a detector's and a two-run report, trained for a moment, opened in headless Chromium as on a phone and on a desk,
# light and dark (tests/report_browser.py). Screenshots are left in OUT, to be looked at.
#   tests/report_browser.sh BUILD [OUT]      OUT=report-browser; without Chromium (Debian: chromium, chromium-driver) it is skipped
set -euo pipefail
build=${1:-build} out=${2:-report-browser}
for program in chromium chromedriver python3; do
    command -v $program >/dev/null || { echo "skipped: reports in a browser (no $program; Debian: chromium, chromium-driver)"; exit 0; }
done
darknet=$PWD/$build/darknet
mkdir -p "$out"
train() { "$darknet" distill train "$1" "$2" -quiet -backup "$out" "${@:3}" >"$out/train.log" || { cat "$out/train.log" >&2; exit 1; }; }
few="-limit 1000 -holdout 500 -epochs 4"
for cfg in fashion-distilled fashion-simkd; do train cfg/fashion.data cfg/$cfg.cfg $few; done
train cfg/fashion.data cfg/fashion-distilled.cfg $few -from-labels
[ -s "$out/shapes/shapes.data" ] || "$build/make_shapes" "$out/shapes" 100 40 >/dev/null
train "$out/shapes/shapes.data" cfg/shapes/simkd.cfg -epochs 5
train "$out/shapes/shapes.data" cfg/shapes/simkd.cfg -epochs 5 -from-labels
"$darknet" distill report cfg/fashion.data cfg/fashion-distilled.cfg="$out/fashion-distilled" -holdout 500 -out "$out/classifier.html"
"$darknet" distill report cfg/fashion.data cfg/fashion-distilled.cfg="$out/fashion-distilled" cfg/fashion-simkd.cfg="$out/fashion-simkd" \
    -holdout 500 -out "$out/two.html"
"$darknet" distill report "$out/shapes/shapes.data" cfg/shapes/simkd.cfg="$out/simkd" -out "$out/detector.html"
python3 tests/report_browser.py "$out" "$out/classifier.html" "$out/two.html" "$out/detector.html"
echo "screenshots in $out"
