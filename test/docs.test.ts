/** docs/testing.md names files, tests and mutants: what it names is there. */
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { EXPLORER_MUTANTS } from '../src/sim/explore/mutants.ts'
import { MEMBER_MUTANTS } from '../src/sim/member-mutants.ts'
import { MUTANTS } from '../src/sim/mutants.ts'
import { STAGE_MUTANTS } from '../src/sim/stage-mutants.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const read = (path: string): string => readFileSync(`${ROOT}${path}`, 'utf8')
const PAGE = read('docs/testing.md')

/** Rows of the tables of rules and of known bugs, as cells. */
const rows = (letter: 'R' | 'T'): string[][] =>
  PAGE.split('\n')
    .filter((line) => new RegExp(`^\\| ${letter}[0-9]`).test(line))
    .map((line) => line.split('|').map((cell) => cell.trim()))

/** Where a test lives that a table calls so. */
function pathOf(name: string): string {
  if (name.endsWith('.txt')) return `test/core/testdata/${name}`
  return `test/${name.includes('/') ? name : `core/${name}`}.test.ts`
}

interface Named {
  readonly row: string
  readonly path: string
  /** What the name of a test, or a comment of a script, has in it. */
  readonly words: string
}

/** `file` › words; more words; `other` › words. What has a colon in it, or no file, is prose. */
function namedIn([, row = '', ...cells]: readonly string[]): Named[] {
  const found = cells.join(' | ').matchAll(/`([^`]+)` › ((?:(?!`[^`]+` ›)[^|])*)/g)
  return [...found].flatMap(([, name = '', list = '']) =>
    list
      .split(';')
      .map((words) => words.trim())
      .filter((words) => words !== '' && !/[:`]|^(class|mutant|operator) /.test(words))
      .map((words) => ({ row, path: pathOf(name), words })),
  )
}

const NAMED = [...rows('R'), ...rows('T')].flatMap(namedIn)
const flat = (text: string): string => text.replaceAll(/\n# |\s+/g, ' ').replaceAll("\\'", "'")

test('the tables name all rules, all bugs, and many tests', () => {
  expect([rows('R').length, rows('T').length]).toEqual([45, 46])
  expect(NAMED.length).toBeGreaterThan(200)
})

test('every test file that the tables name exists', () => {
  const missing = NAMED.filter(({ path }) => !existsSync(`${ROOT}${path}`))
  expect(missing.map(({ row, path }) => `${row}: ${path}`)).toEqual([])
})

test('every test that the tables name is in its file', () => {
  const missing = NAMED.filter(
    ({ path, words }) => existsSync(`${ROOT}${path}`) && !flat(read(path)).includes(flat(words)),
  )
  expect(missing.map(({ row, path, words }) => `${row}: ${path} › ${words}`)).toEqual([])
})

test('every path in the page that is one exists', () => {
  const paths = [...PAGE.matchAll(/`((?:test|src|docs|examples)\/[\w./-]+)`/g)]
  const missing = paths.map(([, path = '']) => path).filter((path) => !existsSync(`${ROOT}${path}`))
  expect(missing).toEqual([])
})

test('every mutant that the tables name exists', () => {
  const all = [...MUTANTS, ...MEMBER_MUTANTS, ...STAGE_MUTANTS, ...EXPLORER_MUTANTS]
  const names = new Set(all.map(({ name }) => name))
  const inRules = rows('R').flatMap((cells) => [...cells.at(-2)!.matchAll(/`([^`]+)`/g)])
  const inBugs = rows('T').flatMap((cells) => [...cells.join().matchAll(/mutant `([^`]+)`/g)])
  const named = [...inRules, ...inBugs].map(([, name = '']) => name)
  expect(named.length).toBeGreaterThan(50)
  expect(named.filter((name) => !names.has(name))).toEqual([])
})
