import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { checkHistory } from '../../src/check/check.ts'
import { parseHistory } from '../../src/check/history.ts'

const textOf = (name: string): string =>
  readFileSync(new URL(`../data/jepsen-etcd/${name}`, import.meta.url), 'utf8')

const verdicts = textOf('verdicts.txt')
  .trim()
  .split('\n')
  .map((line) => line.split(' ') as [name: string, verdict: string])

test('there are twenty histories', () => expect(verdicts).toHaveLength(20))

test.each(verdicts)('%s is %s', (name, verdict) => {
  const history = parseHistory('register', 'jepsen', textOf(name))
  const result = checkHistory('register', history)
  expect(result.verdict).toBe(verdict)
  if (result.window !== null) expect(result.window.operations.length).toBeLessThanOrEqual(12)
})
