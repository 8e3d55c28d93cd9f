import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { temporaryFolder } from '../support/engine.ts'

// A busy machine may cost the leader its leadership in the middle; what became of the entry is
// unknown then, and the example does not ask.
test('the example counts, and counts on after a restart', { retry: 3 }, () => {
  const source = readFileSync(new URL('../../examples/counter.ts', import.meta.url), 'utf8')
  expect(source.trimEnd().split('\n').length).toBeLessThanOrEqual(22)
  const folder = temporaryFolder()
  const file = join(folder, 'counter.ts')
  const library = new URL('../../src/engine/index.ts', import.meta.url).href
  writeFileSync(file, source.replace("'xpaxos'", `'${library}'`)) // not built in a checkout
  const run = (): string =>
    execFileSync(process.execPath, [file, join(folder, 'data')], { encoding: 'utf8' })
  expect(run()).toBe('entry 1: the counter is 42\n')
  expect(run()).toBe('entry 2: the counter is 84\n')
})
