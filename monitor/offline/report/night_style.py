"""How a night's page looks: light, for screens of any width and for paper.

Colours are those of Okabe and Ito, darker where they are text, so that people who see fewer colours
tell them apart; each priority has a mark beside its colour. Text reaches a contrast of 4.5 to 1.
"""

STYLE = """
:root{--ink:#17212b;--dim:#53616d;--line:#dde4ea;--ground:#f4f6f8;--panel:#fff;--trace:#00664f;
--range:#b9ddd2;--high:#c0271a;--medium:#e69f00;--low:#56b4e9;--technical:#a8548a;--error:#d55e00;
--rebuilt:#0072b2}
*{box-sizing:border-box}
html{font:15px/1.45 system-ui,"Segoe UI","Liberation Sans",sans-serif;color:var(--ink);
background:var(--ground);-webkit-text-size-adjust:100%}
body{max-width:76rem;margin:0 auto;padding:1rem 1.2rem 3rem}
header{display:flex;flex-wrap:wrap;justify-content:space-between;align-items:baseline;gap:0 1rem}
h1{font-size:1.7rem;margin:.3rem 0;overflow-wrap:anywhere}
h2{font-size:1.4rem;margin:.2rem 0;overflow-wrap:anywhere}
h3{font-size:1.1rem;margin:0 0 .6rem}h4{font-size:1rem;margin:0}
p{margin:.2rem 0}a{color:#005a9c}small,.dim,.caption,figcaption{color:var(--dim)}
small,.caption,figcaption{font-size:.85rem}
.who{color:var(--dim);overflow-wrap:anywhere;margin-bottom:.8rem}
section{background:var(--panel);border:1px solid var(--line);border-radius:8px;
padding:1rem 1.1rem;margin:.8rem 0;min-width:0}
section.patient{background:none;border:0;border-top:4px solid var(--ink);border-radius:0;
padding:1rem 0 0;margin-top:2.5rem}
section.failed{border-left:6px solid var(--technical)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.6rem}
.tile{background:var(--panel);border:1px solid var(--line);border-radius:8px;padding:.6rem .9rem;
border-left:5px solid var(--line)}
.tile.high{border-left-color:var(--high)}.tile.medium{border-left-color:var(--medium)}
.tile b{display:block;font-size:1.65rem;line-height:1.2}.tile small{display:block}
.row{display:grid;grid-template-columns:11rem minmax(0,1fr);gap:0 .8rem;align-items:center;
margin-bottom:.35rem}
.what small{display:block;line-height:1.25}
.plot{position:relative;min-width:0;background:#fbfcfd;border:1px solid var(--line);
border-radius:3px;overflow:hidden}
.plot svg,.plot img{display:block;width:100%;height:100%}
.plot img{image-rendering:pixelated;height:100%}
.tall{height:8rem}.lane{height:1.5rem}.spark{height:1.8rem;width:9rem}.beatbox{height:13rem}
.strip{height:3rem;margin-top:.3rem}.near{height:5.5rem}.wave{height:7.5rem;margin-top:.3rem}
.family{height:5.5rem}
.plot .y{position:absolute;left:.3rem;font-style:normal;font-size:.78rem;
line-height:1;background:rgb(255 255 255/80%);padding:.1rem .2rem;border-radius:2px}
.y.top{top:.2rem}.y.bottom{bottom:.2rem}
.axis{position:relative;height:1.3rem;font-size:.8rem;color:var(--dim)}
.axis i{position:absolute;transform:translateX(-50%);font-style:normal;white-space:nowrap}
.axis i:first-child{transform:none}.axis i:last-child:not(:first-child){transform:translateX(-85%)}
polyline,.grid,.bound,.raised{fill:none;vector-effect:non-scaling-stroke}
.trace{stroke:var(--trace);stroke-width:1.6}.range{fill:var(--range)}
.grid{stroke:#e3e9ee;stroke-width:1}
.beat{stroke:var(--ink);stroke-width:2}.thin{stroke:var(--ink);stroke-width:1}
.normal{stroke:var(--trace);stroke-width:1.8}.signal{stroke:var(--ink);stroke-width:1.1}
.rebuilt{stroke:var(--rebuilt);stroke-width:2;stroke-dasharray:6 4}
.differs{fill:var(--error);opacity:.28}.error{fill:var(--error)}.quiet{fill:#9aa8b4}
.here{fill:var(--ink)}.bound{stroke:var(--ink);stroke-width:1.2;stroke-dasharray:4 4}
.during{fill:var(--high);opacity:.13}.raised{stroke:var(--high);stroke-width:2}
rect.high{fill:var(--high)}rect.medium{fill:var(--medium)}rect.low{fill:var(--low)}
rect.technical{fill:var(--technical)}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:.28rem .6rem;text-align:right;border-bottom:1px solid var(--line);vertical-align:top}
th:first-child,th.left,td.left{text-align:left}
thead th{color:var(--dim);font-weight:600;font-size:.88rem}
tbody th{font-weight:600}
.cohort tbody th,.hours tbody th{white-space:nowrap}.cohort td,.cohort th{vertical-align:middle}
.cohort td{white-space:nowrap}.cohort td.left{white-space:normal;min-width:11rem}
.hours td,.hours thead th{padding:.25rem .4rem}
td.high,td.medium,td.low{--hue:var(--low);background:color-mix(in srgb,var(--hue)
calc(12% + 38%*var(--share)),#fff)}
td.high{--hue:#ff8a7d;font-weight:700}td.medium{--hue:var(--medium)}
.figures td{text-align:left;overflow-wrap:anywhere}.figures th{white-space:nowrap}
.scroll{overflow-x:auto}.rated{display:flex;gap:.5rem;align-items:center;justify-content:flex-end}
.badge{display:inline-block;min-width:1.9em;text-align:center;font-weight:800;font-size:.8rem;
border-radius:3px;padding:0 .35em;border:2px solid currentColor;line-height:1.35}
.badge.high{background:var(--high);color:#fff;border-color:var(--high)}
.badge.medium{background:var(--medium);color:#1a1200;border-color:var(--medium)}
.badge.low{background:#fff;color:#00527d}
.families{display:grid;grid-template-columns:repeat(auto-fill,minmax(9.5rem,1fr));gap:.7rem}
figure{margin:0;min-width:0}
.alerts{display:grid;gap:.9rem}
.alert{border:1px solid var(--line);border-left:6px solid var(--low);border-radius:6px;
padding:.7rem .9rem;min-width:0;overflow-wrap:anywhere}
.alert.high{border-left-color:var(--high)}.alert.medium{border-left-color:var(--medium)}
.alert h4{display:flex;gap:.5rem;align-items:center}
.explained{display:grid;grid-template-columns:minmax(0,3fr) minmax(0,2fr);gap:1rem;margin-top:.5rem}
.neighbours{display:grid;grid-template-columns:repeat(3,minmax(0,1fr));gap:.4rem}
.aside{display:flex;flex-direction:column;gap:.3rem}
.key{display:inline-block;width:1.6rem;height:0;vertical-align:middle;margin:0 .3rem 0 .6rem;
border-top:3px solid var(--ink)}
.key.rebuilt{border-color:var(--rebuilt);border-top-style:dashed}
.key.error{height:.7rem;width:.7rem;border:0;background:var(--error)}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(24rem,100%),1fr));gap:0 .8rem}
@media(max-width:640px){
body{padding:.6rem .6rem 2rem}section{padding:.8rem .7rem}
.row{grid-template-columns:minmax(0,1fr)}.what{display:flex;gap:.5rem;align-items:baseline;
flex-wrap:wrap}.explained{grid-template-columns:minmax(0,1fr)}.tall{height:7rem}
.tiles{grid-template-columns:1fr 1fr}.beatbox{height:10rem}.lane{height:1.2rem}
th,td{padding:.25rem .4rem}.figures th{white-space:normal}
.hours tbody th,.cohort tbody th{position:sticky;left:0;background:var(--panel);white-space:normal;
max-width:8.5rem}
}
@page{margin:12mm}
@media print{
html{background:#fff;font-size:10.5px}body{max-width:none;padding:0}
*{-webkit-print-color-adjust:exact;print-color-adjust:exact}
section,.tile{border-color:#c5ced6}.alert,.tile,figure,.row,tr{break-inside:avoid}
h3,h4{break-after:avoid}section.patient{break-before:page;border-top:0;margin-top:0}
.scroll{overflow:visible}.hours td,.hours thead th{padding:.12rem .14rem}
.alerts{display:block}.alert{margin-top:.8rem}h3+.dim{break-after:avoid}
.tiles{grid-template-columns:repeat(6,1fr)}.tile b{font-size:1.3rem}.tall{height:6rem}
.beatbox{height:9rem}.wave{height:5.5rem}
}
"""
