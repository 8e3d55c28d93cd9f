/**
 * A report as Markdown, for a reader of the repository: the same sections and figures as the page,
 * charts only where there is a file of one. What results say is escaped, so that it is text. Pure.
 */
import type { Block, Cell, Report, Section, Source, Table } from './document.ts'

/** `images`: a file by the id of its section. */
export function markdownOf(
  { title, lead, sections }: Report,
  images: Readonly<Record<string, string>>,
): string {
  const parts = [
    `# ${plain(title)}`,
    ...lead.map(plain),
    ...sections.map((section) => sectionText(section, images[section.id])),
  ]
  return `${parts.join('\n\n')}\n`
}

function sectionText({ title, question, blocks }: Section, image: string | undefined): string {
  const parts = [`## ${plain(title)}`]
  if (question !== '') parts.push(plain(question))
  if (image !== undefined) parts.push(`![${plain(title)}](${image})`)
  parts.push(...blocks.map(blockText).filter((text) => text !== ''))
  return parts.join('\n\n')
}

function blockText(block: Block): string {
  switch (block.kind) {
    case 'words':
      return plain(block.text)
    case 'alarm':
      return `> **Warning.** ${plain(block.text)}`
    case 'note':
      return `> ${plain(block.text)}`
    case 'command':
      return fenced([block.text])
    case 'title':
      return `### ${plain(block.text)}`
    case 'list':
      return listText(block.items)
    case 'cards':
      return block.cards.map(({ value, text }) => `- **${plain(value)}** ${plain(text)}`).join('\n')
    case 'charts':
      return listText(block.beside)
    case 'table':
      return block.isOpen ? tableText(block.table) : foldedText(block.table)
    case 'source':
      return sourceText(block.source)
    case 'absent':
      return `${plain(block.text)}\n\n${fenced([block.command])}`
  }
}

const listText = (items: readonly string[]): string =>
  items.map((item) => `- ${plain(item)}`).join('\n')

/** The blank lines make the inside Markdown again. */
function foldedText(table: Table): string {
  const head = `<details><summary>${plain(table.caption)}, as a table</summary>`
  return `${head}\n\n${rowsText(table)}\n\n</details>`
}

const tableText = (table: Table): string => `${plain(table.caption)}:\n\n${rowsText(table)}`

function rowsText({ head, rows }: Table): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  const rule = head.map((_, i) => (i === 0 ? '---' : '---:'))
  const body = rows.map((row) => line(row.map(cellText)))
  return [line(head.map(plain)), line(rule), ...body].join('\n')
}

const cellText = (cell: Cell): string =>
  typeof cell === 'string' ? plain(cell) : `\`${cell.code.replace(/[`|\s]+/g, ' ')}\``

const sourceText = ({ commands, notes }: Source): string =>
  `Made again by\n\n${fenced(commands)}\n\n${listText(notes)}`.trimEnd()

/** A line that closes the fence, or starts another, would end the block. */
const fenced = (lines: readonly string[]): string =>
  ['```text', ...lines.map((line) => line.replace(/\s+/g, ' ').replaceAll('```', '')), '```'].join(
    '\n',
  )

/** One line of text in which nothing is markup. */
const plain = (text: string): string =>
  text
    .replace(/\s+/g, ' ')
    .replace(/[\\`*_[\]<>|#~]/g, (sign) => `\\${sign}`)
    .replace(/^([-+]|\d+\.)(?=\s)/, '\\$1')
