/**
 * No lost wake: an echo thread that two threads ring, each of which waits for its echo before it
 * goes on. A sleep lasts 10 minutes, so a single lost wake stops the race and fails the test by its
 * count. Once the echo blocks, once it lives on an event loop.
 */
import { expect, test } from 'vitest'
import { bellMemory } from '../../src/ring/bell.ts'
import { cellRingMemory } from '../../src/ring/cell-ring.ts'
import { race } from './ring-roles.ts'

test.each([
  { echo: 'echo' as const, clientCount: 1, count: 100_000, seed: 31 },
  { echo: 'echo' as const, clientCount: 2, count: 60_000, seed: 32 },
  { echo: 'echoAsync' as const, clientCount: 1, count: 20_000, seed: 33 },
  { echo: 'echoAsync' as const, clientCount: 2, count: 15_000, seed: 34 },
])('every ring is heard: %o', async ({ echo, clientCount, count, seed }) => {
  const each = Array.from({ length: clientCount }, (_, i) => i)
  const [requests, answers] = [each, each].map((list) => list.map(() => cellRingMemory(4)))
  const [own, clients] = [bellMemory(), each.map(() => bellMemory())]
  const results = await race([
    [
      echo,
      { requests: requests!, answers: answers!, clients, own, count: count * clientCount },
    ] as const,
    ...each.map((i) => {
      const role = { request: requests![i]!, answer: answers![i]!, own: clients[i]!, echo: own }
      return ['callEcho', { ...role, count, seed: seed + i }] as const
    }),
  ])
  for (const { parks, wakes } of results) expect(wakes).toBe(parks)
  expect(results[0]!['parks']).toBeGreaterThan(100) // it did sleep, often
})
