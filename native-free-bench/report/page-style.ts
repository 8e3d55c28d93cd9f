/**
 * The look of report.html: one column of sections, charts in two where there is room, rows of
 * tables as cards on a phone, dark where the reader's screen is, white on paper. Data only.
 */
export const PAGE_STYLE = `
:root{--paper:#f6f8fa;--card:#ffffff;--text:#1f2328;--faint:#57606a;--edge:#d8dee4;--link:#0a5cb4;
--code:#eef1f5;--good:#1a7f37;--bad:#b3161f;--bad-ground:#ffebe9;--note-ground:#fff6dc;
--note-edge:#c29a2b}
@media screen and (prefers-color-scheme:dark){:root{--paper:#010409;--card:#0d1117;--text:#e6edf3;
--faint:#9da7b3;--edge:#2a313c;--link:#79b8ff;--code:#1b222c;--good:#56d364;--bad:#ff938a;
--bad-ground:#3b1418;--note-ground:#2c2410;--note-edge:#8a6d1d}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;scroll-behavior:smooth}
body{margin:0;background:var(--paper);color:var(--text);
font:16px/1.55 system-ui,-apple-system,"Segoe UI",sans-serif;overflow-wrap:anywhere}
header,main{max-width:1000px;margin:0 auto;padding:0 16px}
header{padding-top:28px}
.name{margin:0;color:var(--link);font-weight:700;letter-spacing:.04em}
h1{margin:0 0 6px;font-size:clamp(1.6rem,5vw,2.2rem);line-height:1.2}
h2{margin:0;font-size:1.35rem;line-height:1.3}
h3{margin:28px 0 4px;font-size:1.05rem}
p{margin:8px 0}
.lead,.question{color:var(--faint)}
.lead{margin:2px 0;font-size:.92rem}
.question{margin:2px 0 12px}
nav{display:flex;flex-wrap:wrap;gap:8px;margin:18px 0 4px}
nav a{padding:5px 12px;border:1px solid var(--edge);border-radius:16px;background:var(--card);
font-size:.88rem;text-decoration:none;color:var(--text)}
nav a:hover{border-color:var(--link);color:var(--link)}
a:focus-visible,summary:focus-visible{outline:2px solid var(--link);outline-offset:2px}
section{margin:16px 0;padding:20px;background:var(--card);border:1px solid var(--edge);
border-radius:12px;scroll-margin-top:8px}
ul{margin:8px 0;padding-left:22px}
li{margin:4px 0}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(190px,1fr));gap:12px;padding:0;
margin:14px 0 0;list-style:none}
.card{margin:0;padding:14px 16px;border:1px solid var(--edge);border-radius:10px;
border-top:4px solid var(--link)}
.card b{display:block;font-size:1.55rem;line-height:1.25;overflow-wrap:normal}
.card span{color:var(--faint);font-size:.9rem}
.card.good{border-top-color:var(--good)}
.card.good b{color:var(--good)}
.card.bad{border-top-color:var(--bad)}
.card.bad b{color:var(--bad)}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,400px),1fr));
gap:20px 28px;margin:16px 0}
figure{margin:0;min-width:0;max-width:520px}
figcaption{margin-bottom:8px;font-weight:600;font-size:.95rem;line-height:1.35}
figcaption span{display:block;font-weight:400;font-size:.85rem;color:var(--faint)}
.charts>ul{margin:0;align-self:center}
.charts>figure~figure~ul{grid-column:1/-1}
.chart{display:block;width:100%;height:auto}
.box{margin:12px 0;padding:12px 14px;border-radius:8px;border:1px solid var(--edge)}
.box.alarm{background:var(--bad-ground);border-color:var(--bad);color:var(--bad);font-weight:600}
.box.note{background:var(--note-ground);border-color:var(--note-edge)}
.box.absent{border-style:dashed;color:var(--faint)}
.command{display:block;margin:6px 0;padding:8px 10px;border-radius:6px;background:var(--code);
color:var(--text);white-space:pre-wrap}
code{font:.85em/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
.source{margin-top:18px;padding-top:10px;border-top:1px solid var(--edge);color:var(--faint);
font-size:.86rem}
.source p{margin:0}
details{margin:10px 0}
summary{cursor:pointer;color:var(--link);font-size:.92rem}
table{width:100%;margin:10px 0;border-collapse:collapse;font-size:.88rem;
font-variant-numeric:tabular-nums}
caption{padding:4px 0;text-align:left;font-weight:600}
th,td{padding:6px 10px;border-bottom:1px solid var(--edge);text-align:right;vertical-align:top;
overflow-wrap:break-word}
th:first-child{text-align:left}
tbody th{font-weight:500}
thead th{color:var(--faint);font-weight:500}
#verify td:nth-child(2),#verify th:nth-child(2),#verify td:last-child,#verify th:last-child,
#files td,#files th{text-align:left}
@media (max-width:640px){
section{padding:16px 14px;border-radius:10px}
table,caption,tbody,tr,th,td{display:block;width:auto}
thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
tr{padding:8px 0;border-bottom:1px solid var(--edge)}
tbody th{padding:0 0 2px;border:0;font-weight:600;text-align:left}
td,#verify td,#verify td:last-child{display:flex;justify-content:space-between;gap:16px;
padding:1px 0;border:0;text-align:right;overflow-wrap:anywhere}
td::before{content:attr(data-name);color:var(--faint);text-align:left}
}
@media print{
body{background:#fff;font-size:11pt}
nav{display:none}
header,main{max-width:none;padding:0}
section{border:0;padding:0;margin:0 0 18pt}
.box,figure,tr,.card{break-inside:avoid}
h2,h3{break-after:avoid}
table{font-size:8.5pt}
th,td{padding:2pt 4pt}
details::details-content{content-visibility:visible;display:block;height:auto}
summary{display:none}
.charts{grid-template-columns:1fr 1fr}
}
`
