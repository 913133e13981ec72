/* How the page looks: its head with the whole style, and its foot. System fonts, one accent colour, light and dark by
 * what the reader's system says, from 320 pixels of width up. Colours of text have a contrast of 4.5 and more to what
 * they stand on, in both. The page may load nothing: its own policy says so. */
#include "report_internal.h"

static const char COLOURS[] =
    ":root{color-scheme:light dark;--page:#f6f6f4;--card:#fff;--text:#1d2023;--quiet:#5a6069;--line:#dedfdc;"
    "--accent:#0b5fa5;--tint:#e8f0f7;--plus:#0b6e5f;--minus:#a4420b;"
    "--c1:#0b5fa5;--c2:#b1560a;--c3:#0b7a6a;--c4:#8a3f9e;--c5:#74680a;--c6:#ad2f5f}\n"
    "@media(prefers-color-scheme:dark){:root{--page:#131517;--card:#1c1f22;--text:#e7e9ea;--quiet:#a2a9b1;"
    "--line:#33383d;--accent:#7ab8f0;--tint:#1d2c3a;--plus:#5cc9b4;--minus:#f0a06a;"
    "--c1:#7ab8f0;--c2:#f0a35c;--c3:#5cc9b4;--c4:#cf9be3;--c5:#d5c64f;--c6:#f28fb2}}\n";

static const char TEXT[] =
    "*{box-sizing:border-box}html{-webkit-text-size-adjust:100%}"
    "body{margin:0;background:var(--page);color:var(--text);font:16px/1.55 system-ui,-apple-system,\"Segoe UI\",Roboto,"
    "\"Noto Sans\",\"DejaVu Sans\",sans-serif;font-variant-numeric:tabular-nums}\n"
    "header,main,footer{max-width:70rem;margin:0 auto;padding:0 1.5rem}header{padding-top:3.5rem}"
    "h1{font-size:2rem;line-height:1.2;letter-spacing:-.02em;margin:0;font-weight:650;overflow-wrap:anywhere}"
    "h2{font-size:1.3rem;letter-spacing:-.01em;margin:0 0 1rem;font-weight:620;overflow-wrap:anywhere}"
    "h3{font-size:1rem;margin:0;font-weight:620;overflow-wrap:anywhere}h3.part{font-size:1.1rem;margin:2.25rem 0 .9rem}"
    "h4{font-size:.85rem;margin:.9rem 0 .3rem;font-weight:600;color:var(--quiet)}\n"
    "section{margin:3.25rem 0}section.sum{margin:2rem 0}p{margin:.5rem 0 1rem;max-width:46rem;overflow-wrap:anywhere}"
    ".note,header p,footer{color:var(--quiet);font-size:.875rem}"
    "code,pre{font:.85em/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,\"DejaVu Sans Mono\",monospace}"
    "code{overflow-wrap:anywhere}pre{background:var(--tint);border-radius:.6rem;padding:.8rem 1rem;"
    "white-space:pre-wrap;"
    "overflow-wrap:anywhere;margin:.5rem 0 1rem}.card>:last-child,.scroll+p{margin-bottom:0}"
    "nav{margin-top:1.25rem;font-size:.9rem;display:flex;flex-wrap:wrap;gap:.35rem 1.25rem}"
    "a{color:var(--accent);text-decoration:none;overflow-wrap:anywhere}a:hover,"
    "a:focus-visible{text-decoration:underline}"
    "footer{padding-top:1rem;padding-bottom:3.5rem}.path{overflow-wrap:anywhere}\n";

static const char BOXES[] =
    ".card{background:var(--card);border:1px solid var(--line);border-radius:.9rem;padding:1.15rem 1.25rem;margin:0;"
    "min-width:0}"
    ".cards{display:grid;gap:1rem;grid-template-columns:repeat(auto-fill,minmax(min(100%,19rem),1fr))}"
    ".cards.wide{grid-template-columns:repeat(auto-fill,minmax(min(100%,20rem),1fr))}"
    ".cards.small{grid-template-columns:repeat(auto-fill,minmax(min(100%,10.5rem),1fr))}"
    ".cards.two{grid-template-columns:repeat(auto-fit,minmax(min(100%,26rem),1fr))}"
    ".tiles{display:flex;flex-wrap:wrap;gap:1rem 2.5rem;margin:0 0 1rem}.tile{min-width:7rem}"
    ".tile b{display:block;font-size:1.75rem;line-height:1.25;font-weight:600;letter-spacing:-.02em}"
    ".tile span{color:var(--quiet);font-size:.875rem}.tile.accent b{color:var(--accent)}"
    ".dot{display:inline-block;width:.7rem;height:.7rem;border-radius:50%;margin-right:.55rem}"
    ".k1{background:var(--c1)}.k2{background:var(--c2)}.k3{background:var(--c3)}.k4{background:var(--c4)}"
    ".k5{background:var(--c5)}.k6{background:var(--c6)}\n"
    ".scroll{overflow-x:auto;margin:0 -.25rem .5rem}table{border-collapse:collapse;width:100%;font-size:.95rem}"
    "th,td{padding:.55rem .6rem;text-align:right;white-space:nowrap;vertical-align:top}"
    "th:first-child,td:first-child{text-align:left;padding-left:.25rem}"
    "thead th{color:var(--quiet);font-size:.8rem;font-weight:550;border-bottom:1px solid var(--line);"
    "vertical-align:bottom;white-space:normal}thead th+th:nth-child(-n+3){white-space:nowrap}"
    "tbody th{font-weight:500}tbody th .note{display:block;"
    "font-size:.8rem;font-weight:400}"
    "tbody tr+tr>*{border-top:1px solid var(--line)}tr.strong>*{font-weight:650}tr.strong .note{font-weight:400}"
    "td.missing{text-align:left;color:var(--quiet);font-style:italic}\n"
    ".classes{table-layout:fixed;font-size:.9rem}.classes th,.classes td{padding:.28rem .3rem;border:0!important;"
    "vertical-align:middle}.classes th{width:34%;white-space:normal;overflow-wrap:anywhere;font-weight:450;"
    "line-height:1.3}.classes td{width:19%}.classes td.note{width:29%;font-size:.8rem}.classes .bar{width:18%}"
    ".bar span{display:block;height:.5rem;border-radius:.25rem;min-width:2px}"
    ".plus{background:var(--plus)}.minus{background:var(--minus)}.yes{color:var(--plus);margin-left:.3rem}\n";

static const char FIGURES[] =
    "figure{margin:0}.chart figcaption{display:flex;justify-content:space-between;align-items:baseline;gap:1rem;"
    "margin-bottom:.7rem}"
    ".plot{position:relative;height:11.5rem;margin:.4rem .4rem 1.9rem 2.9rem}"
    ".plot svg{position:absolute;inset:0;width:100%;height:100%;overflow:visible}"
    "svg path{fill:none;vector-effect:non-scaling-stroke}.plot path{stroke-width:2;stroke-linejoin:round;"
    "stroke-linecap:round}.plot path.grid{stroke:var(--line);stroke-width:1}"
    ".plot .y span,.plot .x span{position:absolute;color:var(--quiet);font-size:.75rem;line-height:1}"
    ".plot .y span{right:calc(100% + .55rem);transform:translateY(-50%)}"
    ".plot .x span{top:calc(100% + .55rem);transform:translateX(-50%)}"
    ".c0{stroke:var(--quiet)}.c1{stroke:var(--c1)}.c2{stroke:var(--c2)}.c3{stroke:var(--c3)}.c4{stroke:var(--c4)}"
    ".c5{stroke:var(--c5)}.c6{stroke:var(--c6)}path.dashed{stroke-dasharray:6 4}path.dotted{stroke-dasharray:1.5 4.5}"
    ".legend{list-style:none;margin:0;padding:0;font-size:.85rem}.legend li{display:flex;align-items:center;gap:.6rem;"
    "padding:.12rem 0}.legend li span{flex:1;min-width:0;overflow-wrap:anywhere}.legend b{font-weight:600}"
    ".legend svg{width:26px;height:8px;flex:none;stroke-width:2}\n"
    ".map,.input,.thumb{image-rendering:pixelated;display:block;border-radius:.25rem}"
    ".maps{display:grid;grid-template-columns:3.9rem repeat(3,minmax(0,1fr));gap:.4rem;align-items:center;"
    "font-size:.75rem;color:var(--quiet);text-align:center}.maps .row{text-align:left;line-height:1.25}"
    ".map{width:100%;height:auto}.cards.wide figcaption{display:flex;gap:.9rem;align-items:center;margin-bottom:.9rem}"
    ".input{width:4.5rem;height:auto;flex:none}figcaption b,figcaption .path{display:block}"
    "figcaption .path{color:var(--quiet);font-size:.8rem}.sure{white-space:nowrap}"
    ".ramp{display:inline-block;width:6rem;height:.65rem;border-radius:.35rem;vertical-align:baseline}"
    ".thumb{width:100%;height:auto;margin-bottom:.7rem}dl{display:grid;grid-template-columns:auto 1fr;gap:.1rem .7rem;"
    "margin:0;font-size:.85rem}dt{color:var(--quiet)}dd{margin:0;overflow-wrap:anywhere}\n"
    ".pair{display:grid;grid-template-columns:1fr 1fr;gap:.6rem}.pair figcaption{margin:.3rem 0 0!important;"
    "font-size:.8rem;color:var(--quiet)}svg.boxes{width:100%;height:auto;display:block;border-radius:.25rem}"
    ".boxes rect{fill:none;stroke-width:2;vector-effect:non-scaling-stroke}.boxes .truth{stroke:#fff;stroke-width:1;"
    "stroke-dasharray:3 2}.boxes .teacher{stroke:#ffd84d}.boxes .student{stroke:#5cc8ff}"
    ".boxes text{fill:#fff;stroke:#111;paint-order:stroke;stroke-linejoin:round;font-weight:600}"
    ".boxes image{image-rendering:auto}\n"
    ".diagram{max-width:30rem}.diagram svg{width:100%;height:auto;display:block}.diagram text{font-size:13px;"
    "text-anchor:middle;fill:var(--text)}.diagram .title{font-weight:650}.diagram rect{fill:var(--page);"
    "stroke:var(--line);stroke-width:1.2}.diagram .trained rect{fill:var(--tint);stroke:var(--accent)}"
    ".diagram .frozen rect{fill:var(--card);stroke:var(--accent);stroke-dasharray:5 4}.diagram .arrow,.diagram .copied,"
    ".diagram .compared{stroke:var(--quiet);stroke-width:1.4}.diagram .compared{stroke:var(--accent);stroke-width:2}"
    ".diagram .copied{stroke-dasharray:4 3}.diagram .legend{display:flex;flex-wrap:wrap;gap:.1rem 1.2rem;"
    "margin-top:.9rem;color:var(--quiet)}.swatch{width:1.1rem;height:.8rem;border-radius:.25rem;flex:none;"
    "border:1.2px solid var(--line);background:var(--page)}.swatch.trained{background:var(--tint);"
    "border-color:var(--accent)}.swatch.frozen{background:none;border:1.2px dashed var(--accent)}\n"
    ".beside{display:grid;gap:1rem;align-items:start}"
    "@media(min-width:52rem){.beside{grid-template-columns:minmax(0,28rem) minmax(0,1fr)}}"
    "dl.facts{grid-template-columns:minmax(6.5rem,auto) minmax(0,1fr);gap:.45rem 1rem;margin-top:.7rem}\n"
    "@media(max-width:40rem){header,main,footer{padding-left:.9rem;padding-right:.9rem}header{padding-top:2rem}"
    "h1{font-size:1.6rem}tbody th{white-space:normal;min-width:7.5rem}.card{padding:.95rem}section{margin:2.5rem 0}"
    ".tiles{display:grid;grid-template-columns:1fr 1fr;gap:.9rem 1rem}.tile{min-width:0}.tile b{font-size:1.35rem}"
    ".cards.small{grid-template-columns:1fr 1fr}}\n"
    "@media print{:root{--page:#fff}.card{break-inside:avoid}nav{display:none}}\n";

static void put_links(const report *report, FILE *out)
{
    fputs("<nav><a href=\"#numbers\">numbers</a><a href=\"#curves\">curves</a>", out);
    for (int i = 0; i < report->runs; ++i) {
        fprintf(out, "<a href=\"#run-%d\">", i);
        html_short(out, report->runs > 1 ? report->run[i].name : "the network", 40);
        fputs("</a>", out);
    }
    fputs("</nav>", out);
}

void report_put_head(const report *report, FILE *out)
{
    fputs("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
          "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; "
          "style-src 'unsafe-inline'\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
          "<link rel=\"icon\" href=\"data:,\"><title>", out);
    for (int i = 0; i < report->runs; ++i) html_print(out, "%s%s", i ? ", " : "", report->run[i].name);
    fputs(" \xe2\x80\x93 distillation report</title>\n<style>", out);
    fputs(COLOURS, out);
    fputs(TEXT, out);
    fputs(BOXES, out);
    fputs(FIGURES, out);
    fputs("</style></head>\n<body><header><h1>", out);
    if (report->runs == 1) html_text(out, report->run[0].name);
    else fprintf(out, "%d runs side by side", report->runs);
    fputs("</h1><p>Distillation report on <code>", out);
    html_text(out, report->options.data);
    fputs("</code></p>", out);
    put_links(report, out);
    fputs("</header>\n<main>", out);
}

void report_put_title(const report *report, int run, FILE *out)
{
    if (report->runs == 1) {
        fputs("<h2>The network</h2>", out);
        return;
    }
    fprintf(out, "<h2><span class=\"dot k%d\"></span>", run % 6 + 1);
    html_text(out, report->run[run].name);
    fputs("</h2>", out);
}

void report_put_foot(const report *report, FILE *out)
{
    fputs("</main>\n<footer>Written by darknet-distill ", out);
    html_text(out, report->options.version);
    fputs(". This page is one file; it loads nothing and runs no script.</footer></body></html>\n", out);
}
