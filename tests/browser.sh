#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A browser opens the report of a small run: the curve, the table and the pictures are there, it asks for nothing outside
# itself, and the page is not blank. usage: browser.sh CHROMIUM BUILD-FOLDER
set -eu
browser=$1
dfal=$(realpath "$2/tools/dfal")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"$dfal" -q synth -n 200 -o train.h5
"$dfal" -q synth -n 100 --split test -o test.h5
"$dfal" -q run --preset quickstart --train train.h5 --test test.h5 --set trials=2 --set annotations=60 \
    --set training.epochs=2 -o run >/dev/null
set -- --headless --no-sandbox --disable-gpu --hide-scrollbars --window-size=860,1390
"$browser" "$@" --dump-dom "file://$work/run/report.html" >dom.html 2>/dev/null
for word in '<svg' '<table' 'data:image/png' 'random' 'On the way' 'What was asked for' 'What it cost'; do
    grep -q "$word" dom.html || { echo "browser: the page has no $word"; exit 1; }
done
if grep -Eq '(src|href)="?https?:' dom.html || grep -q '<script' dom.html; then
    echo "browser: the page reaches outside itself or runs scripts"
    exit 1
fi
"$browser" "$@" --screenshot="$work/page.png" "file://$work/run/report.html" >/dev/null 2>&1
size=$(stat -c %s page.png)
# a blank page of this size packs into less than 10 kB
[ "$size" -gt 30000 ] || { echo "browser: the picture of the page has $size bytes, expected a drawn page"; exit 1; }
# Two runs in one page, on a telephone.
"$dfal" -q run --preset quickstart --train train.h5 --test test.h5 --set trials=2 --set annotations=60 \
    --set training.steps=4 -o steps >/dev/null
"$dfal" -q report run steps -o both.html
set -- --headless --no-sandbox --disable-gpu --hide-scrollbars --window-size=390,1390
"$browser" "$@" --dump-dom "file://$work/both.html" >dom.html 2>/dev/null
for word in 'All runs' 'class="narrow"' 'training.steps: 4' 'data-label="accuracy"'; do
    grep -q "$word" dom.html || { echo "browser: the page of two runs has no $word"; exit 1; }
done
"$browser" "$@" --screenshot="$work/narrow.png" "file://$work/both.html" >/dev/null 2>&1
narrow=$(stat -c %s narrow.png)
[ "$narrow" -gt 30000 ] || { echo "browser: the narrow picture has $narrow bytes, expected a drawn page"; exit 1; }
echo "browser: the report is drawn ($size and $narrow bytes of PNG)"
