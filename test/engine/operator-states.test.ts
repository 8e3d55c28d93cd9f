/**
 * An operator asks a node in every state of its life (T17): each call ends, in a typed error that
 * says whether something may have happened.
 */
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { LayoutName } from '../../src/engine/topology.ts'
import type { ReplicaNode } from '../../src/engine/index.ts'
import {
  codeOf,
  failing,
  openCluster,
  openTcpNode,
  outcomeOf,
  temporaryFolder,
  text,
  until,
} from '../support/engine.ts'

const ADD = { kind: 'add', id: 4 } as const

/** What becomes of both orders, as "code outcome". */
async function asked(node: ReplicaNode, target = 2): Promise<string[]> {
  const calls = [failing(node.changeMembership(ADD)), failing(node.transfer(target))]
  return (await Promise.all(calls)).map((error) => `${codeOf(error)} ${outcomeOf(error)}`)
}
const both = (what: string): string[] => [what, what]

const LAYOUTS: LayoutName[] = ['inline', 'split']

test.each(LAYOUTS)('a node that has never heard of a leader refuses (%s)', async (layout) => {
  const members = [{ id: 1 }, { id: 2 }, { id: 3 }]
  const peers = [
    { id: 2, host: '127.0.0.1', port: 1 },
    { id: 3, host: '127.0.0.1', port: 1 },
  ]
  const dataDir = join(temporaryFolder(), 'node-1')
  const node = await openTcpNode({ id: 1, members, dataDir, layout, transport: { port: 0, peers } })
  expect(await asked(node)).toEqual(both('E_NOT_LEADER not-proposed'))
  const closing = node.close()
  const meanwhile = await asked(node)
  for (const one of meanwhile) expect(one).toMatch(/^E_(CLOSED|NOT_LEADER) /)
  await closing
  expect(await asked(node)).toEqual(both('E_CLOSED not-proposed'))
  node.addPeer({ id: 2, host: '127.0.0.1', port: 2 }) // too late to matter
  expect(node.status().leader).toBe(0)
})

test.each(LAYOUTS)('a leader that was closed, or killed, refuses (%s)', async (layout) => {
  const cluster = await openCluster({ stateMachine: 'hash', durability: 'none', layout })
  const leader = await cluster.leader()
  await leader.kill()
  expect(await asked(leader)).toEqual(both('E_CLOSED not-proposed'))
  await cluster.close()
  for (const node of cluster.nodes) {
    expect(await asked(node)).toEqual(both('E_CLOSED not-proposed'))
  }
})

test.each(LAYOUTS)(
  'a change on its way when its leader is closed is unknown (%s)',
  async (layout) => {
    const cluster = await openCluster({ stateMachine: 'hash', durability: 'none', layout })
    const leader = await cluster.leader()
    await leader.propose(text('established'))
    const others = cluster.nodes.filter((node) => node !== leader)
    await Promise.all(others.map((node) => node.kill()))
    const last = leader.status().last
    const change = failing(leader.changeMembership(ADD))
    await until('it is in the log', () => leader.status().last > last)
    await leader.close()
    const error = await change
    expect(`${codeOf(error)} ${outcomeOf(error)}`).toMatch(/^E_(CLOSED|LEADERSHIP_LOST) unknown$/)
  },
)
