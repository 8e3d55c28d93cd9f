/** What a Logger's disk costs: its log goes by what the others hold, and has a bound. */
import { expect, test } from 'vitest'
import {
  type OpenCluster,
  codeOf,
  failing,
  openCluster,
  outcomeOf,
  temporaryFolder,
  text,
  until,
} from '../support/engine.ts'

const MEMBERS = [{ id: 1, weight: 9 }, { id: 2 }, { id: 3, role: 'logger' }] as const
const BIG = new Uint8Array(16 * 1024)
const ENTRIES = 600

/** More than eight segments of a mebibyte. */
async function fill(cluster: OpenCluster): Promise<void> {
  const writer = (await cluster.leader()).writer()
  for (let i = 0; i < ENTRIES; i++) while (!writer.tryWrite(BIG)) await writer.drained()
  await writer.close()
}

const PASSING = ['E_OVERLOADED', 'it did not fail']

const events = ({ events: all }: OpenCluster): string[] =>
  all.flatMap((one) => (one.kind === 'event' ? [`${String(one.node)} ${one.name}`] : []))

test('a Logger lets go of what the voters hold, nodes with state keep all', async () => {
  const options = { nodes: MEMBERS, stateMachine: 'hash', dataDir: temporaryFolder() } as const
  const cluster = await openCluster(options)
  await fill(cluster)
  const [one, two, logger] = cluster.nodes
  await until('the Logger has trimmed', () => logger!.status().firstRetained > ENTRIES / 2)
  expect([one, two].map((node) => node!.status().firstRetained)).toEqual([1, 1])
  expect(logger!.status().reducedThrough).toBe(0)
  await cluster.close()
  // It comes back with the rest of its log, which goes on to count.
  const again = await openCluster(options)
  expect(again.nodes[2]!.status().firstRetained).toBeGreaterThan(ENTRIES / 2)
  await fill(again)
  await until('it trims on', () => again.nodes[2]!.status().firstRetained > 1.5 * ENTRIES)
})

test('with a voter away its disk stays within the bound, and less tolerance is told', async () => {
  const cluster = await openCluster({
    ...{ nodes: MEMBERS, stateMachine: 'hash', dataDir: temporaryFolder() },
    tuning: { loggerBytesMax: 3 * 2 ** 20 },
  })
  await fill(cluster)
  const logger = cluster.nodes[2]!
  await until('the Logger has trimmed', () => logger.status().firstRetained > ENTRIES / 2)
  await cluster.nodes[1]!.kill()
  await fill(cluster)
  await until('it has trimmed on', () => logger.status().reducedThrough > ENTRIES)
  await until('it is told', () => events(cluster).includes('3 tolerance-reduced'))
  expect(logger.status().firstRetained).toBeGreaterThan(ENTRIES)
})

test('a strict one is full: nothing is admitted, and nothing is lost', async () => {
  const cluster = await openCluster({
    ...{ nodes: MEMBERS, stateMachine: 'hash', dataDir: temporaryFolder() },
    tuning: { loggerBytesMax: 3 * 2 ** 20, loggerStrict: 1 },
  })
  await cluster.nodes[1]!.kill()
  const leader = await cluster.leader()
  // While the dead node's share of the ring is being freed, writes may be refused for room.
  let error: unknown
  do {
    error = await failing(leader.propose(BIG))
    if (codeOf(error) === 'E_OVERLOADED') await new Promise((resolve) => setTimeout(resolve, 10))
  } while (codeOf(error) !== 'E_LOG_FULL' && PASSING.includes(codeOf(error)))
  expect([codeOf(error), outcomeOf(error)]).toEqual(['E_LOG_FULL', 'not-proposed'])
  await until('it is told', () => events(cluster).includes('1 log-full'))
  expect(codeOf(await failing(leader.propose(text('no'))))).toBe('E_LOG_FULL')
  expect(cluster.nodes[2]!.status()).toMatchObject({ firstRetained: 1, reducedThrough: 0 })
})
