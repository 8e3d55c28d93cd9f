/** The report of a folder: its sections, what they say, and that no text of a result is markup. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Folder } from '../../native-free-bench/report/model.ts'
import { reportFiles, reportOf } from '../../native-free-bench/report/report.ts'
import { readFolder } from '../../src/cli/report-files.ts'
import { resultsOfEveryKind, writeFolder } from './report-folder.ts'

let folder: Folder
let files: Record<string, string>
const dir = mkdtempSync(join(tmpdir(), 'xpaxos-report-'))

beforeAll(async () => {
  writeFolder(dir, await resultsOfEveryKind())
  folder = readFolder(dir)
  files = reportFiles(folder)
})
afterAll(() => rmSync(dir, { recursive: true }))

const page = (): string => files['report.html']!
const only = (...names: string[]): Folder => ({
  stored: folder.stored.filter(({ origin }) => names.includes(origin.file)),
  unread: [],
})
const textOf = (html: string): string =>
  html
    .replaceAll(/<(style|title|desc)[\s\S]*?<\/\1>/g, ' ')
    .replaceAll(/<[^>]+>/g, ' ')
    .replaceAll(/&#(\d+);/g, (_, code: string) => String.fromCharCode(Number(code)))
    .replaceAll(/\s+/g, ' ')

test('every kind of result is read and has its section', () => {
  expect(folder.unread).toEqual([])
  const ids = reportOf(folder).sections.map(({ id }) => id)
  const first = 'short,engines,ladder,sizes,load,kill,benches,verify,layouts,parts'
  expect(ids.join()).toBe(`${first},simulation,mutants,words,files`)
})

test('the page is of one piece: no script, nothing from elsewhere, for any screen', () => {
  expect(page()).not.toMatch(/<script|<link rel="stylesheet"|<img|<iframe|url\(|@import|\son\w+=/)
  expect([...page().matchAll(/(?:src|href)="(?!#|data:)/g)]).toEqual([])
  expect(page()).toContain("default-src 'none'")
  expect(page()).toContain('name="viewport" content="width=device-width, initial-scale=1"')
  for (const media of ['prefers-color-scheme:dark', '@media print', 'max-width:640px'])
    expect(page()).toContain(media)
})

test('tags are closed in order, ids are unique, and links lead somewhere', () => {
  const open: string[] = []
  for (const [, close, name = ''] of page().matchAll(/<(\/?)([a-zA-Z0-9]+)[^>]*>/g)) {
    if (['meta', 'link'].includes(name)) continue
    if (close === '') open.push(name)
    else expect(open.pop()).toBe(name)
  }
  expect(open).toEqual([])
  const ids = [...page().matchAll(/ id="([^"]+)"/g)].map(([, id]) => id)
  expect(new Set(ids).size).toBe(ids.length)
  const links = [...page().matchAll(/href="#([^"]+)"/g)].map(([, id]) => id)
  expect(links.filter((id) => !ids.includes(id))).toEqual([])
})

test('every chart is an image with a title and a description, and has a table below', () => {
  const svgs = [...page().matchAll(/<svg[\s\S]*?<\/svg>/g)].map(([svg]) => svg)
  expect(svgs.length).toBeGreaterThan(10)
  for (const svg of svgs) {
    expect(svg).toMatch(/viewBox="0 0 380 \d+" role="img" aria-labelledby="/)
    expect(svg).toMatch(/<title id="[^"]+">[^<]+<\/title><desc id="[^"]+">[^<]+<\/desc>/)
    expect(svg).not.toMatch(/NaN|undefined|Infinity/)
  }
  for (const id of ['engines', 'ladder', 'sizes', 'load', 'kill']) {
    const [section] = new RegExp(`<section id="${id}"[\\s\\S]*?</section>`).exec(page())!
    expect(section.indexOf('<table')).toBeGreaterThan(section.indexOf('<svg'))
  }
})

test('the page answers which idea bought what, which sizes to use, and what a death costs', () => {
  const text = textOf(page())
  expect(text).toMatch(/\+ batching: many entries share one round and one sync\. \d+ times/)
  expect(text).toContain('Use batches of at most 256 KiB, 8 rounds on their way')
  expect(text).toContain('xpaxos bench --batch-max-bytes 262144 --pipeline-depth 8')
  expect(text).toContain('first of the new one: 612 ms')
  expect(text).toContain('Nothing that was acknowledged is lost.')
  expect(text).toMatch(/xpaxos: p99 [\d.]+ ms at 1.50 M\/s; it turns up at 13.5 M\/s/)
})

test('a step whose interval holds 1 is told as no difference', () => {
  const ladder = only('ladder.json').stored[0]!
  if (ladder.kind !== 'compare') throw new Error('a ladder')
  const rows = ladder.rows.map((row) => ({
    ...row,
    trials: row.trials.map((trial, i) => ({ ...trial, throughputPerS: 100 + 5 * (i % 2) })),
  }))
  const swapped = rows.map((row, i) => (i % 2 ? { ...row, trials: row.trials.toReversed() } : row))
  const html = reportFiles({ stored: [{ ...ladder, rows: swapped }], unread: [] })
  expect(textOf(html['report.html']!)).toContain('No difference that these trials can tell')
})

test('results that skip durability say so, in short and where they stand', () => {
  const text = textOf(page())
  expect(text.match(/Not synced \(durability os\)/g)!.length).toBeGreaterThan(3)
  expect(files['summary.md']).toContain('> **Warning.** Not synced (durability os)')
})

test('a broken promise comes first, in the page and in the summary', () => {
  const [one] = only('single.json').stored
  const broken = { ...one!, origin: { ...one!.origin, violations: ['t: entry 5 <lost>'] } }
  const made = reportFiles({ stored: [broken], unread: [] })
  const text = textOf(made['report.html']!)
  const [, short = ''] = text.split('Files In short ') // after the links
  expect(short.startsWith('Warning. Safety violation: t: entry 5 <lost>')).toBe(true)
  expect(text).toContain('1 VIOLATIONS')
  expect(made['summary.md']).toContain('Safety violation: t: entry 5 \\<lost\\>')
})

test('every result shows its command, where it ran, and its verdict', () => {
  const text = textOf(page())
  for (const command of [
    'xpaxos compare --durability os --trials 4',
    'xpaxos compare --ladder --durability os --trials 4',
    'xpaxos bench --engine xpaxos --durability os --duration 12 --kill-leader-after 7',
    'xpaxos bench --engine limit --durability os --rate 9500000 --trials 3',
    'npm run layouts',
  ])
    expect(text).toContain(command)
  expect(text).toContain(
    'Imaginary CPU, 2 cores, 8.00 GiB; Linux 6.1; Node v22.0.0; file system ext4, on a disk with',
  )
  expect(text).toMatch(/Safe: [\d,]+ of [\d,]+ acknowledged entries checked, 0 lost/)
})

test('what is absent is named with the command that would make it', () => {
  const made = reportFiles(only('suites.json'))
  for (const text of [textOf(made['report.html']!), made['summary.md']!])
    for (const command of [
      'xpaxos compare --json FOLDER/compare.json',
      'xpaxos compare --ladder --json FOLDER/ladder.json',
      'xpaxos tune --grid --out xpaxos.config.json --json FOLDER/tune.json',
      'xpaxos bench --rate 100000 --json FOLDER/load-100k.json',
      'xpaxos bench --duration 12 --kill-leader-after 7 --json FOLDER/leader-kill.json',
    ])
      expect(text).toContain(command)
  expect(Object.keys(made)).toEqual(['summary.md', 'report.html'])
  expect(made['report.html']).not.toContain('<svg')
})

test('a README has two charts to show, and the summary shows them', () => {
  expect(Object.keys(files)).toEqual(['summary.md', 'report.html', 'chart.svg', 'ladder.svg'])
  expect(files['summary.md']).toContain('![Engines side by side](chart.svg)')
  expect(files['summary.md']).toContain('![Which idea bought what](ladder.svg)')
})

test('interrupted results, and files that are not shown, are named', () => {
  const [one] = only('single.json').stored
  const partial = { ...one!, origin: { ...one!.origin, partial: true } }
  const unread = [{ file: 'x<y>.json', reason: 'damaged: not JSON' }]
  const text = textOf(reportFiles({ stored: [partial], unread })['report.html']!)
  expect(text).toContain('Interrupted: the result is partial')
  expect(text).toContain('x<y>.json: damaged: not JSON')
})

const HOSTILE = '<script>alert(1)</script> "\' & `x` | [a](b) ![c](d)\n\n# e'

/** Every text of a result, at any depth, is the worst that it can be. */
function hostile(value: unknown): unknown {
  if (typeof value === 'string') return HOSTILE
  if (Array.isArray(value)) return value.map(hostile)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [key, FIXED.has(key) ? inner : hostile(inner)]),
  )
}
/** What is not free text: the reader refuses other values. */
const FIXED = new Set(['kind', 'engine', 'transport', 'durability', 'unit', 'roles', 'api'])

test('no text of a result is markup, in the page or in the summary', () => {
  const made = reportFiles(hostile(folder) as Folder)
  expect(made['report.html']!.match(/<script/g)).toBeNull()
  expect(made['report.html']).toContain('&#60;script&#62;')
  expect(made['chart.svg']).not.toContain('<script')
  const outsideCode = made['summary.md']!.replaceAll(/```text\n[\s\S]*?\n```/g, '').replaceAll(
    /`[^`\n]*`/g,
    '',
  )
  expect(outsideCode).not.toMatch(/(?<!\\)<script|(?<!\\)\[a\]\(b|\n# e/)
})

test('benches that differ in more than the rate are lines of their own', () => {
  const stored = folder.stored.map((one) => {
    if (one.kind !== 'bench' || !/^load-xpaxos-(50|75)/.test(one.origin.file)) return one
    return { ...one, origin: { ...one.origin, command: `${one.origin.command} --clients 4` } }
  })
  const text = textOf(reportFiles({ stored, unread: [] })['report.html']!)
  expect(text).toContain('xpaxos load-xpaxos-10.json: p99')
  expect(text).toContain('xpaxos load-xpaxos-50.json: p99')
  expect(text).toContain('limit: p99')
})
