#!/bin/sh
# Pictures of a page as people see it: wide and narrow, light and dark, and printed.
#
#   scripts/screenshots.sh PAGE.html OUTPUT_DIRECTORY
#
# Needs Chromium (apt-get install chromium) and, for the pages of the print, pdftoppm (apt-get install poppler-utils). The
# page is given a network that answers nothing, so that a request which it must not make cannot help it.
set -eu

page=$(realpath "$1")
out=$2
mkdir -p "$out"
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome)

shot() { # name width height flags...
    name=$1 width=$2 height=$3
    shift 3
    "$browser" --headless --no-sandbox --disable-gpu --hide-scrollbars --force-device-scale-factor=1 \
        --proxy-server=127.0.0.1:9 --user-data-dir="$profile" --window-size="$width,$height" \
        --screenshot="$out/$name.png" "$@" "file://$page" 2>/dev/null
}

profile=$(mktemp -d)
trap 'rm -rf "$profile"' EXIT
height=${HEIGHT:-6000}
shot wide-light 1280 "$height"
shot wide-dark 1280 "$height" --blink-settings=preferredColorScheme=0
# Chromium draws no window narrower than 500 pixels: the page is put into a frame.
frame="$profile/narrow.html"
for scheme in light dark; do
    printf '<body style="margin:0"><iframe src="file://%s" style="border:0;width:390px;height:%spx"></iframe>' \
        "$page" "$height" >"$frame"
    setting=$([ "$scheme" = dark ] && echo 0 || echo 1)
    "$browser" --headless --no-sandbox --disable-gpu --hide-scrollbars --allow-file-access-from-files \
        --proxy-server=127.0.0.1:9 --user-data-dir="$profile" --window-size="500,$height" \
        --blink-settings=preferredColorScheme="$setting" --screenshot="$out/narrow-$scheme.png" "file://$frame" 2>/dev/null
done
"$browser" --headless --no-sandbox --disable-gpu --user-data-dir="$profile" --no-pdf-header-footer \
    --print-to-pdf="$out/print.pdf" "file://$page" 2>/dev/null
if command -v pdftoppm >/dev/null; then
    rm -f "$out"/print-*.png
    pdftoppm -r 60 -png "$out/print.pdf" "$out/print"
    echo "printed on $(ls "$out"/print-*.png | wc -l) pages"
fi
