/* SPDX-License-Identifier: Apache-2.0 */
/* What every page opens and closes with. */
#include <string.h>

#include "base/log.h"
#include "report/report.h"

/* Colours: ink and paper follow the reader's setting; the series keep their order and differ in lightness
 * too; the baseline is grey and dashed. Paper when printed. */
static const char style[] =
    ":root{color-scheme:light dark;--paper:#fff;--ink:#1b1f24;--soft:#59636e;--rule:#d9dee3;--panel:#f6f8fa;"
    "--c0:#6e7781;--c1:#0b62d6;--c2:#b54708;--c3:#1a7f37;--c4:#8250df;--c5:#bf3989;--c6:#9a6700}\n"
    "@media (prefers-color-scheme:dark){:root{--paper:#0f1318;--ink:#e6eaef;--soft:#9aa5b1;--rule:#2d343c;"
    "--panel:#171c22;--c0:#8d97a3;--c1:#66a9ff;--c2:#f0955a;--c3:#56d364;--c4:#bc8cff;--c5:#f778ba;--c6:#"
    "e3b341}}\n"
    "*{box-sizing:border-box}\n"
    "body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,-apple-system,\"Segoe "
    "UI\",Roboto,\"Helvetica Neue\",Arial,sans-serif;-webkit-text-size-adjust:100%}\n"
    "main{max-width:980px;margin:0 auto;padding:40px 20px 64px}\n"
    "h1{font-size:1.9rem;line-height:1.2;margin:0 0 .3rem;letter-spacing:-.01em}\n"
    "h2{font-size:1.35rem;line-height:1.3;margin:2.4rem 0 .6rem}\n"
    "h3{font-size:1.05rem;margin:2rem 0 .4rem}\n"
    "p{margin:.5rem 0;max-width:68ch}\n"
    ".lead,figcaption,caption{color:var(--soft)}\n"
    ".verdict{font-size:1.08rem}\n"
    "figure{margin:0}\n"
    ".plot{margin:1.2rem 0}\n"
    ".plot svg{display:block;width:100%;height:auto;overflow:visible;font-size:13px;fill:var(--soft)}\n"
    ".plot figcaption{font-size:.9rem;margin-top:.3rem}\n"
    ".grid{stroke:var(--rule)}.tick,.base{stroke:var(--soft)}\n"
    ".line{fill:none;stroke:var(--c);stroke-width:2.25;stroke-linejoin:round;stroke-linecap:round}\n"
    ".line.c0{stroke-dasharray:6 5}\n"
    ".band{fill:var(--c);opacity:.16}.dot{fill:var(--c)}.name{fill:var(--c);font-weight:600}\n"
    ".c0{--c:var(--c0)}.c1{--c:var(--c1)}.c2{--c:var(--c2)}.c3{--c:var(--c3)}.c4{--c:var(--c4)}.c5{--c:var(--"
    "c5)}"
    ".c6{--c:var(--c6)}\n"
    ".key{display:inline-block;width:.7em;height:.7em;border-radius:50%;background:var(--c);margin-right:."
    "5em}\n"
    ".k1,.k3{background:none;border:.2em solid var(--c)}.k2,.k3{border-radius:0}"
    ".k4,.k5{border-radius:0;transform:rotate(45deg)}.k5{background:none;border:.2em solid var(--c)}\n"
    ".line.d1{stroke-dasharray:6 5}.line.d2{stroke-dasharray:2 4}.line.d3{stroke-dasharray:10 4 2 4}"
    ".line.d4{stroke-dasharray:14 4}.line.d5{stroke-dasharray:2 3 6 3}"
    ".line.d6{stroke-dasharray:1 6}.line.d7{stroke-dasharray:18 3 3 3 3 3}\n"
    ".keys,.runs{list-style:none;padding:0;margin:.6rem 0;font-size:.92rem}"
    ".keys b{display:inline-block;min-width:1.4em;text-indent:0;color:var(--c)}"
    ".plot .keys svg{display:inline-block;width:34px;height:10px;margin-right:.6em}\n"
    ".keys li,.runs li,h2,.lead,.verdict,p code{overflow-wrap:anywhere}.runs "
    "a{color:var(--c);font-weight:600}\n"
    ".plot svg.narrow,.narrow{display:none}\n"
    "@media (max-width:600px){.plot svg.narrow,.narrow{display:block}.plot "
    "svg.broad{display:none}.final thead{display:none}.final tr{display:block;padding:.5rem "
    "0;border-bottom:1px solid "
    "var(--rule)}.final th,.final td{display:flex;justify-content:space-between;gap:1rem;padding:.1rem "
    "0;border:0;"
    "white-space:normal}.final tbody th{justify-content:flex-start;align-items:center;gap:0}.final "
    "td::before{content:attr(data-label);color:var(--soft);text-align:left}.final "
    "td:empty{display:none}.keys "
    "li{padding-left:4.6em;text-indent:-4.6em}main{padding:24px 16px 48px}h1{font-size:1.5rem}}\n"
    ".wide{overflow-x:auto}\n"
    "table{border-collapse:collapse;width:100%;font-size:.92rem;font-variant-numeric:tabular-nums}\n"
    "caption{text-align:left;font-size:.9rem;padding:.4rem 0}\n"
    "th,td{padding:.42rem .7rem;text-align:left;border-bottom:1px solid var(--rule);vertical-align:top}\n"
    "tbody th{white-space:nowrap}th:first-child{padding-left:0}td:last-child{padding-right:0}\n"
    "thead th{color:var(--soft);font-weight:500;font-size:.82rem;line-height:1.3;vertical-align:bottom}\n"
    ".n{text-align:right;white-space:nowrap}\n"
    "thead .n{white-space:normal}\n"
    ".gallery{display:grid;grid-template-columns:repeat(auto-fill,minmax(256px,1fr));gap:18px "
    "16px;margin-top:1rem}\n"
    ".gallery figure{break-inside:avoid}\n"
    ".triple{display:flex;gap:4px}\n"
    ".triple img{width:84px;height:84px;object-fit:contain;image-rendering:pixelated;background:var(--panel);"
    "border-radius:3px}\n"
    "main:has(.sheet){max-width:1500px}.sheet "
    "img{width:112px;height:112px}.sheet{grid-template-columns:repeat(auto-fill,minmax(min(352px,100%),1fr))}"
    ".single{grid-template-columns:repeat(auto-fill,minmax(132px,1fr))}\n"
    ".gallery figcaption{font-size:.82rem;line-height:1.4;margin-top:.35rem}\n"
    ".gallery b{color:var(--ink)}\n"
    ".id{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;overflow-wrap:anywhere}\n"
    "details{margin:1.2rem 0}summary{cursor:pointer;color:var(--c1);font-weight:500}\n"
    "summary:focus-visible{outline:2px solid var(--c1);outline-offset:3px}\n"
    "pre{background:var(--panel);border:1px solid var(--rule);border-radius:6px;padding:.8rem "
    "1rem;overflow-x:auto;font:13px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}\n"
    "footer{margin-top:3rem;padding-top:1rem;border-top:1px solid "
    "var(--rule);color:var(--soft);font-size:.85rem}\n"
    "@media print{:root{--paper:#fff;--ink:#000;--soft:#444;--rule:#bbb;--panel:#fff;--c0:#666;--c1:#0b62d6;"
    "--c2:#b54708;--c3:#1a7f37}main{max-width:none;padding:0}.plot,table{break-inside:avoid}"
    "*{-webkit-print-color-adjust:exact;print-color-adjust:exact}}\n";

void df_page_begin(struct df_text *page, const char *title, const char *heading)
{
    df_text_add(page,
                "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                "<meta name=\"color-scheme\" content=\"light dark\">\n"
                "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
                "'unsafe-inline'; img-src data:\">\n"
                "<title>%s</title>\n<style>\n",
                title);
    df_text_append(page, style, (int64_t)strlen(style));
    df_text_add(page, "</style>\n</head>\n<body>\n<main>\n<header>\n<h1>%s</h1>\n<p class=\"lead\">",
                heading);
}

void df_page_end(struct df_text *page, bool dated)
{
    char now[32] = "";
    if (dated)
        df_time_iso(now);
    df_text_add(page, "<footer>Drawn by dfal %s%s%s.</footer>\n</main>\n</body>\n</html>\n", DFAL_VERSION,
                dated ? ", " : "", now);
}
