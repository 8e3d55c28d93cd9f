/**
 * A report as one page: no script, nothing from elsewhere (its own policy forbids both), readable
 * on a phone, in the dark and on paper. Everything that is not markup of this file or of svg.ts is
 * escaped. Pure.
 */
import { CHART_STYLE, escaped, inlineSvg } from './charts/svg.ts'
import type { Block, Card, Cell, Report, Section, Source, Table } from './document.ts'
import { PAGE_STYLE } from './page-style.ts'

const POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"

export function htmlOf({ title, lead, sections }: Report): string {
  const links = sections.map(({ id, title: name }) => `<a href="#${id}">${escaped(name)}</a>`)
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="${POLICY}">
<link rel="icon" href="data:,">
<title>xpaxos: ${escaped(title)}</title>
<style>${PAGE_STYLE}${CHART_STYLE}</style>
</head>
<body>
<header>
<p class="name">xpaxos</p>
<h1>${escaped(title)}</h1>
${lead.map((text) => `<p class="lead">${escaped(text)}</p>`).join('\n')}
<nav aria-label="Sections">${links.join(' ')}</nav>
</header>
<main>
${sections.map(sectionHtml).join('\n')}
</main>
</body>
</html>
`
}

function sectionHtml({ id, title, question, blocks }: Section): string {
  const asked = question === '' ? '' : `<p class="question">${escaped(question)}</p>\n`
  return (
    `<section id="${id}" aria-labelledby="${id}-head">\n` +
    `<h2 id="${id}-head">${escaped(title)}</h2>\n${asked}` +
    `${blocks.map(blockHtml).join('\n')}\n</section>`
  )
}

function blockHtml(block: Block): string {
  switch (block.kind) {
    case 'words':
      return `<p>${escaped(block.text)}</p>`
    case 'alarm':
      return `<p class="box alarm"><strong>Warning.</strong> ${escaped(block.text)}</p>`
    case 'note':
      return `<p class="box note">${escaped(block.text)}</p>`
    case 'command':
      return `<code class="command">${escaped(block.text)}</code>`
    case 'title':
      return `<h3>${escaped(block.text)}</h3>`
    case 'list':
      return listHtml(block.items)
    case 'cards':
      return `<ul class="cards">${block.cards.map(cardHtml).join('')}</ul>`
    case 'charts':
      return chartsHtml(block)
    case 'table':
      return block.isOpen ? tableHtml(block.table) : foldedHtml(block.table)
    case 'source':
      return sourceHtml(block.source)
    case 'absent':
      return (
        `<p class="box absent">${escaped(block.text)}` +
        `<code class="command">${escaped(block.command)}</code></p>`
      )
  }
}

const listHtml = (items: readonly string[]): string =>
  items.length === 0 ? '' : `<ul>${items.map((item) => `<li>${escaped(item)}</li>`).join('')}</ul>`

const cardHtml = ({ value, text, tone }: Card): string =>
  `<li class="card ${tone}"><b>${escaped(value)}</b><span>${escaped(text)}</span></li>`

function chartsHtml({ charts, beside }: Extract<Block, { kind: 'charts' }>): string {
  if (charts.length === 0) return listHtml(beside)
  const figures = charts.map((chart) => {
    const how = chart.note === '' ? '' : ` <span>${escaped(chart.note)}</span>`
    const caption = `<figcaption>${escaped(chart.title)}${how}</figcaption>`
    return `<figure>${caption}${inlineSvg(chart)}</figure>`
  })
  return `<div class="charts">${figures.join('\n')}${listHtml(beside)}</div>`
}

const foldedHtml = (table: Table): string =>
  `<details><summary>${escaped(table.caption)}, as a table</summary>${tableHtml(table)}</details>`

/** Cells carry their columns' names: on a phone a row is a card. Roles survive the restyling. */
function tableHtml({ caption, head, rows }: Table): string {
  const heads = head.map((name) => `<th scope="col" role="columnheader">${escaped(name)}</th>`)
  const body = rows.map((row) => {
    const cells = row.map((cell, i) => {
      const name = escaped(head[i] ?? '')
      return i === 0
        ? `<th scope="row" role="rowheader">${cellHtml(cell)}</th>`
        : `<td role="cell" data-name="${name}">${cellHtml(cell)}</td>`
    })
    return `<tr role="row">${cells.join('')}</tr>`
  })
  return (
    `<table role="table"><caption>${escaped(caption)}</caption>` +
    `<thead role="rowgroup"><tr role="row">${heads.join('')}</tr></thead>` +
    `<tbody role="rowgroup">${body.join('\n')}</tbody></table>`
  )
}

const cellHtml = (cell: Cell): string =>
  typeof cell === 'string' ? escaped(cell) : `<code>${escaped(cell.code)}</code>`

function sourceHtml({ commands, notes }: Source): string {
  const lines = commands.map((command) => `<code class="command">${escaped(command)}</code>`)
  const list =
    lines.length <= 1
      ? lines.join('')
      : `<details><summary>${lines.length} commands</summary>${lines.join('')}</details>`
  return `<div class="source"><p>Made again by</p>${list}${listHtml(notes)}</div>`
}
