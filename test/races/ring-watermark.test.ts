/** A watermark read while it is raised: never torn, never backwards, and the last raise is seen. */
import { expect, test } from 'vitest'
import { flagMemory, watermarkMemory } from '../../src/ring/counters.ts'
import { race } from './ring-roles.ts'

test('a reader sees only values that were raised, in order', async () => {
  const shared = { mark: watermarkMemory(), halt: flagMemory(), count: 5_000_000 }
  const [, reader] = await race([
    ['raiseMarks', shared],
    ['readMarks', shared],
  ])
  expect(reader!['changes']).toBeGreaterThan(100)
})
