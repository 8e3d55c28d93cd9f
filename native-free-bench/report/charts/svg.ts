/**
 * The smallest SVG writer that the charts need. A chart is drawn without its title, 380 units wide,
 * so that text stays readable on a phone; a page puts the title above it, a file of its own has it
 * inside. Colours are variables with a light and a dark value. Text is escaped here and nowhere
 * else. Pure.
 */

export interface Chart {
  /** Unique on a page; letters, digits and dashes. */
  readonly id: string
  readonly title: string
  /** How to read it: short phrases with semicolons between them; may be empty. */
  readonly note: string
  /** What a reader who does not see it should know. */
  readonly desc: string
  readonly height: number
  readonly body: string
}

export const WIDTH = 380
const TITLE_HEIGHT = 22
const NOTE_HEIGHT = 17
const GAP = 16

/** Safe inside elements and quoted attributes of HTML, SVG and XML. */
export const escaped = (text: string): string =>
  text
    .replace(/[&<>"'`]/g, (sign) => `&#${sign.charCodeAt(0)};`)
    // XML has no place for control characters, not even escaped.
    .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f]/g, '')

type Attributes = Readonly<Record<string, string | number>>

/** `content` is markup, made by these functions. */
export function element(name: string, attributes: Attributes, content = ''): string {
  const list = Object.entries(attributes).map(
    ([key, value]) => ` ${key}="${typeof value === 'number' ? rounded(value) : escaped(value)}"`,
  )
  return `<${name}${list.join('')}>${content}</${name}>`
}

const rounded = (value: number): number => Math.round(value * 10) / 10

export const textAt = (x: number, y: number, text: string, more: Attributes = {}): string =>
  element('text', { x, y, ...more }, escaped(text))

export const lineAt = (from: Point, to: Point, more: Attributes = {}): string =>
  element('line', { x1: from.x, y1: from.y, x2: to.x, y2: to.y, ...more })

/** What a pointer that rests on the mark is told. */
export const hint = (text: string): string => element('title', {}, escaped(text))

export interface Point {
  readonly x: number
  readonly y: number
}

export const pathOf = (points: readonly Point[]): string =>
  points.map(({ x, y }, i) => `${i === 0 ? 'M' : 'L'}${rounded(x)} ${rounded(y)}`).join('')

/** For a page that has the title in its own text. */
export function inlineSvg({ id, title, desc, height, body }: Chart): string {
  const names = { titleId: `${id}-title`, descId: `${id}-desc` }
  return element(
    'svg',
    {
      class: 'chart',
      viewBox: `0 0 ${WIDTH} ${height}`,
      role: 'img',
      'aria-labelledby': `${names.titleId} ${names.descId}`,
    },
    element('title', { id: names.titleId }, escaped(title)) +
      element('desc', { id: names.descId }, escaped(desc)) +
      body,
  )
}

/** A file of its own: charts side by side, each with its title, on a ground. */
export function svgFile(charts: readonly Chart[]): string {
  const notes = charts.map(({ note }) => note.split('; '))
  const top = GAP + TITLE_HEIGHT + Math.max(...notes.map(({ length }) => length)) * NOTE_HEIGHT
  const width = charts.length * WIDTH + (charts.length + 1) * GAP
  const height = top + Math.max(...charts.map((chart) => chart.height)) + GAP
  const panels = charts.map(({ title, body }, i) => {
    const x = GAP + i * (WIDTH + GAP)
    const lines = notes[i]!.map((line, row) =>
      textAt(x + 8, GAP + TITLE_HEIGHT + 8 + row * NOTE_HEIGHT, line, { class: 'small' }),
    )
    return (
      textAt(x + 8, GAP + 12, title, { class: 'strong' }) +
      lines.join('') +
      element('g', { transform: `translate(${x} ${top})` }, body)
    )
  })
  const title = charts.map((chart) => chart.title).join('; ')
  const content = [
    element('title', {}, escaped(title)),
    element('desc', {}, escaped(charts.map(({ desc }) => desc).join(' '))),
    element('style', {}, CHART_STYLE),
    element('rect', { class: 'ground', width, height, rx: 8 }),
    ...panels,
  ]
  const attributes = {
    xmlns: 'http://www.w3.org/2000/svg',
    class: 'chart',
    ...{ viewBox: `0 0 ${width} ${height}`, width, height, role: 'img', 'aria-label': title },
  }
  return `${element('svg', attributes, `\n${content.join('\n')}\n`)}\n`
}

/** Colours that differ in lightness too; dark ones only on a screen, so that paper stays white. */
export const CHART_STYLE = `
.chart{--ground:#ffffff;--ink:#1f2328;--soft:#57606a;--grid:#d8dee4;--track:#eceff3;
--blue:#0a66c2;--orange:#bc4c00;--purple:#8250df;--grey:#6e7781;--green:#1a7f37;--pink:#bf3989;
--alarm:#cf222e;--h0:#e6f0fb;--h1:#b6d7f7;--h2:#7db6ef;--h3:#1f6fc2;--h4:#0a4a94;
--t0:#1f2328;--t1:#1f2328;--t2:#1f2328;--t3:#ffffff;--t4:#ffffff}
@media screen and (prefers-color-scheme:dark){
.chart{--ground:#0d1117;--ink:#e6edf3;--soft:#9da7b3;--grid:#2a313c;--track:#222933;
--blue:#6cb2ff;--orange:#ff9d5c;--purple:#c297ff;--grey:#9aa4af;--green:#56d364;--pink:#ff80c8;
--alarm:#ff7b72;--h0:#16283d;--h1:#1d4470;--h2:#2a66a8;--h3:#6cb2ff;--h4:#b9dcff;
--t0:#e6edf3;--t1:#e6edf3;--t2:#ffffff;--t3:#0d1117;--t4:#0d1117}}
.chart text{font:13.5px system-ui,-apple-system,"Segoe UI",sans-serif;fill:var(--ink)}
.chart .small{font-size:12.5px;fill:var(--soft)}
.chart .strong{font-weight:600}
.chart .end{text-anchor:end}
.chart .mid{text-anchor:middle}
.chart .ground{fill:var(--ground)}
.chart .grid{stroke:var(--grid);stroke-width:1}
.chart .track{fill:var(--track)}
.chart .mark{fill:var(--c)}
.chart .wide{stroke:var(--c);stroke-width:6;stroke-linecap:round;opacity:.45}
.chart .line{stroke:var(--c);stroke-width:2.2;fill:none;stroke-linejoin:round}
.chart .dash{stroke-dasharray:5 4}
.chart .area{fill:var(--c);opacity:.16}
.chart .halo{stroke:var(--ground);stroke-width:4.5}
.chart .reach{stroke:var(--ink);stroke-width:1.6}
.chart .over{stroke:var(--ground);stroke-width:4;paint-order:stroke;stroke-linejoin:round}
.chart .range{stroke:var(--c);stroke-width:2;opacity:.5}
.chart .none{fill:none;stroke:var(--grid);stroke-dasharray:3 3}
.chart .ring{fill:none;stroke:var(--ink);stroke-width:2}
.chart .alarm{fill:var(--alarm)}
.chart text.alarm{font-weight:600}
.chart .gap{fill:var(--alarm);opacity:.28}
.chart .sign{fill:var(--ink);stroke:var(--ground);stroke-width:2;paint-order:stroke}
.chart .xpaxos,.chart .s0{--c:var(--blue)}
.chart .basic-paxos,.chart .s1{--c:var(--orange)}
.chart .multi-paxos,.chart .s2{--c:var(--purple)}
.chart .limit,.chart .s3{--c:var(--grey)}
.chart .s4{--c:var(--green)}
.chart .s5{--c:var(--pink)}
`
